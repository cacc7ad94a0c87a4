"""What Dash said about one machine's registration and subscriptions adds up to the same in any sequence. Pure."""

import json
from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from notifications import drs, folds
from tests.notifications.conftest import refused
from tests.notifications.signing_amazon import chosen, dash

SUBSCRIBED, REGISTERED, DEREGISTERED = drs.ABOUT_DEVICES
ALICE, BOB = "amzn1.account.ALICE", "amzn1.account.BOB"
BEANS = (drs.Item(Decimal(2), "count", "B00BEANS01"),)


def read(kind: str, hour: int, customer: str = ALICE, **changes: Any) -> drs.Notification:
    time = f"2026-11-21T{hour:02}:00:00.000Z"
    return drs.parse(json.dumps(dash(kind, time=time, customer=customer, **changes)))


def state(*said: drs.Notification) -> folds.RegistrationState:
    found = folds.registration(said)
    assert found is not None
    return found


def standing(*said: drs.Notification) -> tuple[str, str, int, list[tuple[str, bool]]]:
    found = state(*said)
    return found.state, found.customer_id, found.epoch, [(slot.slot_id, slot.subscribed) for slot in found.slots]


def test_nothing_said_is_no_registration() -> None:
    assert folds.registration([]) is None


def test_registered_and_subscribed() -> None:
    assert standing(read(REGISTERED, 1), read(SUBSCRIBED, 2)) == ("REGISTERED", ALICE, 1, [("beans", True)])


def test_the_subscription_of_a_registration_may_carry_the_earlier_time() -> None:
    assert standing(read(SUBSCRIBED, 1), read(REGISTERED, 2)) == ("REGISTERED", ALICE, 1, [("beans", True)])


def test_a_subscription_alone_is_provisional() -> None:
    assert standing(read(SUBSCRIBED, 1)) == ("PROVISIONAL", ALICE, 0, [("beans", True)])


def test_deregistered_leaves_nothing_subscribed() -> None:
    said = read(REGISTERED, 1), read(SUBSCRIBED, 2), read(DEREGISTERED, 3)
    assert standing(*said) == ("DEREGISTERED", "", 1, [])


def test_a_tombstone_is_not_revived_by_an_older_registration() -> None:
    assert standing(read(DEREGISTERED, 3)) == ("DEREGISTERED", "", 0, [])
    assert standing(read(DEREGISTERED, 3), read(REGISTERED, 2), read(SUBSCRIBED, 2))[0] == "DEREGISTERED"


def test_of_one_instant_deregistered_is_later() -> None:
    assert standing(read(DEREGISTERED, 2, id="a"), read(REGISTERED, 2, id="z"))[0] == "DEREGISTERED"


def test_the_same_customer_again_without_a_deregistration_is_no_new_epoch() -> None:
    said = read(REGISTERED, 1), read(SUBSCRIBED, 2), read(REGISTERED, 3)
    assert standing(*said) == ("REGISTERED", ALICE, 1, [("beans", True)])


def test_the_same_customer_after_a_deregistration_begins_anew() -> None:
    said = read(REGISTERED, 1), read(SUBSCRIBED, 2), read(DEREGISTERED, 3), read(REGISTERED, 4)
    assert standing(*said) == ("REGISTERED", ALICE, 2, [])


def test_bob_gets_nothing_of_what_alice_chose() -> None:
    said = read(REGISTERED, 1), read(SUBSCRIBED, 2), read(REGISTERED, 3, BOB)
    assert standing(*said) == ("REGISTERED", BOB, 2, [])
    assert standing(*said, read(SUBSCRIBED, 4)) == ("REGISTERED", BOB, 2, [])
    assert standing(*said, read(SUBSCRIBED, 4, BOB)) == ("REGISTERED", BOB, 2, [("beans", True)])


def test_alice_gets_it_back_without_what_she_chose_before() -> None:
    said = read(REGISTERED, 1), read(SUBSCRIBED, 2), read(REGISTERED, 3, BOB), read(REGISTERED, 5)
    assert standing(*said) == ("REGISTERED", ALICE, 3, [])
    assert standing(*said, read(SUBSCRIBED, 4)) == ("REGISTERED", ALICE, 3, [("beans", True)])


def test_a_slot_that_is_not_mentioned_stays() -> None:
    said = read(SUBSCRIBED, 1), read(SUBSCRIBED, 2, slots={"milk": chosen("B00MILK001", subscribed=False)})
    assert standing(*said)[3] == [("beans", True), ("milk", False)]


def test_version_1_keeps_the_products_and_says_that_they_are_old() -> None:
    [slot] = state(read(SUBSCRIBED, 1), read(SUBSCRIBED, 2, slots={"beans": False})).slots
    assert (slot.subscribed, slot.products, slot.stale) == (False, BEANS, True)
    [slot] = state(read(SUBSCRIBED, 1, slots={"beans": True})).slots
    assert (slot.subscribed, slot.products, slot.stale) == (True, (), False)


def test_products_listed_do_not_mean_subscribed() -> None:
    [slot] = state(read(SUBSCRIBED, 1, slots={"beans": chosen(subscribed=False)})).slots
    assert (slot.subscribed, slot.products) == (False, BEANS)


def test_a_replaced_or_cleared_product_is_flagged() -> None:
    for new, gone in (("B00DECAF01", ("B00BEANS01",)), ("", ("B00BEANS01",)), ("B00BEANS01", ())):
        said = read(SUBSCRIBED, 1), read(SUBSCRIBED, 2, slots={"beans": chosen(new)})
        [slot] = state(*said).slots
        assert slot.gone == gone, new
        [slot] = state(*said, read(SUBSCRIBED, 3, slots={"beans": chosen(new)})).slots
        assert slot.gone == gone, new


def test_what_no_slot_looks_like_is_not_read() -> None:
    for slots in (
        [],
        None,
        {"beans": 1},
        {"beans": {}},
        {"beans": {"subscribed": "yes"}},
        {"": True},
        {"\x00": True},
        {"beans": {"subscribed": True, "productInfoList": {}}},
        {"beans": {"subscribed": True, "productInfoList": [{"asin": "A", "quantity": True, "unit": "count"}]}},
    ):
        with refused(slots, drs.Unreadable):
            read(SUBSCRIBED, 1, slots=slots)


def test_a_registration_of_nobody_is_not_read() -> None:
    for kind in (SUBSCRIBED, REGISTERED):
        document = dash(kind)
        del document["customerInfo"]
        with refused(kind, drs.Unreadable, match="customerInfo"):
            drs.parse(json.dumps(document))


def test_each_slot_has_its_own_version_and_the_model_may_go_by_another_name() -> None:
    document = dash(SUBSCRIBED, slots={"beans": True, "milk": chosen("B00MILK001")})
    document["deviceInfo"]["productIdentifier"] = {"myDeviceModel": "CREMA-20"}
    said = drs.parse(json.dumps(document), {"version": {"Type": "String", "Value": "1.0"}})
    assert (said.version, said.model_id) == ("2", "CREMA-20")
    assert said.remarks == (
        "The model ID goes by another name.",
        "It is of both versions, slot by slot.",
        "It is announced as version 1 and built like version 2.",
    )
    assert drs.from_json(json.loads(json.dumps(drs.as_json(said)))) == said


SLOTS = st.dictionaries(
    st.sampled_from(["beans", "milk"]),
    st.booleans()
    | st.builds(chosen, st.sampled_from(["", "B00BEANS01", "B00MILK001"]), st.booleans()),
)  # fmt: skip
SAID = st.builds(
    lambda kind, hour, customer, number, slots: read(kind, hour, customer, id=f"id-{number}", slots=slots),
    st.sampled_from(drs.ABOUT_DEVICES), st.integers(0, 3), st.sampled_from([ALICE, BOB]), st.integers(0, 9), SLOTS
)  # fmt: skip


@given(st.lists(SAID, max_size=10).flatmap(lambda said: st.tuples(st.just(said), st.permutations(said + said[:5]))))
def test_any_order_and_any_repetition_come_to_the_same_also_as_it_is_stored(pair: tuple[list[Any], list[Any]]) -> None:
    said, shuffled = pair
    found = folds.registration(said)
    assert folds.registration(shuffled) == found
    stored = [drs.from_json(json.loads(json.dumps(drs.as_json(one)))) for one in said]
    assert folds.registration(stored) == found
    if found and found.slots:  # never a stranger's
        theirs = {slot.slot_id for one in said if one.customer_id == found.customer_id for slot in one.slots}
        assert {slot.slot_id for slot in found.slots} <= theirs
