"""Our OAuth server's own rows: its client, the codes that were redeemed, the tokens that came from a renewal."""

from django.db import models
from django.db.models.functions import Now
from oauth2_provider.models import AbstractApplication


class Application(AbstractApplication):
    """An OAuth client of ours; in production one: Alexa."""

    pkce_required = models.BooleanField(
        "PKCE required",
        default=False,
        help_text="Set it as the PKCE switch stands in Alexa's console. A challenge that is sent is always checked.",
    )

    class Meta(AbstractApplication.Meta):
        swappable = "OAUTH2_PROVIDER_APPLICATION_MODEL"
        verbose_name = "OAuth client"

    def redirect_uri_allowed(self, uri: str) -> bool:
        """To the letter (RFC 9700, 4.1.1); the library takes addresses apart, which fails on some."""
        return uri in self.redirect_uris.split()


class RedeemedCode(models.Model):
    """An authorization code that was used, by hash: its second use revokes what the first gave (RFC 6749, 4.1.2)."""

    code_hash = models.CharField(max_length=64, primary_key=True)
    refresh_token = models.ForeignKey("oauth2_provider.RefreshToken", on_delete=models.CASCADE, related_name="+")
    redeemed_at = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return f"code redeemed at {self.redeemed_at:%Y-%m-%d %H:%M}"


class Renewal(models.Model):
    """Which refresh token an access token came from, so that revoking the one ends all of the other."""

    access_token = models.OneToOneField(
        "oauth2_provider.AccessToken", on_delete=models.CASCADE, primary_key=True, related_name="renewal"
    )
    refresh_token = models.ForeignKey("oauth2_provider.RefreshToken", on_delete=models.CASCADE, related_name="renewals")

    def __str__(self) -> str:
        return f"access token #{self.access_token_id} of refresh token #{self.refresh_token_id}"
