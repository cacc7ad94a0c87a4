"""Filters of the admin's lists whose choices are known beforehand: asking millions of rows which values they hold takes seconds."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from skill.diagnosis import CAUSES
from skill.models import AnswerCount

NAMES = ["InventoryConsumed", "DoorbellPress", "Response", "ErrorResponse"]


class Among(admin.SimpleListFilter):
    """Rows whose `column` is exactly the chosen value."""

    column: str

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(**{self.column: self.value()}) if self.value() else queryset


class AnswerFilter(Among):
    """Amazon's answer, of those that were counted lately."""

    title, parameter_name, column = "Amazon's answer", "answer", "last_code"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        counted = AnswerCount.objects.filter(kind="answer").exclude(label="ACCEPTED")
        return [(code, code) for code in counted.order_by("label").values_list("label", flat=True).distinct()]


class MissedAnswerFilter(AnswerFilter):
    """The same, as a missed report keeps it."""

    column = "code"


class NameFilter(Among):
    """Which event."""

    title, parameter_name, column = "name", "name", "name"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(name, name) for name in NAMES]


class CauseFilter(Among):
    """Why an attempt to link failed."""

    title, parameter_name, column = "cause", "failure", "failure"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(name, cause.what) for name, cause in CAUSES.items()]
