"""Dash: three low updates in a row are one order; placed, shipped, cancelled, told again, also after a restart."""

import json

from tests.sandbox.far_side import change_report, clone, coffee_machine, connectivity, run


async def levels(world, *percents: float) -> None:
    """Reports these levels, one after the other."""
    for percent in percents:
        assert await world.report(percent) == 202


async def orders(world) -> list[dict]:
    return (await world.state())["orders"]


def messages(world) -> list[dict]:
    """What the portal got, the inner message opened."""
    return [json.loads(json.loads(body)["Message"]) for body in world.portal.bodies]


def kinds(world) -> list[str]:
    return [message["notificationInfo"]["notificationType"] for message in messages(world)]


def test_three_low_updates_in_a_row_are_one_order(tmp_path):
    async def scene(world):
        await world.linked()
        await levels(world, 50, 20, 12)
        assert await orders(world) == []
        await levels(world, 12)
        assert [order["state"] for order in await orders(world)] == ["placed"]
        await levels(world, 10, 8, 0, 0)
        assert len(await orders(world)) == 1

    run(scene, tmp_path)


def test_the_same_low_level_three_times_is_three_updates(tmp_path):
    async def scene(world):
        await world.linked()
        await levels(world, 0, 0, 0)
        assert len(await orders(world)) == 1

    run(scene, tmp_path)


def test_one_higher_level_between_begins_anew(tmp_path):
    async def scene(world):
        await world.linked()
        await levels(world, 20, 20, 21, 20, 20)
        assert await orders(world) == []
        await levels(world, 20)
        assert len(await orders(world)) == 1

    run(scene, tmp_path)


def test_a_refill_ends_the_low_spell_and_the_next_one_orders_again(tmp_path):
    async def scene(world):
        await world.linked()
        await levels(world, 5, 5, 5, 100, 5, 5, 5)
        assert [order["number"] for order in await orders(world)] == [1, 2]

    run(scene, tmp_path)


def test_connectivity_is_no_update_of_a_level(tmp_path):
    async def scene(world):
        await world.linked()
        await levels(world, 5, 5)
        message = clone(change_report(5, world.portal.lwa_tokens["access_token"]))
        message["event"]["payload"]["change"]["properties"] = [connectivity("UNREACHABLE")]
        message["context"] = {}
        assert (await world.event(message)).status == 202
        assert await orders(world) == []

    run(scene, tmp_path)


def test_the_threshold_and_the_customers_choice(tmp_path):
    async def scene(world):
        await world.linked()
        await world.act("weather", threshold=50, automatic_reorder=False)
        await levels(world, 50, 50, 50)
        assert await orders(world) == []
        await world.act("weather", automatic_reorder=True)
        await levels(world, 50)
        assert len(await orders(world)) == 1

    run(scene, tmp_path)


def test_the_order_placed_notification_is_that_of_version_2(tmp_path):
    async def scene(world):
        await world.linked()
        await levels(world, 5, 5, 5)
        await world.until(lambda: world.portal.bodies)
        message = messages(world)[0]
        order = (await orders(world))[0]
        assert message["notificationInfo"].pop("notificationId").startswith("amzn1.dash.notification.v1.")
        assert message["notificationInfo"].pop("notificationTime").endswith("Z")
        assert message.pop("customerInfo")["directedCustomerId"].startswith("amzn1.account.")
        product = {"asin": "B0CREMABNS", "quantity": 1.0, "unit": "count"}
        assert message == {
            "notificationInfo": {
                "notificationType": "OrderPlacedNotification",
                "lwaClientId": "lwa-client",
                "version": "2015-06-05",
            },
            "deviceInfo": {
                "deviceIdentifier": {"serialNumber": "CREMA-1"},
                "productIdentifier": {"modelId": "crema-2026"},
            },
            "orderInfo": {
                "instanceId": order["id"],
                "slotId": "beans",
                "productInfo": [product | {"estimatedDeliveryDate": order["estimated_delivery"]}],
            },
        }
        assert '"quantity": 1.0' in json.loads(world.portal.bodies[0])["Message"]

    run(scene, tmp_path)


def test_shipping_and_cancelling(tmp_path):
    async def scene(world):
        await world.linked()
        await levels(world, 5, 5, 5, 90, 5, 5, 5)
        first, second = await orders(world)
        await world.act("ship", order=first["id"])
        await world.act("cancel", order=second["id"])
        await world.until(lambda: len(world.portal.bodies) == 4)
        placed = ["OrderPlacedNotification"] * 2
        assert kinds(world) == [*placed, "ItemShippedNotification", "OrderCancelledNotification"]
        assert messages(world)[3]["orderInfo"] == {"instanceId": second["id"], "slotId": "beans"}
        assert "MessageAttributes" not in json.loads(world.portal.bodies[3])
        refused = await world.act("cancel", status=409, order=first["id"])
        assert refused["error"] == "Order 1 is already shipped."
        assert (await world.act("ship", status=409))["error"] == "There is no open order."
        assert (await world.act("ship", status=409, order="none"))["error"] == "There is no such order."

    run(scene, tmp_path)


def test_a_resend_is_a_new_sns_message_with_the_same_notification(tmp_path):
    async def scene(world):
        await world.linked()
        await levels(world, 5, 5, 5)
        await world.act("resend")
        await world.until(lambda: len(world.portal.bodies) == 2)
        first, second = (json.loads(body) for body in world.portal.bodies)
        assert first["MessageId"] != second["MessageId"]
        assert first["Message"] == second["Message"]

    run(scene, tmp_path)


def test_another_serial_is_told_as_discovery_told_it(tmp_path):
    async def scene(world):
        machine = clone(coffee_machine())
        machine["additionalAttributes"] |= {"serialNumber": "CREMA-9", "model": "Crema 9"}
        world.portal.endpoints = [machine]
        await world.linked()
        await levels(world, 5, 5, 5)
        order = (await orders(world))[0]
        assert (order["serial"], order["model"]) == ("CREMA-9", "Crema 9")

    run(scene, tmp_path)


def test_after_a_restart_the_household_the_count_and_the_undelivered_message_go_on(tmp_path):
    async def before(world):
        world.portal.sns_answers = [503] * 99
        await world.linked()
        await levels(world, 5, 5, 5, 90, 5, 5)
        await world.until(lambda: world.portal.bodies)
        return world.portal.lwa_tokens

    async def after(world):
        await world.until(lambda: world.portal.bodies)
        assert kinds(world) == ["OrderPlacedNotification"]
        world.portal.lwa_tokens = tokens
        await levels(world, 5)
        assert [order["number"] for order in await orders(world)] == [1, 2]
        assert "Beans.Hopper 42%" in (await world.act("ask"))["words"]

    tokens = run(before, tmp_path, sns_retry_seconds=(0.5,) * 20)
    run(after, tmp_path, sns_retry_seconds=(0.5,) * 20)
