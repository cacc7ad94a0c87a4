"""SNS: genuine signatures, Amazon's headers, retries, and the weather on the way."""

import base64
import json

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from tests.sandbox.far_side import run
from tests.sandbox.test_sandbox_dash import kinds, levels


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


def test_the_signature_is_genuine(tmp_path):
    async def scene(world):
        await world.linked()
        for number, version in enumerate(("1", "2"), start=1):
            await world.act("weather", sns_signature_version=version)
            await levels(world, 90, 5, 5, 5)
            await world.until(lambda number=number: len(world.portal.bodies) == number)
            envelope = json.loads(world.portal.bodies[-1])
            assert envelope["SignatureVersion"] == version
            await verify(world, envelope)
            envelope["Message"] += " "
            with pytest.raises(InvalidSignature):
                await verify(world, envelope)

    run(scene, tmp_path)


def test_the_request_looks_like_amazons(tmp_path):
    async def scene(world):
        await world.linked()
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
        await world.linked()
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
        await world.linked()
        world.portal.sns_answers = [503, 429, 200]
        await levels(world, 5, 5, 5)
        await world.until(lambda: world.amazon.state.outbox[0]["status"] == "delivered")
        assert len(world.portal.bodies) == 3
        assert len(set(world.portal.bodies)) == 1
        assert world.amazon.state.outbox[0]["words"] == "the portal answered 200"

    run(scene, tmp_path)


def test_it_gives_up_after_the_last_retry_and_says_so(tmp_path):
    async def scene(world):
        await world.linked()
        world.portal.sns_answers = [500] * 9
        await levels(world, 5, 5, 5)
        await world.until(lambda: world.amazon.state.outbox[0]["status"] == "given up")
        assert len(world.portal.bodies) == 3
        told = (await world.state())["outbox"][0]["words"]
        assert told == "the portal answered 500; given up after 3 attempts"

    run(scene, tmp_path)


def test_everything_else_is_refused_for_good(tmp_path):
    async def scene(world):
        await world.linked()
        world.portal.sns_answers = [400, 403, 301]
        for place in range(3):
            await levels(world, 90, 5, 5, 5)
            await world.until(lambda place=place: world.amazon.state.outbox[place]["status"] == "refused")
            assert len(world.portal.bodies) == place + 1

    run(scene, tmp_path)


def test_duplicates_are_the_same_message_twice(tmp_path):
    async def scene(world):
        await world.linked()
        await world.act("weather", sns_duplicate=True)
        await levels(world, 5, 5, 5)
        await world.until(lambda: len(world.portal.bodies) == 2)
        assert world.portal.bodies[0] == world.portal.bodies[1]

    run(scene, tmp_path)


def test_out_of_order_the_newer_goes_first_and_what_is_held_goes_when_the_weather_clears(tmp_path):
    async def scene(world):
        await world.linked()
        await world.act("weather", sns_out_of_order=True)
        await levels(world, 5, 5, 5)
        assert (world.amazon.state.outbox[0]["status"], world.portal.bodies) == ("held", [])
        await world.act("ship")
        await world.until(lambda: len(world.portal.bodies) == 2)
        assert kinds(world) == ["ItemShippedNotification", "OrderPlacedNotification"]
        await levels(world, 90, 5, 5, 5)
        assert len(world.portal.bodies) == 2
        await world.act("weather", sns_out_of_order=False)
        await world.until(lambda: len(world.portal.bodies) == 3)

    run(scene, tmp_path)
