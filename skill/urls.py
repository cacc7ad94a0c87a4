"""Alexa's door."""

from django.urls import path

from skill import views

urlpatterns = [path("directive", views.directive, name="skill_directive")]
