"""Make the OAuth client that Alexa is, and print exactly what goes into Amazon's console (alexa reference 8).

A client that exists gets the redirect addresses that it lacks and keeps its secret; repeated, nothing changes.
"""

from argparse import BooleanOptionalAction
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser
from oauth2_provider.generators import generate_client_secret

from skill import enablement, oauth
from skill.models import Application


class Command(BaseCommand):
    help = __doc__

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--client-id", default="alexa", help="Client ID to give to Amazon (default: %(default)s).")
        parser.add_argument("--vendor-id", help="Your Amazon vendor ID (default: the setting ALEXA_VENDOR_ID).")
        parser.add_argument(
            "--pkce",
            action=BooleanOptionalAction,
            help="Demand PKCE, or not: set it as the switch stands in the console (default: as it is; off for a new client).",
        )
        parser.add_argument(
            "--redirect-uri", action="append", default=[], help="A further redirect address, for an app of your own."
        )
        parser.add_argument(
            "--new-secret",
            action="store_true",
            help="The client exists: give it a new secret; the old one ends at once.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        client = Application.objects.filter(client_id=options["client_id"]).first()
        secret = generate_client_secret() if client is None or options["new_secret"] else ""
        client = client or Application(client_id=options["client_id"], name="Alexa")
        vendor = options["vendor_id"] or settings.ALEXA_VENDOR_ID
        wanted = [*oauth.redirect_addresses(vendor), enablement.return_address(), *options["redirect_uri"]]
        client.redirect_uris = " ".join(dict.fromkeys([*wanted, *client.redirect_uris.split()]))
        client.client_type = Application.CLIENT_CONFIDENTIAL
        client.authorization_grant_type = Application.GRANT_AUTHORIZATION_CODE
        if options["pkce"] is not None:
            client.pkce_required = options["pkce"]
        if secret:
            client.client_secret = secret
        client.full_clean(exclude=["user"])
        client.save()
        self.stdout.write(_console(client, secret))
        _warn_of_two(self, client)


def _warn_of_two(command: BaseCommand, client: Application) -> None:
    """Linking from our own pages makes its codes for one client only."""
    others = [
        other
        for other in Application.objects.exclude(pk=client.pk)
        if enablement.return_address() in other.redirect_uris.split()
    ]
    used = oauth.alexa_client(enablement.return_address())
    if others and used:
        names = ", ".join(other.client_id for other in others)
        words = f"{names} has your return address, too. Linking from your own pages goes by {used.client_id}: take it from the others."
        command.stderr.write(command.style.WARNING(words))


def _console(client: Application, secret: str) -> str:
    redirects = "\n".join(f"                                 {uri}" for uri in client.redirect_uris.split())
    return f"""Alexa developer console > your skill > Build > Account Linking:

  Auth code grant                on
  Your web authorization URI     {settings.PUBLIC_URL}/o/authorize/
  Access token URI               {settings.PUBLIC_URL}/o/token/
  Your client ID                 {client.client_id}
  Your secret                    {secret or "the one that is there (--new-secret makes another)"}
  Authentication scheme          HTTP Basic (credentials in the request body work too)
  Scope                          alexa
  PKCE                           {"on" if client.pkce_required else "off, or on: a challenge that Alexa sends is checked"}
  Default token expiration       3600
  Allow users to link their account to your skill from within your application or website
    Your Redirect URLs           {enablement.return_address()}
  Redirect URLs the console shows must be among these:
{redirects}

{"The secret is shown this once. " if secret else ""}On Build > Permissions switch "Send Alexa Events" on, and put the Alexa Client Id and
Secret that appear there into ALEXA_CLIENT_ID and ALEXA_CLIENT_SECRET."""
