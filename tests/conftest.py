"""What every test may ask for, and what only makes tests quicker: plain static files, cheap password hashes, migrations
run once, and after a test with transactions only tables that hold something are emptied."""

import contextlib
import gc
import importlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import hypothesis
import pytest
from hypothesis import strategies as st

from tests.effort import examples

# A busy machine is no reason for a property to be wrong.
hypothesis.settings.register_profile("patient", deadline=None, max_examples=examples(50))
hypothesis.settings.load_profile("patient")
pytest_plugins = ["tests.people"]
# Partitions by themselves; to look into a table, or into all partitions of one, costs more than to ask for its size.
EVER_USED = """SELECT oid::regclass::text FROM pg_class
WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND pg_relation_size(oid) > 0"""
KEPT = {
    "django_migrations",
    "django_content_type",
    "auth_permission",
    "devices_marketplace",
}  # what migrations put there


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files by name, so that the rooms mix: while one waits for a broker or for another thread, others have work to do."""
    items.sort(key=lambda item: (item.get_closest_marker("long") is None, item.path.name))


def pytest_sessionstart(session: pytest.Session) -> None:
    gc.disable()  # until all is collected
    _begin_elsewhere(session.config)


def _begin_elsewhere(config: pytest.Config) -> None:
    """In a fresh clone each test process prepares another part of the files first, and finds the rest prepared by the others."""
    if worker := getattr(config, "workerinput", None):
        asked = [Path(argument.partition("::")[0]).resolve() for argument in config.args]
        found = sorted({file for path in asked for file in (path.rglob("test_*.py") if path.is_dir() else [path])})
        fresh = [file for file in found if not any((file.parent / "__pycache__").glob(f"{file.stem}.*-pytest-*.pyc"))]
        for file in fresh[int(worker["workerid"].removeprefix("gw")) :: worker["workercount"]]:
            with contextlib.suppress(Exception):  # it will be said when it is collected
                importlib.import_module(".".join(file.relative_to(config.rootpath).with_suffix("").parts))


def pytest_collection_finish() -> None:
    """What is loaded by now stays: looking through it again and again for circles is a tenth of all work."""
    gc.collect()
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session", autouse=True)
def quicker(django_test_environment: None) -> Iterator[None]:
    import boto3
    from django.conf import settings
    from django.template.base import Template
    from django.test import override_settings
    from django.test.utils import _TestState

    from skill.journal import journal
    from tests import people

    plain: dict[str, Any] = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
    hashers = ["django.contrib.auth.hashers.MD5PasswordHasher", *settings.PASSWORD_HASHERS]
    faster = override_settings(STORAGES=settings.STORAGES | {"staticfiles": plain}, PASSWORD_HASHERS=hashers)
    aws = mock.patch("boto3.client", _Clients(boto3.client))
    emptied = mock.patch("django.test.TransactionTestCase._fixture_teardown", _empty_the_tables)
    connected = mock.patch("django.test.TransactionTestCase._should_reload_connections", return_value=False)
    # Django keeps a copy of the context of every template that a page includes; these tests read pages as a browser gets them.
    unwatched = mock.patch.object(Template, "_render", _TestState.saved_data.template_render)
    signed_in = mock.patch("django.test.Client.force_login", people.signed_in)
    with faster, aws, emptied, connected, unwatched, signed_in:
        _read_for_hypothesis()
        yield
    journal.forget()  # at the end of the process nobody listens to the log any more


def _read_for_hypothesis() -> None:
    """One process has hypothesis read our sources and all of Unicode, while another migrates: it takes seconds, and it is kept."""
    from django.conf import settings

    try:
        (settings.DATA_DIR / "read-for-hypothesis").touch(exist_ok=False)
    except FileExistsError:
        return
    hypothesis.settings(max_examples=1, database=None)(hypothesis.given(st.text())(lambda _: None))()


class _Clients:
    """boto3's clients, each made once: making one takes longer than several requests, and these tests would make thousands."""

    def __init__(self, make: Callable[..., Any]) -> None:
        self.make, self.made = make, dict[str, Any]()

    def __call__(self, *what: Any, **how: Any) -> Any:
        account = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
        asked = repr((account, what, how | {"config": vars(how["config"]) if "config" in how else None}))
        if asked not in self.made:
            self.made[asked] = self.make(*what, **how)
        return self.made[asked]


def _empty_the_tables(_: object) -> None:
    """What Django's flush does, at a tenth of its price: it truncates every table and writes all permissions anew."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_advisory_unlock_all(); RESET statement_timeout; RESET lock_timeout"
        )  # it goes on to the next test
        cursor.execute(EVER_USED)
        used = [table for (table,) in cursor.fetchall() if table not in KEPT]
        asked = [f"SELECT '{table}' WHERE EXISTS (SELECT FROM {table})" for table in used]
        cursor.execute(" UNION ALL ".join(asked) or "SELECT WHERE false")
        if full := [table for (table,) in cursor.fetchall()]:
            deletes = "; ".join(f"DELETE FROM {table}" for table in full)
            cursor.execute(f"SET session_replication_role = replica; {deletes}; SET session_replication_role = origin")


@pytest.fixture(autouse=True)
def court(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """No message to Alexa escapes the oracles, whichever test causes it: answers to directives, and all that goes to a gateway."""
    from skill import gateway, views
    from tests import oracle

    court, log, post = oracle.Court(), views._log, gateway.post

    def judged_answer(document: object, answer: Any, started: float) -> None:
        court.hear_answer(document, json.loads(json.dumps(answer)))
        log(document, answer, started)

    async def judged_post(http: Any, region: str, token: str, event: Any) -> None:
        court.hear_event(json.loads(json.dumps(event)))
        await post(http, region, token, event)

    monkeypatch.setattr(views, "_log", judged_answer)
    monkeypatch.setattr(gateway, "post", judged_post)
    yield court
    assert court.wrong == [], "Amazon would refuse what was said"


@pytest.fixture(scope="session")
def django_db_keepdb() -> bool:
    """The whole server goes in the end; and delivery keeps its connection."""
    return True


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings_parallel_suffix: None) -> None:
    """Each test process gets a copy of one migrated database: migrating takes seconds, copying a fraction of one."""
    from django.conf import settings

    from tests import database

    database.migrate(settings.DATA_DIR)
    settings.DATABASES["default"].setdefault("TEST", {})["TEMPLATE"] = settings.DATABASES["default"]["NAME"]
