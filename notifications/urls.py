"""The door, with and without the slash: SNS takes a redirect for a refusal and gives up for ever."""

from django.urls import re_path

from notifications import views

urlpatterns = [re_path(r"^(?:/)?$", views.door, name="sns")]
