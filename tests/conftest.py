"""What every test may ask for, and two settings that only make tests quicker: plain static files, cheap password hashes."""

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
