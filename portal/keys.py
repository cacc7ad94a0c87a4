"""The keys of the embedded mode, made once for each data folder. Production brings its own (portal/settings.py)."""

import json
import os
import secrets
from pathlib import Path

from portal import locks


class KeysUnreadable(Exception):
    """The file of generated keys can be neither read nor made; the text says why and what to do."""


def generated(data_dir: Path) -> dict[str, str]:
    """The keys of this data folder, kept in a file of mode 600. Idempotent, safe for several at once. Raises KeysUnreadable."""
    path = data_dir / "secrets.json"
    try:
        if not path.exists():
            _make(path)
        return _whole(path, dict(json.loads(path.read_text(encoding="utf-8"))))
    except OSError as error:
        raise KeysUnreadable(
            f"The data folder {data_dir} cannot be used: {error.strerror}. Name another with DATA_DIR=…."
        ) from error
    except ValueError as error:
        raise KeysUnreadable(f"{path} is damaged: `make clean` begins anew with new keys and new data.") from error


def _whole(path: Path, known: dict[str, str]) -> dict[str, str]:
    """With the keys that a folder of an earlier version lacks."""
    if set(NAMES) <= set(known):
        return known
    with locks.alone(path.with_name("secrets.lock")):
        known = _fresh() | json.loads(path.read_text(encoding="utf-8"))
        _write(path, known)
    return known


def _make(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with locks.alone(path.with_name("secrets.lock")):
        if not path.exists():  # else somebody else was quicker
            _write(path, _fresh())


def _write(path: Path, made: dict[str, str]) -> None:
    scratch = path.with_name("secrets.new")
    scratch.unlink(missing_ok=True)
    scratch.touch(mode=0o600)
    scratch.write_text(json.dumps(made, indent=1), encoding="utf-8")
    os.replace(scratch, path)


NAMES = (
    "SECRET_KEY", "TOKEN_KEYS", "COURIER_SECRET", "ALEXA_CLIENT_ID", "ALEXA_CLIENT_SECRET", "ASP_REFRESH_TOKEN",
    "LINK_CLIENT_ID", "LINK_CLIENT_SECRET", "DEVICE_KEY",
)  # fmt: skip


def _fresh() -> dict[str, str]:
    from cryptography.fernet import Fernet

    return {
        "SECRET_KEY": secrets.token_urlsafe(50),
        "TOKEN_KEYS": Fernet.generate_key().decode(),
        "COURIER_SECRET": secrets.token_urlsafe(32),
        "ALEXA_CLIENT_ID": "amzn1.application-oa2-client." + secrets.token_hex(16),
        "ALEXA_CLIENT_SECRET": secrets.token_hex(32),
        "ASP_REFRESH_TOKEN": "Atzr|" + secrets.token_urlsafe(96),
        "LINK_CLIENT_ID": "alexa-sandbox",
        "LINK_CLIENT_SECRET": secrets.token_urlsafe(96),
        "DEVICE_KEY": secrets.token_urlsafe(32),
    }
