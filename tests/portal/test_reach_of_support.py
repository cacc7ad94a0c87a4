"""What support may do with people in the admin: help customers, and never become more than it is."""

from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.contrib.auth.models import Group, Permission
from django.urls import reverse

pytestmark = pytest.mark.django_db
NEW = {"password1": "a grinder at dawn", "password2": "a grinder at dawn", "usable_password": "true"}
INLINES = {
    f"{name}-{number}_FORMS": "0"
    for name in ("devices", "alexa_grants", "linking_attempts")
    for number in ("TOTAL", "INITIAL")
}


@pytest.fixture
def kim(django_user_model: Any) -> Any:
    """Of support: may do everything with customers and their addresses."""
    kim = django_user_model.objects.create_user("kim@example.com", "support-please", is_staff=True)
    kim.user_permissions.set(Permission.objects.filter(content_type__model__in=["user", "emailaddress"]))
    return kim


@pytest.fixture
def boss(django_user_model: Any) -> Any:
    return django_user_model.objects.create_superuser("boss@example.com", "coffee for all")


@pytest.fixture
def desk(client: Any, kim: Any) -> Any:
    client.force_login(kim)
    return client


def page(user: Any, kind: str = "change") -> str:
    return reverse(f"admin:portal_user_{kind}", args=[user.pk])


def test_a_customer_is_helped_and_gets_no_more_than_a_customer_s_rights(desk: Any, alice: Any) -> None:
    chiefs = Group.objects.create(name="Chiefs")
    form = {"email": alice.email, "name": "Alice B.", "is_active": "on", **INLINES}
    more = {"is_staff": "on", "is_superuser": "on", "groups": [chiefs.pk]}
    assert desk.post(page(alice), form | more).status_code == 302
    alice.refresh_from_db()
    assert (alice.name, alice.is_staff, alice.is_superuser) == ("Alice B.", False, False)
    assert not alice.groups.exists()
    password = reverse("admin:auth_user_password_change", args=[alice.pk])
    assert desk.post(password, NEW).status_code == 302
    alice.refresh_from_db()
    assert alice.check_password(NEW["password1"])


def test_staff_are_out_of_reach(desk: Any, kim: Any, boss: Any) -> None:
    """Colleagues, superusers, and kim's own rights as well."""
    form = {"email": "hers@example.com", "is_active": "on", "is_superuser": "on", **INLINES}
    for colleague in (kim, boss):
        before = (colleague.email, colleague.password, colleague.is_superuser)
        assert desk.get(page(colleague)).status_code == 200, "she may look"
        ticked = {"action": "delete_selected", "_selected_action": [colleague.pk], "post": "yes"}
        for address, wish in (
            (page(colleague), form),
            (reverse("admin:auth_user_password_change", args=[colleague.pk]), NEW),
            (page(colleague, "delete"), {"post": "yes"}),
            (reverse("admin:portal_user_changelist"), ticked),
        ):
            assert desk.post(address, wish).status_code == 403, (address, colleague.email)
        colleague.refresh_from_db()
        assert (colleague.email, colleague.password, colleague.is_superuser) == before


def test_nobody_s_mailbox_becomes_a_superuser_s(desk: Any, boss: Any, alice: Any) -> None:
    """Whose confirmed address it is may ask for a new password."""
    hers = EmailAddress.objects.create(user=boss, email=boss.email, verified=True, primary=True)
    assert desk.post(reverse("admin:account_emailaddress_change", args=[hers.pk])).status_code == 302
    add = reverse("admin:account_emailaddress_add")
    desk.post(add, {"user": boss.pk, "email": "kim+1@example.com", "verified": "on"})
    assert list(EmailAddress.objects.filter(user=boss)) == [hers]
    assert desk.post(add, {"user": alice.pk, "email": "alice+1@example.com", "verified": "on"}).status_code == 302
    assert EmailAddress.objects.filter(user=alice).exists()


def test_her_own_password_has_a_page_of_its_own(desk: Any, kim: Any) -> None:
    form = {"old_password": "support-please", "new_password1": NEW["password1"], "new_password2": NEW["password1"]}
    assert desk.post(reverse("admin:password_change"), form).status_code == 302
    kim.refresh_from_db()
    assert kim.check_password(NEW["password1"])


def test_a_superuser_gives_rights(client: Any, boss: Any, alice: Any) -> None:
    client.force_login(boss)
    form = {"email": alice.email, "is_active": "on", "is_staff": "on", **INLINES}
    assert client.post(page(alice), form).status_code == 302
    alice.refresh_from_db()
    assert alice.is_staff
