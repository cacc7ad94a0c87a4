"""The portal app: wires what must be there in every process."""

from django.apps import AppConfig


class PortalConfig(AppConfig):
    name = "portal"
    verbose_name = "People"

    def ready(self) -> None:
        from portal import celery, checks  # noqa: F401  (makes the Celery app, registers the checks)
