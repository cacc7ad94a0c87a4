"""Reads plain environment variables for settings.py and collects one sentence for each that is missing or wrong, without the value
of a secret. A secret may come from a file instead: NAME_FILE=/run/secrets/name."""

import base64
import math
import os
from collections.abc import Container
from pathlib import Path
from urllib.parse import urlsplit

YES, NO = ("1", "true", "yes", "on"), ("0", "false", "no", "off")


class Environment:
    """Each reader gives a value of its kind; what cannot be one becomes a sentence in `missing`, and the default is given instead."""

    def __init__(self) -> None:
        self.missing: list[str] = []

    def text(self, name: str, default: str | None = None, *, why: str = "") -> str:
        """The variable NAME, or the content of the file named by NAME_FILE, or the default; without one it is missing."""
        value, path = os.environ.get(name, "").strip(), os.environ.get(f"{name}_FILE", "")
        if value and path:
            self.missing.append(
                f"{name} and {name}_FILE are both set: unset one, so that it is plain which of them counts."
            )
        if path:
            return self._file(f"{name}_FILE", path)
        if not value and default is None:
            self.missing.append(f"{name} is not set: {why}")
        return value or default or ""

    def _file(self, name: str, path: str) -> str:
        try:
            text = Path(path).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            self.missing.append(
                f"{name} names {path}, which cannot be read ({getattr(error, 'strerror', 'it is not UTF-8')})."
            )
            return ""
        if not text:
            self.missing.append(f"{name} names {path}, which is empty.")
        return text

    def choice(self, name: str, default: str, among: Container[str], what: str) -> str:
        text = (os.environ.get(name) or default).strip()
        if text.lower() in among:
            return text.lower()
        self.missing.append(f"{name} is {text!r}, which is not {what}.")
        return default

    def flag(self, name: str, default: bool = False) -> bool:
        return self.choice(name, str(default).lower(), (*YES, *NO), "yes or no (1 or 0)") in YES

    def number(self, name: str, default: float, least: float = 0.001) -> float:
        text = os.environ.get(name) or str(default)
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if math.isfinite(number) and number >= least:
            return number
        self.missing.append(f"{name} is {text!r}, which is not a number of at least {least:g}.")
        return default

    def whole(self, name: str, default: int, least: int = 1, most: int = 10**9) -> int:
        text = os.environ.get(name) or str(default)
        if text.isascii() and text.isdecimal() and least <= int(text) <= most:
            return int(text)
        self.missing.append(f"{name} is {text!r}, which is not a whole number from {least} to {most}.")
        return default

    def address(self, name: str, default: str | None, schemes: tuple[str, ...], why: str = "") -> str:
        """A URL of one of these schemes, with a host. Its text is never repeated: it may hold a password."""
        text = self.text(name, default, why=why)
        try:
            parts = urlsplit(text)
            whole = parts.scheme in schemes and bool(parts.hostname) and (parts.port or 1) > 0
        except ValueError:
            whole = False
        if text and text != default and not whole:
            self.missing.append(
                f"{name} is not an address of the form {' or '.join(f'{scheme}://host' for scheme in schemes)}."
            )
            return default or ""
        return text

    def signature(self, name: str) -> str:
        """The secret of a webhook as the Standard Webhooks specification writes it: whsec_ and 24 to 64 bytes in Base64."""
        text = self.text(name, "")
        try:
            long_enough = 24 <= len(base64.b64decode(text.removeprefix("whsec_"), validate=True)) <= 64
        except ValueError:
            long_enough = False
        if text and not long_enough:
            self.missing.append(
                f"{name} is not a secret of Standard Webhooks: whsec_ and 24 to 64 random bytes in Base64;"
                " `echo whsec_$(openssl rand -base64 32)` makes one."
            )
        return text

    def words(self, name: str, default: str = "") -> list[str]:
        """Words between commas or spaces."""
        return self.text(name, default).replace(",", " ").split()
