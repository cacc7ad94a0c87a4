"""Text that is encrypted at rest with the key ring TOKEN_KEYS (newest first), so that a stolen database holds no usable token."""

from functools import lru_cache
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.db import models


class Undecryptable(Exception):
    """No key of TOKEN_KEYS opens this text: a key was removed before everything was encrypted anew."""


@lru_cache(maxsize=4)
def _ring(keys: tuple[str, ...]) -> MultiFernet:
    return MultiFernet([Fernet(key) for key in keys])


def key_ring() -> MultiFernet:
    return _ring(tuple(settings.TOKEN_KEYS))


def encrypt(text: str) -> str:
    """What EncryptedTextField stores for this clear text; for statements that write it themselves."""
    return key_ring().encrypt(text.encode()).decode() if text else ""


def decrypt(text: str) -> str:
    """The clear text of what EncryptedTextField stored. Raises Undecryptable."""
    try:
        return key_ring().decrypt(text.encode()).decode() if text else ""
    except InvalidToken as error:
        raise Undecryptable("A stored token cannot be opened with any key of TOKEN_KEYS.") from error


class EncryptedTextField(models.TextField):
    """Clear text in Python, a Fernet token in the database. Empty stays empty. Not searchable, by construction."""

    def from_db_value(self, value: str | None, expression: Any, connection: Any) -> str | None:
        return value if value is None else decrypt(value)

    def get_prep_value(self, value: Any) -> Any:
        text = super().get_prep_value(value)
        return encrypt(text) if text else text

    def get_lookup(self, lookup_name: str) -> Any:
        return super().get_lookup(lookup_name) if lookup_name == "isnull" else None
