"""What every test may ask for, and what only makes tests quicker: plain static files, cheap password hashes, migrations run once."""

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

pytest_plugins = ["tests.people"]


@pytest.fixture(scope="session", autouse=True)
def quicker() -> Iterator[None]:
    from django.conf import settings
    from django.test import override_settings

    plain: dict[str, Any] = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
    hashers = ["django.contrib.auth.hashers.MD5PasswordHasher", *settings.PASSWORD_HASHERS]
    with override_settings(STORAGES=settings.STORAGES | {"staticfiles": plain}, PASSWORD_HASHERS=hashers):
        yield


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings_parallel_suffix: None) -> None:
    """Each test process gets a copy of one migrated database: migrating takes seconds, copying a fraction of one."""
    from django.conf import settings

    from portal import locks

    with locks.alone(settings.DATA_DIR / "migrated.gate"):
        marker = settings.DATA_DIR / "migrated"
        if not marker.exists():
            subprocess.run(
                [sys.executable, "manage.py", "migrate", "--verbosity", "0"],
                cwd=settings.BASE_DIR,
                env=os.environ | {"EMBEDDED": "1"},
                check=True,
            )
            marker.touch()
    settings.DATABASES["default"].setdefault("TEST", {})["TEMPLATE"] = settings.DATABASES["default"]["NAME"]
