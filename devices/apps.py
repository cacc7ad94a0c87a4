"""The registry as a Django app. It imports no other room and connects no receivers: others listen to it."""

from django.apps import AppConfig


class DevicesConfig(AppConfig):
    name = "devices"
    verbose_name = "Devices"
    default_auto_field = "django.db.models.BigAutoField"
