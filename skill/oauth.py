"""Our side of OAuth: what django-oauth-toolkit leaves open for a client like Alexa, closed; and who stands behind an access token.

Alexa keeps a refresh token for years, renews from several machines at once, and may lose an answer. So: refresh tokens neither
expire by age nor rotate, a renewal adds an access token and leaves the earlier ones until they run out, and revoking the refresh
token ends them all (alexa reference 8.3).
"""

import hashlib
import re
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractBaseUser
from django.core.exceptions import ImproperlyConfigured
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone
from oauth2_provider.generators import generate_client_secret
from oauth2_provider.models import AccessToken, Grant, RefreshToken
from oauth2_provider.oauth2_validators import OAuth2Validator
from oauth2_provider.settings import oauth2_settings
from oauthlib.oauth2.rfc6749 import errors

from skill.alexa.errors import ExpiredCredential, InvalidCredential
from skill.database import select
from skill.models import Application, RedeemedCode, Renewal

CHALLENGE = re.compile(r"[A-Za-z0-9._~-]{43,128}")  # RFC 7636, 4.2
ALEXA_HOSTS = ("pitangui.amazon.com", "layla.amazon.com", "alexa.amazon.co.jp")


def redirect_addresses(vendor_id: str) -> list[str]:
    """The three redirect addresses of a vendor ID, all of which must be registered (alexa reference 8.2)."""
    return [f"https://{host}/api/skill/link/{vendor_id}" for host in ALEXA_HOSTS]


def customer(token: str) -> AbstractBaseUser:
    """The active customer behind one of our access tokens.

    Raises InvalidCredential (unknown, revoked, deactivated customer) or ExpiredCredential.
    """
    user = get_user_model().objects.filter(pk=customer_id(token)).first()
    if user is None:  # deleted just now
        raise InvalidCredential("The access token is not known here.")
    return user


def customer_id(token: str) -> int:
    """The same customer's id. One query: this comes with every directive."""
    rows = select(_CUSTOMER, {"checksum": hashlib.sha256(token.encode()).hexdigest()})
    user_id, is_active, scope, expires, revoked = rows[0] if rows else (None, False, "", None, None)
    if not is_active or "alexa" not in scope.split() or revoked is not None:
        raise InvalidCredential("The access token is not known here.")
    if expires is None or expires <= timezone.now():
        raise ExpiredCredential("The access token has expired.")
    return int(user_id)


_CUSTOMER = f"""
SELECT t.user_id, u.is_active, t.scope, t.expires, f.revoked
FROM {AccessToken._meta.db_table} AS t JOIN {get_user_model()._meta.db_table} AS u ON u.id = t.user_id
LEFT JOIN {Renewal._meta.db_table} AS r ON r.access_token_id = t.id
LEFT JOIN {RefreshToken._meta.db_table} AS f ON f.id = r.refresh_token_id
WHERE t.token_checksum = %(checksum)s
"""  # noqa: S608  (names of tables)


def _access_token(token: str) -> AccessToken | None:
    tokens = AccessToken.objects.select_related("renewal__refresh_token")
    return tokens.filter(token_checksum=hashlib.sha256(token.encode()).hexdigest()).first()


def alexa_client(redirect_uri: str) -> Application | None:
    """The newest client at which this return address of ours is registered: Alexa redeems our codes as that one."""
    clients = Application.objects.order_by("-pk")
    return next((client for client in clients if redirect_uri in client.redirect_uris.split()), None)


def issue_code(user: AbstractBaseUser, redirect_uri: str) -> str:
    """A code for Alexa that this customer has just allowed on our own page; as short-lived as any. Raises ImproperlyConfigured."""
    client = alexa_client(redirect_uri)
    if client is None:
        raise ImproperlyConfigured(
            f"No OAuth client has the return address {redirect_uri}: manage.py create_alexa_client."
        )
    code = generate_client_secret()
    seconds = oauth2_settings.AUTHORIZATION_CODE_EXPIRE_SECONDS
    ends = timezone.now() + timedelta(seconds=seconds)
    Grant.objects.create(
        user=user, application=client, code=code, expires=ends, redirect_uri=redirect_uri, scope="alexa"
    )
    return code


def withdraw_code(code: str) -> None:
    """A code of ours that was not used shall not be used any more. Idempotent."""
    Grant.objects.filter(code=code).delete()


def supersede(token: str) -> None:
    """End what we gave before for the same customer and client: the link behind this access token replaces it (lessons B13).

    Never ends anything newer, so a late directive of an older link takes nothing from its successor.
    """
    row = _access_token(token)
    family = _family(row) if row else None
    if row is None or family is None:
        return
    older = RefreshToken.objects.filter(user=row.user_id, application=row.application_id, revoked__isnull=True)
    _revoke(older.filter(created__lt=family.created))


def _family(row: AccessToken) -> RefreshToken | None:
    """The refresh token that it came with, or from whose renewal it came."""
    renewal = getattr(row, "renewal", None)
    return renewal.refresh_token if renewal else getattr(row, "refresh_token", None)


def revoke_all(user: AbstractBaseUser | int, before: datetime | None = None) -> None:
    """End every token that we gave to Alexa for this customer, or only those older than `before`. Idempotent."""
    past = {"created__lt": before} if before else {}
    _revoke(RefreshToken.objects.filter(user=user, revoked__isnull=True, **past))
    AccessToken.objects.filter(user=user, **past).delete()
    Grant.objects.filter(user=user, **past).delete()


def _revoke(refresh_tokens: QuerySet[RefreshToken]) -> None:
    for refresh_token in refresh_tokens.order_by("pk"):
        refresh_token.revoke()


def forget_expired() -> int:
    """Delete renewals' access tokens a week after they ran out, and redeemed codes of which nothing is left to revoke."""
    week_ago = timezone.now() - timedelta(days=7)
    Grant.objects.filter(expires__lt=week_ago).delete()
    return AccessToken.objects.filter(expires__lt=week_ago, refresh_token__isnull=True).delete()[0]


class Validator(OAuth2Validator):
    """The library's validator, with its gaps closed."""

    def _extract_basic_auth(self, request: Any) -> str | None:
        """Credentials that are not ASCII are none; the library fails on them."""
        credentials = super()._extract_basic_auth(request)
        return credentials if credentials and credentials.isascii() else None

    def _load_application(self, client_id: str | None, request: Any) -> Application | None:
        """PostgreSQL stores no NUL, so it is in no client's ID."""
        return None if "\0" in (client_id or "") else super()._load_application(client_id, request)

    def is_pkce_required(self, client_id: str, request: Any) -> bool:
        """As the switch stands for this client in Alexa's console."""
        client = request.client or Application.objects.filter(client_id=client_id).first()
        return bool(client and client.pkce_required)

    def validate_response_type(
        self, client_id: str, response_type: str, client: Any, request: Any, *args: Any, **kwargs: Any
    ) -> bool:
        """Refuse a plain or malformed challenge when it is made, not after the customer has consented."""
        if request.code_challenge is not None and request.code_challenge_method != "S256":
            raise errors.UnsupportedCodeChallengeMethodError(request=request)
        if request.code_challenge is not None and not CHALLENGE.fullmatch(request.code_challenge):
            raise errors.InvalidRequestError(description="code_challenge is malformed.", request=request)
        return super().validate_response_type(client_id, response_type, client, request, *args, **kwargs)

    def validate_code(self, client_id: str, code: str, client: Any, request: Any, *args: Any, **kwargs: Any) -> bool:
        """Also: a second use revokes what the first gave; a verifier needs a challenge; the customer must be active."""
        held = Grant.objects.select_for_update().filter(code=code, application=client).first()
        if held is None:
            _revoke_what_it_gave(code, client)
            return False
        known = super().validate_code(client_id, code, client, request, *args, **kwargs)
        return known and bool(request.user.is_active) and bool(held.code_challenge or not request.code_verifier)

    def validate_refresh_token(self, refresh_token: str, client: Any, request: Any, *args: Any, **kwargs: Any) -> bool:
        return (
            super().validate_refresh_token(refresh_token, client, request, *args, **kwargs) and request.user.is_active
        )

    def validate_bearer_token(self, token: str, scopes: Any, request: Any) -> bool:
        try:
            customer_id(token or "")
        except (InvalidCredential, ExpiredCredential):
            return False
        return super().validate_bearer_token(token, scopes, request)

    def invalidate_authorization_code(self, client_id: str, code: str, request: Any, *args: Any, **kwargs: Any) -> None:
        """Nothing left to do: the code was used up in the transaction that stored its tokens."""

    def _save_bearer_token(self, token: dict[str, Any], request: Any, *args: Any, **kwargs: Any) -> None:
        """In one transaction (the caller's): use up the code or hold the refresh token, and store what is given for it."""
        if request.grant_type == "authorization_code":
            _use_up(request)
            super()._save_bearer_token(token, request, *args, **kwargs)
            _remember(request.code, token["refresh_token"])
        elif request.grant_type == "refresh_token":
            self._add_access_token(token, request)
        else:
            raise errors.UnsupportedGrantTypeError(request=request)

    def _add_access_token(self, token: dict[str, Any], request: Any) -> None:
        held = (
            RefreshToken.objects.select_for_update()
            .filter(pk=request.refresh_token_instance.pk, revoked__isnull=True)
            .first()
        )
        if held is None:
            raise errors.InvalidGrantError(request=request)
        expires = timezone.now() + timedelta(
            seconds=token.get("expires_in", oauth2_settings.ACCESS_TOKEN_EXPIRE_SECONDS)
        )
        row = self._create_access_token(expires, request, token)
        Renewal.objects.create(access_token=row, refresh_token=held)

    def revoke_token(self, token: str, token_type_hint: str, request: Any, *args: Any, **kwargs: Any) -> None:
        """Also by an access token that came from a renewal."""
        checksum = hashlib.sha256(token.encode()).hexdigest()
        for refresh_token in RefreshToken.objects.filter(
            renewals__access_token__token_checksum=checksum, application=request.client
        ):
            refresh_token.revoke()
        super().revoke_token(token, token_type_hint, request, *args, **kwargs)


def _use_up(request: Any) -> None:
    """Of two that bring the same code at once, one holds it and deletes it; the other finds it gone."""
    if not Grant.objects.filter(code=request.code, application=request.client).delete()[0]:
        raise errors.InvalidGrantError(request=request)


def _remember(code: str, refresh_token: str) -> None:
    row = RefreshToken.objects.get(
        token_checksum=hashlib.sha256(refresh_token.encode()).hexdigest(), revoked__isnull=True
    )
    RedeemedCode.objects.create(code_hash=hashlib.sha256(code.encode()).hexdigest(), refresh_token=row)


def _revoke_what_it_gave(code: str, client: Any) -> None:
    with transaction.atomic():
        redeemed = RedeemedCode.objects.filter(
            code_hash=hashlib.sha256(code.encode()).hexdigest(), refresh_token__application=client
        )
        for row in redeemed.select_related("refresh_token"):
            row.refresh_token.revoke()
