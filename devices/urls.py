"""The device API, below /api/v1/. Unknown addresses here are answered in the API's own words."""

from django.urls import URLPattern

urlpatterns: list[URLPattern] = []
