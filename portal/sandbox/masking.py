"""What may be shown of a message: everything but tokens, codes and secrets. Pure."""

import re

_SECRET_KEYS = frozenset(
    [
        "token",
        "access_token",
        "accesstoken",
        "refresh_token",
        "code",
        "authcode",
        "client_secret",
        "code_verifier",
        "authorization",
        "password",
    ]
)
_CAPABILITIES = frozenset(["unsubscribeurl", "subscribeurl"])
_AMAZON = re.compile(r"Atz[ar]\|[^\s\"'\\]+")
_BEARER = re.compile(r"\b(Bearer|Basic) [^\s\"']+")


def masked(value: object, key: str = "") -> object:
    """A copy of a JSON value with every secret replaced; never raises on what JSON can hold."""
    if isinstance(value, dict):
        return {inner: masked(member, str(inner)) for inner, member in value.items()}
    if isinstance(value, list):
        return [masked(member, key) for member in value]
    if not isinstance(value, str):
        return value
    return masked_text(value) if not _is_secret(key, value) else hint(value)


def _is_secret(key: str, value: str) -> bool:
    if key.lower() == "code" and re.fullmatch(r"[A-Z_]+_EXCEPTION", value):
        return False  # the gateway's error code has the same key as an authorization code
    return key.lower() in _SECRET_KEYS or key.lower() in _CAPABILITIES


def masked_text(value: str) -> str:
    """Free text without the tokens that may stand in it."""
    return _BEARER.sub(lambda found: f"{found[1]} ••••", _AMAZON.sub(lambda found: hint(found[0]), value))


def hint(secret: str) -> str:
    """Enough to see that a secret changed, too little to use: the family and, of a long one, the last four."""
    family = secret[:5] if secret.startswith(("Atza|", "Atzr|")) else ""
    return f"{family}••••{secret[-4:]}" if len(secret) >= 24 else "••••"
