"""The admin's sign-in: right and wrong passwords, strangers, and guesses that are counted at both doors together."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.cache import cache
from django.db import connection

ADMIN, PORTAL = "/admin/login/?next=/admin/", "/accounts/login/"
SAM, PASSWORD = "sam@example.com", "support-please"


@pytest.fixture(autouse=True)
def sam(db: None, django_user_model: Any) -> Any:
    cache.clear()
    yield django_user_model.objects.create_superuser(SAM, PASSWORD)
    cache.clear()


def knock(client: Any, password: str, email: str = SAM) -> Any:
    return client.post(ADMIN, {"username": email, "password": password})


def test_staff_come_in(client: Any) -> None:
    assert knock(client, PASSWORD).url == "/admin/"
    assert client.get("/admin/").status_code == 200


def test_a_wrong_password_and_a_customer_do_not(client: Any, alice: Any) -> None:
    assert "correct" in knock(client, "wrong").content.decode()
    alice.set_password("coffee-please")
    alice.save()
    assert knock(client, "coffee-please", alice.email).status_code == 200
    assert client.get("/admin/").status_code == 302


def test_after_too_many_guesses_even_the_right_one_must_wait(client: Any) -> None:
    for guess in range(10):
        knock(client, f"guess {guess}")
    refused = knock(client, PASSWORD)
    assert "Too many failed login attempts" in refused.content.decode()
    assert client.get("/admin/").status_code == 302
    push_out_of_the_cache()
    assert "Too many failed login attempts" in knock(client, PASSWORD).content.decode(), "a stranger cannot help"


def push_out_of_the_cache() -> None:
    entries = "SELECT 'zz' || n, 'x', now() + interval '1 hour' FROM generate_series(1, 2000) AS n"
    with connection.cursor() as cursor:
        cursor.execute(f"INSERT INTO portal_cache {entries}")
    cache.set("one-more", 1)


def test_guesses_at_the_other_door_count_too(client: Any) -> None:
    for guess in range(10):
        client.post(PORTAL, {"login": SAM, "password": f"guess {guess}"})
    assert "Too many failed login attempts" in knock(client, PASSWORD).content.decode()


def test_whatever_is_typed_gets_an_answer(client: Any) -> None:
    for email in ("", "\x00", "nobody@example.com", "a" * 400):
        assert knock(client, "x", email).status_code == 200, email
