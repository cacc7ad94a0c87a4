"""What the on-call engineer sees and does: figures at a glance, /metrics, who was missed and why, events that were refused."""

from __future__ import annotations

import csv
import io
import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.core.cache import cache
from django.db import connection
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from portal.models import Alarm
from skill import counts, misses, outbox
from skill.models import AlexaGrant, Endpoint, Event, Gateway, Miss

pytestmark = pytest.mark.django_db
MISSES, EVENTS = "admin:skill_miss_changelist", "admin:skill_event_changelist"


@pytest.fixture(autouse=True)
def nothing_remembered(db: None) -> None:
    cache.delete_many(["skill.figures", "skill.levels"])


@pytest.fixture
def sam(django_user_model: Any) -> Any:
    """Sam of support may look."""
    user = django_user_model.objects.create_user("sam@example.com", "support all the way", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(content_type__app_label="skill", codename__startswith="view_"))
    return user


@pytest.fixture
def desk(client: Any, sam: Any) -> Any:
    client.force_login(sam)
    return client


def allow(sam: Any, permission: str) -> None:
    sam.user_permissions.add(Permission.objects.get(codename=permission))


@pytest.fixture
def missed(machine: Any) -> Miss:
    """Alice's coffee machine, linked for two days and never reported."""
    long_ago = timezone.now() - timedelta(hours=25)
    grant = AlexaGrant.objects.create(
        user=machine.owner, region="NA", accepted_at=long_ago, expires_at=long_ago, access_token="Atza|secret"
    )
    outbox.introduce(grant, [machine])
    machine.inventories.create(
        slot=machine.device_model.slots.get(), value=50, measured_at=long_ago, heard_at=long_ago, epoch=0, sequence=1
    )
    Endpoint.objects.update(
        owed_since=long_ago, last_code="THROTTLING_EXCEPTION", last_text="=slow down", due_at=Now() + timedelta(hours=1)
    )
    assert misses.notice_all() == 1
    return Miss.objects.get()


@pytest.fixture
def refused(missed: Miss) -> Event:
    return Event.objects.create(
        endpoint=missed.endpoint, namespace="Alexa.InventoryUsageSensor", name="InventoryConsumed", payload={},
        status="parked", settled_at=timezone.now(), last_code="INVALID_REQUEST_EXCEPTION",
    )  # fmt: skip


def act(desk: Any, board: str, action: str, row: Any, follow: bool = False, **more: str) -> Any:
    return desk.post(reverse(board), {"action": action, "_selected_action": [row.pk]} | more, follow=follow)


class TestMissedReports:
    def test_who_and_why(self, desk: Any, missed: Miss) -> None:
        page = desk.get(reverse(MISSES)).content.decode()
        for words in ("CRM20-0001", "Beans.Hopper", "alice@example.com", "Amazon refused", "THROTTLING_EXCEPTION"):
            assert words in page
        assert desk.get(reverse("admin:skill_miss_change", args=[missed.pk])).status_code == 200

    def test_the_last_24_hours_unless_more_is_asked_for(self, desk: Any, missed: Miss) -> None:
        Miss.objects.update(deadline_at=Now() - timedelta(days=3))
        seen = {
            query: "CRM20-0001" in desk.get(reverse(MISSES) + query).content.decode()
            for query in ("", "?when=week", "?when=all", "?when=all&reason=late", "?when=all&q=alice@example.com")
        }
        assert list(seen.values()) == [False, True, True, False, True]

    def test_report_them_now_asks_why_and_writes_it_down(self, desk: Any, sam: Any, missed: Miss) -> None:
        act(desk, MISSES, "report_now", missed, reason="I may not")
        allow(sam, "resend_endpoint")
        asked = act(desk, MISSES, "report_now", missed)
        assert "It is kept in the history" in asked.content.decode()
        assert Endpoint.objects.filter(due_at__gt=Now()).exists(), "nothing was done yet"
        done = act(desk, MISSES, "report_now", missed, follow=True, reason="Ticket 7")
        assert "Report to Alexa now: 1 of 1." in done.content.decode()
        assert Endpoint.objects.filter(due_at__lte=Now(), daily_at__lte=Now()).exists()
        entry = LogEntry.objects.get()
        assert (entry.user, entry.object_id) == (sam, str(missed.pk))
        assert "Report to Alexa now: Ticket 7" in entry.get_change_message()

    def test_a_customer_sees_nothing(self, client: Any, missed: Miss, alice: Any) -> None:
        client.force_login(alice)
        assert client.get(reverse(MISSES)).status_code == 302

    def test_as_a_file_that_no_spreadsheet_runs(self, desk: Any, missed: Miss) -> None:
        answer = act(desk, MISSES, "export", missed)
        rows = list(csv.DictReader(io.StringIO(b"".join(answer.streaming_content).decode())))
        assert [row["serial number"] for row in rows] == ["CRM20-0001"]
        assert (rows[0]["reason"], rows[0]["code"], rows[0]["text"]) == (
            "refused",
            "THROTTLING_EXCEPTION",
            "'=slow down",
        )


class TestRefusedEvents:
    def test_the_page_asks_for_nothing_that_walks_all_events(self, desk: Any, refused: Event) -> None:
        with CaptureQueriesContext(connection) as asked:
            assert "CRM20-0001" in desk.get(reverse(EVENTS)).content.decode()
        about = [query["sql"] for query in asked if "skill_event" in query["sql"]]
        assert about
        assert not [sql for sql in about if re.search(r"\b(MIN|MAX)\(", sql)]

    def test_told_again_with_a_reason_or_let_go(self, desk: Any, sam: Any, refused: Event) -> None:
        act(desk, EVENTS, "resend", refused, reason="I may not")
        assert Event.objects.get().status == "parked"
        allow(sam, "resend_event")
        act(desk, EVENTS, "resend", refused)
        assert Event.objects.get().status == "parked"
        assert "1 of 1" in act(desk, EVENTS, "resend", refused, follow=True, reason="Mended").content.decode()
        assert Event.objects.get().status == "pending"
        assert "Mended" in LogEntry.objects.get().get_change_message()
        assert "0 of 1" in act(desk, EVENTS, "resend", refused, follow=True, reason="Twice").content.decode()
        Event.objects.update(status="parked")
        act(desk, EVENTS, "let_go", refused, reason="Too old")
        assert Event.objects.get().status == "cancelled"


class TestTheFirstPage:
    def test_coverage_at_a_glance(self, desk: Any, missed: Miss, refused: Event) -> None:
        counts.add([("NA", "answer", "THROTTLING_EXCEPTION", 7), ("NA", "seconds", "0.1", 7)])
        Gateway.objects.create(name="EU", open_until=Now() + timedelta(minutes=1))
        page = re.sub(r"\s+", " ", desk.get(reverse("admin:index")).content.decode())
        for words in (
            "0.00%",
            "0 of 1 levels",
            "Amazon refused or did not answer",
            "paused",
            "50% within 0.1 s",
            "THROTTLING",
        ):
            assert words in page

    def test_an_empty_house(self, desk: Any) -> None:
        assert "0 of 0 levels" in desk.get(reverse("admin:index")).content.decode()

    def test_who_may_not_see_endpoints_sees_none_of_it(self, desk: Any, sam: Any) -> None:
        sam.user_permissions.clear()
        page = desk.get(reverse("admin:index"))
        assert page.status_code == 200
        assert "Delivery at a glance" not in page.content.decode()


class TestMetrics:
    def test_what_prometheus_reads(self, client: Any, settings: Any, missed: Miss, refused: Event) -> None:
        settings.METRICS_TOKEN = "let-me-see"
        counts.add([("NA", "answer", 'BAD"\\\n', 7), ("NA", "seconds", "0.1", 5), ("NA", "seconds", "+Inf", 2)])
        answer = client.get("/metrics", headers={"Authorization": "Bearer let-me-see"})
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        lines = answer.content.decode().splitlines()
        for line in (
            "alexa_levels 1",
            "alexa_levels_behind 1",
            "alexa_coverage_ratio 0",
            'alexa_missed_24h{reason="refused"} 1',
            "alexa_parked_events 1",
            r'alexa_answers_total{door="NA",code="BAD\"\\\n"} 7',
            'alexa_wire_seconds_bucket{region="NA",le="0.05"} 0',
            'alexa_wire_seconds_bucket{region="NA",le="10"} 5',
            'alexa_wire_seconds_bucket{region="NA",le="+Inf"} 7',
            'alexa_wire_seconds_count{region="NA"} 7',
        ):
            assert line in lines
        assert all(re.fullmatch(r"# (HELP|TYPE) .+|[a-z_0-9]+(\{.*\})? [-+0-9.e]+", line) for line in lines)

    def test_every_metric_is_explained_once_and_named_as_prometheus_names(
        self, client: Any, settings: Any, missed: Miss, refused: Event
    ) -> None:
        settings.METRICS_TOKEN = "t"
        Alarm.objects.create(condition="parked", title="Events that Alexa refused")
        counts.add([("NA", "answer", "ACCEPTED", 7), ("NA", "seconds", "0.1", 5)])
        text = client.get("/metrics", headers={"Authorization": "Bearer t"}).content.decode()
        types = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE))
        helps = re.findall(r"^# HELP (\S+) ([A-Z1].+\.)$", text, re.MULTILINE)
        assert [name for name, _ in helps] == list(types)
        assert all((kind == "counter") == name.endswith("_total") for name, kind in types.items())
        ends = r"(_bucket|_count)?"
        told = {re.sub(f"{ends}$", "", name) for name in re.findall(r"^([a-z]\w+)[{ ]", text, re.MULTILINE)}
        assert told - {"alexa_answers_total"} <= set(types)
        assert 'portal_alarms_open{condition="parked"} 1' in text
        assert [f'alexa_overdue_seconds{{region="{region}"}}' in text for region in ("NA", "EU", "FE")] == [True] * 3

    def test_strangers_are_refused(self, client: Any, settings: Any) -> None:
        settings.METRICS_TOKEN = "let-me-see"
        for header in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic let-me-see"}):
            assert client.get("/metrics", headers=header).status_code == 403, header

    def test_without_a_token_only_this_machine_under_embedded(self, client: Any, settings: Any) -> None:
        settings.METRICS_TOKEN = ""
        settings.EMBEDDED = True
        assert client.get("/metrics").status_code == 200
        assert client.get("/metrics", headers={"X-Forwarded-For": "127.0.0.1"}).status_code == 403
        assert client.get("/metrics", REMOTE_ADDR="10.0.0.7").status_code == 403
        settings.EMBEDDED = False
        assert client.get("/metrics").status_code == 403

    def test_scraping_often_does_not_count_often(
        self, client: Any, settings: Any, django_assert_num_queries: Any
    ) -> None:
        settings.METRICS_TOKEN = "t"
        client.get("/metrics", headers={"Authorization": "Bearer t"})
        with django_assert_num_queries(2):  # the cache, and the open alarms
            client.get("/metrics", headers={"Authorization": "Bearer t"})
