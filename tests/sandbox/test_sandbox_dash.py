"""Dash: three low updates in a row are one order; SNS: genuine signatures, retries, and the weather on the way."""

import base64
import json

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

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
        await world.link()
        await levels(world, 50, 20, 12)
        assert await orders(world) == []
        await levels(world, 12)
        assert [order["state"] for order in await orders(world)] == ["placed"]
        await levels(world, 10, 8, 0, 0)
        assert len(await orders(world)) == 1

    run(scene, tmp_path)


def test_the_same_low_level_three_times_is_three_updates(tmp_path):
    async def scene(world):
        await world.link()
        await levels(world, 0, 0, 0)
        assert len(await orders(world)) == 1

    run(scene, tmp_path)


def test_one_higher_level_between_begins_anew(tmp_path):
    async def scene(world):
        await world.link()
        await levels(world, 20, 20, 21, 20, 20)
        assert await orders(world) == []
        await levels(world, 20)
        assert len(await orders(world)) == 1

    run(scene, tmp_path)


def test_a_refill_ends_the_low_spell_and_the_next_one_orders_again(tmp_path):
    async def scene(world):
        await world.link()
        await levels(world, 5, 5, 5, 100, 5, 5, 5)
        assert [order["number"] for order in await orders(world)] == [1, 2]

    run(scene, tmp_path)


def test_connectivity_is_no_update_of_a_level(tmp_path):
    async def scene(world):
        await world.link()
        await levels(world, 5, 5)
        message = clone(change_report(5, world.portal.lwa_tokens["access_token"]))
        message["event"]["payload"]["change"]["properties"] = [connectivity("UNREACHABLE")]
        message["context"] = {}
        assert (await world.event(message)).status == 202
        assert await orders(world) == []

    run(scene, tmp_path)


def test_the_threshold_and_the_customers_choice(tmp_path):
    async def scene(world):
        await world.link()
        await world.act("weather", threshold=50, automatic_reorder=False)
        await levels(world, 50, 50, 50)
        assert await orders(world) == []
        await world.act("weather", automatic_reorder=True)
        await levels(world, 50)
        assert len(await orders(world)) == 1

    run(scene, tmp_path)


def test_the_order_placed_notification_is_that_of_version_2(tmp_path):
    async def scene(world):
        await world.link()
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
        await world.link()
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
        await world.link()
        await levels(world, 5, 5, 5)
        await world.act("resend")
        await world.until(lambda: len(world.portal.bodies) == 2)
        first, second = (json.loads(body) for body in world.portal.bodies)
        assert first["MessageId"] != second["MessageId"]
        assert first["Message"] == second["Message"]

    run(scene, tmp_path)


def canonical(envelope: dict) -> bytes:
    """Amazon's string to sign for a Notification, written down a second time."""
    order = ["Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"]
    return "".join(f"{key}\n{envelope[key]}\n" for key in order).encode()


async def verify(world, envelope: dict) -> None:
    """InvalidSignature unless the certificate that the sandbox serves vouches for the message."""
    name = envelope["SigningCertURL"].removeprefix("https://sns.us-east-1.amazonaws.com/")
    served = await world.client.get(f"/{name}")
    assert served.status == 200
    certificate = x509.load_pem_x509_certificate(await served.read())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["sns.amazonaws.com"]
    digest = hashes.SHA256() if envelope["SignatureVersion"] == "2" else hashes.SHA1()
    signature = base64.b64decode(envelope["Signature"], validate=True)
    certificate.public_key().verify(signature, canonical(envelope), padding.PKCS1v15(), digest)


@pytest.mark.parametrize("version", ["1", "2"])
def test_the_signature_is_genuine(tmp_path, version):
    async def scene(world):
        await world.link()
        await world.act("weather", sns_signature_version=version)
        await levels(world, 5, 5, 5)
        await world.until(lambda: world.portal.bodies)
        envelope = json.loads(world.portal.bodies[0])
        assert envelope["SignatureVersion"] == version
        await verify(world, envelope)
        envelope["Message"] += " "
        with pytest.raises(InvalidSignature):
            await verify(world, envelope)

    run(scene, tmp_path)


def test_the_request_looks_like_amazons(tmp_path):
    async def scene(world):
        await world.link()
        await levels(world, 5, 5, 5)
        await world.until(lambda: world.portal.bodies)
        request, envelope = world.portal.messages[0], json.loads(world.portal.bodies[0])
        assert request.headers["Content-Type"] == "text/plain; charset=UTF-8"
        assert request.headers["User-Agent"] == "Amazon Simple Notification Service Agent"
        assert request.headers["x-amz-sns-message-type"] == "Notification"
        assert request.headers["x-amz-sns-message-id"] == envelope["MessageId"]
        assert request.headers["x-amz-sns-topic-arn"] == envelope["TopicArn"]
        assert envelope["MessageAttributes"] == {"version": {"Type": "String", "Value": "2.0"}}

    run(scene, tmp_path)


def test_a_forged_signature_is_no_signature(tmp_path):
    async def scene(world):
        await world.link()
        await world.act("weather", sns_forged=True)
        world.portal.sns_answers = [403]
        await levels(world, 5, 5, 5)
        await world.until(lambda: world.portal.bodies)
        with pytest.raises(InvalidSignature):
            await verify(world, json.loads(world.portal.bodies[0]))
        await world.until(lambda: world.amazon.state.outbox[0]["status"] == "refused")
        assert "as it should" in (await world.wire("OrderPlacedNotification"))[0]["words"]

    run(scene, tmp_path)


def test_5xx_and_429_are_repeated_with_the_same_signed_body(tmp_path):
    async def scene(world):
        await world.link()
        world.portal.sns_answers = [503, 429, 200]
        await levels(world, 5, 5, 5)
        await world.until(lambda: world.amazon.state.outbox[0]["status"] == "delivered")
        assert len(world.portal.bodies) == 3
        assert len(set(world.portal.bodies)) == 1
        assert world.amazon.state.outbox[0]["words"] == "the portal answered 200"

    run(scene, tmp_path)


def test_it_gives_up_after_the_last_retry_and_says_so(tmp_path):
    async def scene(world):
        await world.link()
        world.portal.sns_answers = [500] * 9
        await levels(world, 5, 5, 5)
        await world.until(lambda: world.amazon.state.outbox[0]["status"] == "given up")
        assert len(world.portal.bodies) == 3
        told = (await world.state())["outbox"][0]["words"]
        assert told == "the portal answered 500; given up after 3 attempts"

    run(scene, tmp_path)


@pytest.mark.parametrize("status", [400, 403, 301])
def test_everything_else_is_refused_for_good(tmp_path, status):
    async def scene(world):
        await world.link()
        world.portal.sns_answers = [status]
        await levels(world, 5, 5, 5)
        await world.until(lambda: world.amazon.state.outbox[0]["status"] == "refused")
        assert len(world.portal.bodies) == 1

    run(scene, tmp_path)


def test_duplicates_are_the_same_message_twice(tmp_path):
    async def scene(world):
        await world.link()
        await world.act("weather", sns_duplicate=True)
        await levels(world, 5, 5, 5)
        await world.until(lambda: len(world.portal.bodies) == 2)
        assert world.portal.bodies[0] == world.portal.bodies[1]

    run(scene, tmp_path)


def test_out_of_order_the_newer_goes_first(tmp_path):
    async def scene(world):
        await world.link()
        await world.act("weather", sns_out_of_order=True)
        await levels(world, 5, 5, 5)
        await world.until(lambda: world.amazon.state.outbox)
        assert world.amazon.state.outbox[0]["status"] == "held"
        await world.act("ship")
        await world.until(lambda: len(world.portal.bodies) == 2)
        assert kinds(world) == ["ItemShippedNotification", "OrderPlacedNotification"]

    run(scene, tmp_path)


def test_what_was_held_goes_when_the_weather_clears(tmp_path):
    async def scene(world):
        await world.link()
        await world.act("weather", sns_out_of_order=True)
        await levels(world, 5, 5, 5)
        assert world.portal.bodies == []
        await world.act("weather", sns_out_of_order=False)
        await world.until(lambda: world.portal.bodies)

    run(scene, tmp_path)


def test_another_serial_is_told_as_discovery_told_it(tmp_path):
    async def scene(world):
        machine = clone(coffee_machine())
        machine["additionalAttributes"] |= {"serialNumber": "CREMA-9", "model": "Crema 9"}
        world.portal.endpoints = [machine]
        await world.link()
        await levels(world, 5, 5, 5)
        order = (await orders(world))[0]
        assert (order["serial"], order["model"]) == ("CREMA-9", "Crema 9")

    run(scene, tmp_path)


def test_after_a_restart_the_household_the_count_and_the_undelivered_message_go_on(tmp_path):
    async def before(world):
        world.portal.sns_answers = [503] * 99
        await world.link()
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
