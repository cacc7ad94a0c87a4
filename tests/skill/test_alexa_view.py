"""What Alexa sees: as a command and as a page in the admin, the same as Discover says, with what is wrong and one way to mend it."""

import json
from io import StringIO
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from devices import registry
from devices.models import DeviceModel
from skill import alexa_view, linking, outbox
from skill.models import AlexaGrant, Endpoint
from tests.skill.deeds import deliver_all, directive, make_due, more_machines

pytestmark = pytest.mark.django_db


def view(*options: str, code: int = 0) -> str:
    said = StringIO()
    if code:
        with pytest.raises(SystemExit) as ended:
            call_command("alexa_view", "alice@example.com", *options, stdout=said)
        assert ended.value.code == code
    else:
        call_command("alexa_view", "alice@example.com", *options, stdout=said)
    return said.getvalue()


@pytest.fixture
def staff(client: Any, django_user_model: Any) -> Any:
    """Signed in, may look at links."""
    person = django_user_model.objects.create_user("staff@example.com", "support", is_staff=True)
    person.user_permissions.add(Permission.objects.get(codename="view_alexagrant"))
    client.force_login(person)
    return person


class TestCommand:
    """`manage.py alexa_view`."""

    def test_it_says_exactly_what_discover_says(self, ask: Any, token: str, linked: Any) -> None:
        answer = ask(directive("Alexa.Discovery", "Discover", token))
        shown = json.loads(view("--json"))
        answer["event"]["header"]["messageId"] = alexa_view.MESSAGE_ID
        assert shown["answer"] == answer
        assert shown["bytes"] == len(json.dumps(answer))
        assert shown["wrong"] == []

    def test_all_is_well_and_no_token_is_in_it(self, linked: Any) -> None:
        said = view()
        assert "as announced" in said
        assert "Nothing is wrong." in said
        grant = AlexaGrant.objects.get(pk=linked.pk)
        said += view("--json")
        assert grant.access_token not in said
        assert grant.refresh_token not in said

    def test_not_linked_is_wrong(self, machine: Any) -> None:
        assert "not linked: never was" in view(code=1)

    def test_a_bad_device_is_named_and_the_exit_code_says_so(self, linked: Any, crema: Any) -> None:
        DeviceModel.objects.filter(pk=crema.pk).update(display_category="GRINDER")
        said = view(code=1)
        assert "GRINDER is not one of Alexa's" in said
        assert "1 of 1 devices would be refused" in said

    def test_a_new_name_is_due_and_not_wrong(self, linked: Any, machine: Any) -> None:
        registry.rename(machine, "Kitchen")
        said = view()
        assert "differs from what was announced in friendlyName: an AddOrUpdateReport is due" in said
        make_due(Endpoint.objects.all())
        deliver_all()
        assert "as announced" in view()

    def test_it_says_which_field_of_which_device(self, linked: Any, crema: Any) -> None:
        fields = ("description", "manufacturer", "display_category", "capabilities")
        was = {name: getattr(crema, name) for name in fields}
        sensors = "capabilities (names of sensors), capabilities (measurement or replenishment ID)"
        for changes, differing in [
            ({"description": "Another"}, "description"),
            ({"manufacturer": "Other"}, "additionalAttributes (model, serial number, firmware), manufacturerName"),
            ({"display_category": "OTHER"}, "displayCategories"),
            ({"capabilities": ["PowerController"]}, f"capabilities (which it has), {sensors}"),
        ]:
            DeviceModel.objects.filter(pk=crema.pk).update(**was | changes)
            (line,) = [line for line in view().splitlines() if "differs" in line]
            assert f"announced in {differing}: to be" in line

    def test_names_and_replenishment_ids_are_told_apart(self, linked: Any, crema: Any) -> None:
        crema.slots.update(name="Beans of coffee")
        assert "announced in capabilities (names of sensors): to be" in view()
        crema.slots.update(name="Coffee beans", replenishment_id="another")
        assert "announced in capabilities (measurement or replenishment ID): to be" in view()

    def test_of_an_announcement_whose_answer_was_lost_nothing_is_claimed(self, linked: Any) -> None:
        Endpoint.objects.update(announced_digest="unsure")
        assert "nobody knows how it was announced" in view()

    def test_a_released_device_is_to_be_forgotten(self, linked: Any, machine: Any) -> None:
        registry.release(machine)
        assert "a DeleteReport is due" in view()

    def test_a_stranger_is_not_there(self, db: None) -> None:
        with pytest.raises(CommandError, match="no customer nobody@"):
            call_command("alexa_view", "nobody@example.com")

    def test_queries_do_not_grow(self, linked: Any, crema: Any, alice: Any) -> None:
        def count() -> int:
            with CaptureQueriesContext(connection) as queries:
                alexa_view.look(alice)
            return len(queries)

        one = count()
        more_machines(5, crema, alice)
        assert count() == one


class TestResync:
    """The verb, and who may call it."""

    def test_everything_is_announced_and_reported_again(self, linked: Any, amazon: Any) -> None:
        for _ in range(2):
            assert outbox.resync(linked) == 1
        make_due(Endpoint.objects.all())
        deliver_all()
        assert len(amazon.named("AddOrUpdateReport")) == 1

    def test_a_lost_row_comes_back(self, linked: Any, machine: Any) -> None:
        Endpoint.objects.all().delete()
        assert "nothing is due: resync" in view(code=1)
        outbox.resync(linked)
        assert Endpoint.objects.get().device == machine

    def test_a_closed_link_is_left_alone(self, linked: Any) -> None:
        linking.close(linked.pk, AlexaGrant.objects.get().generation, "Unlinked.")
        assert outbox.resync(linked) == 0

    def test_on_the_page_with_a_reason_that_is_kept(self, client: Any, staff: Any, linked: Any, alice: Any) -> None:
        staff.user_permissions.add(Permission.objects.get(codename="resend_endpoint"))
        page = f"/admin/skill/alexagrant/of/{alice.pk}/"
        assert b"Tell Alexa everything again" in client.get(page).content
        assert client.post(page, {"reason": ""}).status_code == 200
        assert not LogEntry.objects.exists()
        answer = client.post(page, {"reason": "Ticket 77"}, follow=True)
        assert "1 devices are told to Alexa again." in answer.content.decode()
        assert LogEntry.objects.get().change_message == "Resync: Ticket 77"
        assert "description" in Endpoint.objects.get().changed

    def test_the_page_shows_the_answer_and_no_token_and_without_the_permission_nobody_resyncs(
        self, client: Any, staff: Any, linked: Any, alice: Any
    ) -> None:
        page = f"/admin/skill/alexagrant/of/{alice.pk}/"
        shown = client.get(page).content.decode()
        assert "Discover.Response" in shown
        assert "Alexa would take it." in shown
        assert AlexaGrant.objects.get().access_token not in shown
        assert "Tell Alexa everything again" not in shown
        assert client.post(page, {"reason": "x"}).status_code == 403
        assert Endpoint.objects.get().changed == {}


def test_a_stranger_does_not_see_it(client: Any, alice: Any, django_user_model: Any) -> None:
    page = f"/admin/skill/alexagrant/of/{alice.pk}/"
    client.force_login(alice)
    assert client.get(page).status_code == 302
    client.force_login(django_user_model.objects.create_user("new@example.com", "x", is_staff=True))
    assert client.get(page).status_code == 403


def test_link_and_customer_lead_there(admin_client: Any, linked: Any, alice: Any) -> None:
    there = f"/admin/skill/alexagrant/of/{alice.pk}/".encode()
    assert there in admin_client.get(f"/admin/skill/alexagrant/{linked.pk}/change/").content
    assert there in admin_client.get(f"/admin/portal/user/{alice.pk}/change/").content
