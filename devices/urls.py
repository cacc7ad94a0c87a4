"""The device API, below /api/v1/. Unknown addresses there are answered in the API's own words."""

from django.urls import path, re_path

from devices import doors, iot_door, staff_api, views

urlpatterns = [
    path("readings", views.ReadingsView.as_view(), name="device_readings"),
    path("shadow", doors.ShadowView.as_view(), name="device_shadow"),
    path("events", doors.EventsView.as_view(), name="device_events"),
    path("key", doors.KeyView.as_view(), name="device_key"),
    path("iot", iot_door.IotView.as_view(), name="aws_iot"),
    path("iot/", iot_door.UndescribedIotView.as_view()),  # AWS confirms at the address with a slash after it
    path("me", views.MeView.as_view(), name="device_me"),
    path("staff/imports", staff_api.ImportsView.as_view(), name="staff_imports"),
    re_path(r"^", views.NowhereView.as_view()),
]
