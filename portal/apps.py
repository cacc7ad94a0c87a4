"""The portal app: system checks and the welcome of signals."""

from django.apps import AppConfig


class PortalConfig(AppConfig):
    name = "portal"
    verbose_name = "People"

    def ready(self) -> None:
        from portal import checks  # noqa: F401  (registers the checks)
