"""Rotation of the keys that keep Amazon's tokens: in batches, beside workers, and never at the price of a token."""

from datetime import timedelta
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from notifications.models import Message, Topic
from notifications.models.messages import seal
from portal import key_rotation
from skill.fields import Undecryptable, encrypt
from skill.models import AlexaGrant, Enablement

pytestmark = pytest.mark.django_db


@pytest.fixture
def keys(settings: Any) -> list[str]:
    """An old one and a new one; everything is still under the old."""
    old, new = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    settings.TOKEN_KEYS = [old]
    return [old, new]


@pytest.fixture
def sealed(keys: list[str], django_user_model: Any, settings: Any) -> int:
    """Links of seven customers, one enablement, one message; how many sealed values."""
    ends = timezone.now() + timedelta(hours=1)
    for number in range(7):
        user = django_user_model.objects.create_user(f"customer{number}@example.com", "x")
        tokens = {"access_token": f"Atza|{number}", "refresh_token": f"Atzr|{number}"}
        AlexaGrant.objects.create(user=user, region="NA", accepted_at=timezone.now(), expires_at=ends, **tokens)
    Enablement.objects.create(user=user, access_token="Atza|e", refresh_token="Atzr|e", expires_at=ends, host="h")
    topic = Topic.objects.create(arn="arn:aws:sns:us-east-1:000000000000:t")
    Message.objects.create(topic=topic, message_id="m", sent_at=ends, body="{}", sealed=seal({"Token": "t"}))
    settings.TOKEN_KEYS = [keys[1], keys[0]]
    return 7 * 2 + 2 + 1


def run(**options: Any) -> tuple[int, int]:
    tallies = {tally.column: tally for tally in key_rotation.rotate(**options)}
    return sum(tally.seen for tally in tallies.values()), sum(tally.rotated for tally in tallies.values())


def test_everything_is_under_the_new_key_and_reads_the_same(sealed: int, keys: list[str], settings: Any) -> None:
    assert run(batch=3) == (sealed, sealed)
    settings.TOKEN_KEYS = [keys[1]]
    grants = AlexaGrant.objects.defer(None).order_by("pk")
    assert [grant.refresh_token for grant in grants] == [f"Atzr|{number}" for number in range(7)]
    assert Enablement.objects.get().access_token == "Atza|e"
    assert Message.objects.get().unseal() == {"Token": "t"}
    assert run(batch=3) == (sealed, 0), "twice changes nothing"


def test_a_dry_run_counts_and_changes_nothing(sealed: int, keys: list[str], settings: Any, capsys: Any) -> None:
    call_command("rotate_token_keys", "--dry-run")
    assert "skill.AlexaGrant.access_token: 7 sealed, 7 to rotate" in capsys.readouterr().out
    settings.TOKEN_KEYS = [keys[1]]
    with pytest.raises(Undecryptable):
        _ = AlexaGrant.objects.defer(None).first().access_token  # type: ignore[union-attr]


def test_stopped_in_the_middle_and_run_again(sealed: int) -> None:
    next(iter(key_rotation.rotate(batch=3)))
    assert run(batch=3) == (sealed, sealed - 3)


def test_what_a_worker_stores_meanwhile_stays(sealed: int, keys: list[str], settings: Any, monkeypatch: Any) -> None:
    write = key_rotation._write

    def overtaken(model: Any, name: str, changes: Any) -> int:
        if model is AlexaGrant and name == "access_token":
            AlexaGrant.objects.filter(pk=changes[0][0]).update(access_token="Atza|newer")
        return write(model, name, changes)

    monkeypatch.setattr(key_rotation, "_write", overtaken)
    tallies = {tally.column: tally for tally in key_rotation.rotate(batch=100)}
    assert tallies["skill.AlexaGrant.access_token"].overtaken == 1
    settings.TOKEN_KEYS = [keys[1]]
    assert AlexaGrant.objects.order_by("pk").values_list("access_token", flat=True)[0] == "Atza|newer"


def test_what_no_key_opens_is_named_and_the_rest_is_done(sealed: int, keys: list[str], capsys: Any) -> None:
    lost = AlexaGrant.objects.order_by("pk").first()
    assert lost
    foreign = Fernet(Fernet.generate_key()).encrypt(b"Atza|x").decode()
    with connection.cursor() as cursor:
        cursor.execute("UPDATE skill_alexagrant SET access_token = %s WHERE id = %s", [foreign, lost.pk])
    with pytest.raises(CommandError, match="1 values are opened by no key"):
        call_command("rotate_token_keys", "--batch", "2")
    out = capsys.readouterr().out
    assert f"6 rotated, 1 lost (ids {lost.pk})" in out
    assert "Atz" not in out


def test_the_ring_still_writes_with_the_first_key(keys: list[str], settings: Any) -> None:
    settings.TOKEN_KEYS = [keys[1], keys[0]]
    assert Fernet(keys[1]).decrypt(encrypt("Atza|1").encode()) == b"Atza|1"
