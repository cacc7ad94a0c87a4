"""The portal app: wires what must be there in every process. It is the last of all apps, so the first to know that all are loaded."""

import gc
from typing import Any

from django.apps import AppConfig


class PortalConfig(AppConfig):
    name = "portal"
    verbose_name = "People"

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        gc.disable()  # nothing of what is loaded now goes again; to look through it for circles is a fifth of a start

    def ready(self) -> None:
        from portal import celery, checks  # noqa: F401  (makes the Celery app, registers the checks)

        gc.freeze()  # nor is it looked through later
        gc.enable()
