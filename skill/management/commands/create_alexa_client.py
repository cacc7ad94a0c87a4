"""Make the OAuth client that Alexa is, and print exactly what goes into Amazon's console (alexa reference 8)."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from oauth2_provider.generators import generate_client_secret

from skill import enablement, oauth
from skill.models import Application


class Command(BaseCommand):
    help = __doc__

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--client-id", default="alexa", help="Client ID to give to Amazon (default: %(default)s).")
        parser.add_argument("--vendor-id", help="Your Amazon vendor ID (default: the setting ALEXA_VENDOR_ID).")
        parser.add_argument(
            "--pkce", action="store_true", help="Demand PKCE: set it as the switch stands in the console."
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
        if client and not options["new_secret"]:
            raise CommandError(
                f"The client {client.client_id!r} exists; its secret cannot be shown again. --new-secret makes another."
            )
        vendor = options["vendor_id"] or settings.ALEXA_VENDOR_ID
        secret = generate_client_secret()
        client = client or Application(client_id=options["client_id"])
        client.name = client.name or "Alexa"
        client.client_type = Application.CLIENT_CONFIDENTIAL
        client.authorization_grant_type = Application.GRANT_AUTHORIZATION_CODE
        client.redirect_uris = " ".join(
            [*oauth.redirect_addresses(vendor), enablement.return_address(), *options["redirect_uri"]]
        )
        client.pkce_required = options["pkce"]
        client.client_secret = secret
        client.full_clean(exclude=["user"])
        client.save()
        self.stdout.write(_console(client, secret))


def _console(client: Application, secret: str) -> str:
    redirects = "\n".join(f"                                 {uri}" for uri in client.redirect_uris.split())
    return f"""Alexa developer console > your skill > Build > Account Linking:

  Auth code grant                on
  Your web authorization URI     {settings.PUBLIC_URL}/o/authorize/
  Access token URI               {settings.PUBLIC_URL}/o/token/
  Your client ID                 {client.client_id}
  Your secret                    {secret}
  Authentication scheme          HTTP Basic (credentials in the request body work too)
  Scope                          alexa
  PKCE                           {"on" if client.pkce_required else "off, or on: a challenge that Alexa sends is checked"}
  Default token expiration       3600
  Allow users to link their account to your skill from within your application or website
    Your Redirect URLs           {enablement.return_address()}
  Redirect URLs the console shows must be among these:
{redirects}

The secret is shown this once. On Build > Permissions switch "Send Alexa Events" on, and put the Alexa Client Id and
Secret that appear there into ALEXA_CLIENT_ID and ALEXA_CLIENT_SECRET."""
