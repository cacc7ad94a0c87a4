"""Amazon's list for skill, Works with Alexa and Dash, run against the running portal as Alexa would: pass or fail, with evidence.

It signs a test customer in, links, sends directives over HTTP, and revokes in the end what it was given; no device is switched and
nothing is announced. Exit code 1 if a check fails. Lines marked "not here" are for a person, or for the live system.

Secrets come from the environment: CERTIFY_PASSWORD (the test customer's), CERTIFY_CLIENT_SECRET (of the OAuth client, as it stands in
Amazon's console). Under make run both are known: `make manage ARGS="certify"`.
"""

import os
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from skill import certification
from skill.certification import Result, directives, inside, linking
from skill.certification.alexa import Alexa, Who
from skill.models import REGIONS, Application

DEMONSTRATION = ("alice@example.com", "coffee-please")


class Command(BaseCommand):
    help = __doc__

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--email", help="the test customer, who has a device (make run: alice@example.com)")
        parser.add_argument("--url", help="where Alexa finds the portal (default: PUBLIC_URL)")
        parser.add_argument("--client-id", help="our OAuth client for Alexa (default: the only one)")
        parser.add_argument("--redirect-uri", help="one of the client's (default: the first)")
        parser.add_argument("--region", default="NA", choices=dict(REGIONS), help="as whose courier (default: NA)")
        parser.add_argument("--output", type=Path, metavar="FILE.md", help="write the report there, for the submission")

    def handle(self, *args: Any, **options: Any) -> None:
        alexa, user = _prepared(options)
        results = []
        for result in _all(alexa, user):
            results.append(result)
            self.stdout.write(_line(result))
        failed = sum(result.outcome == "FAIL" for result in results)
        passed = sum(result.outcome == "pass" for result in results)
        self.stdout.write(f"{passed} passed, {failed} failed, {len(results) - passed - failed} not here")
        if options["output"]:
            _write(options["output"], _report(alexa.who, results))
        if failed:
            raise CommandError(f"{failed} of {len(results)} checks fail.", returncode=1)


def _all(alexa: Alexa, user: Any) -> Iterator[Result]:
    """First over HTTP, then with the portal's own eyes; revoked is revoked, whatever happens."""
    state = certification.Run(alexa)
    try:
        for check in (*linking.CHECKS, *directives.CHECKS):
            yield certification.one(check, state)
        yield from inside.run(user, state)
    finally:
        alexa.revoke()


def _prepared(options: dict[str, Any]) -> tuple[Alexa, Any]:
    """Who asks whom. Raises CommandError for whatever is missing."""
    email, password = options["email"], os.environ.get("CERTIFY_PASSWORD", "")
    if settings.EMBEDDED:
        email, password = email or DEMONSTRATION[0], password or DEMONSTRATION[1]
    if not email or not password:
        raise CommandError("Give --email, and the password in CERTIFY_PASSWORD.")
    user = get_user_model().objects.filter(email__iexact=email).first()
    if user is None:
        raise CommandError(f"There is no customer {email}.")
    if password == DEMONSTRATION[1] and not user.check_password(password):
        raise CommandError(f"{email} has a password of its own: give it in CERTIFY_PASSWORD.")
    client = _client(options["client_id"])
    who = Who(
        url=(options["url"] or settings.PUBLIC_URL).rstrip("/"),
        email=email,
        client_id=client.client_id,
        redirect_uri=options["redirect_uri"] or client.redirect_uris.split()[0],
        region=options["region"],
        password=password,
        client_secret=_client_secret(),
        courier_secret=settings.COURIER_SECRET,
    )
    return Alexa(who), user


def _client(client_id: str | None) -> Application:
    clients = Application.objects.filter(**({"client_id": client_id} if client_id else {}))
    if len(found := list(clients[:2])) != 1:
        raise CommandError("Which OAuth client? Give --client-id." if found else "No such client: create_alexa_client.")
    return found[0]


def _client_secret() -> str:
    known = settings.EMBEDDED_SECRETS.get("LINK_CLIENT_SECRET", "") if settings.EMBEDDED else ""
    if secret := os.environ.get("CERTIFY_CLIENT_SECRET") or known:
        return str(secret)
    raise CommandError("Give the OAuth client's secret in CERTIFY_CLIENT_SECRET; only its hash is kept here.")


def _line(result: Result) -> str:
    todo = f"\n         {result.todo}" if result.outcome == "FAIL" and result.todo else ""
    return f"{result.outcome:8} {result.title}: {result.evidence}{todo}"


def _report(who: Who, results: list[Result]) -> str:
    """Markdown, without secrets and without the customer's address."""
    failed = sum(result.outcome == "FAIL" for result in results)
    rows = [f"| {r.outcome} | {_cell(r.title)} | {r.source} | {_cell(r.evidence)} |" for r in results]
    todo = [f"* {r.title}: {r.todo or r.evidence}" for r in results if r.outcome == "FAIL"]
    return "\n".join(
        [
            f"# Certification of {settings.SITE_NAME}",
            "",
            f"{who.url}, region {who.region}, {timezone.now():%Y-%m-%d %H:%M} UTC, Python {platform.python_version()}.",
            f"{len(results)} checks, {failed} failed.",
            "",
            "| result | check | Alexa reference | evidence |",
            "| --- | --- | --- | --- |",
            *rows,
            "",
            *(["## To do", "", *todo, ""] if todo else []),
        ]
    )


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise CommandError(f"{path} cannot be written: {error.strerror}.") from error
