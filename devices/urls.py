"""The device API, below /api/v1/. Unknown addresses there are answered in the API's own words."""

from django.urls import path, re_path

from devices import views

urlpatterns = [
    path("readings", views.ReadingsView.as_view(), name="device_readings"),
    path("me", views.MeView.as_view(), name="device_me"),
    re_path(r"^", views.NowhereView.as_view()),
]
