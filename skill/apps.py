"""The skill's app: connects the registry's signals."""

from django.apps import AppConfig


class SkillConfig(AppConfig):
    name = "skill"
    verbose_name = "Alexa"

    def ready(self) -> None:
        from skill import receivers  # noqa: F401  (connects them)
