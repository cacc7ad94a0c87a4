"""Whatever arrives, the readers of envelopes and of Dash's texts raise only what they say they raise."""

import contextlib
import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from notifications import drs, folds, sns, strict_json
from tests.notifications.conftest import refused
from tests.notifications.signing_amazon import dash

PLACED, CANCELLED, SHIPPED = "OrderPlacedNotification", "OrderCancelledNotification", "ItemShippedNotification"
ID = "amzn1.dash.notification.v1.6f9619ff-8b86-d011-b42d-00cf4fc964ff"
TUESDAY = datetime(2026, 11, 24, 20, tzinfo=UTC)


def read(document: Any, attributes: object = None) -> drs.Notification:
    return drs.parse(json.dumps(document), attributes)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@given(st.text() | JSON.map(json.dumps))
def test_any_text_is_understood_or_unreadable(text: str) -> None:
    with contextlib.suppress(drs.Unreadable):
        drs.parse(text)


def _paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(deeper for key, member in inner for deeper in _paths(member, (*path, key)))]


@given(st.sampled_from([PLACED, CANCELLED, SHIPPED]), st.data(), JSON | st.decimals().map(str))
def test_any_part_replaced_by_anything_is_understood_or_unreadable(kind: str, data: st.DataObject, value: Any) -> None:
    document = dash(kind)
    path = data.draw(st.sampled_from(_paths(document)[1:]))
    where = document
    for key in path[:-1]:
        where = where[key]
    where[path[-1]] = value
    try:
        said = read(document)
    except drs.Unreadable:
        return
    folds.order([drs.from_json(json.loads(json.dumps(drs.as_json(said))))])


@given(st.from_regex(r"\A-?(0|[1-9]\d{0,30})(\.\d{1,30})?([eE][+-]?\d{1,20})?\Z"))
def test_any_number_is_a_quantity_or_unreadable(number: str) -> None:
    text = json.dumps(dash(items=[{"quantity": "HERE", "unit": "count"}])).replace('"HERE"', number)
    try:
        quantity = drs.parse(text).items[0].quantity
    except drs.Unreadable:
        return
    assert 0 <= quantity <= drs.LARGEST
    assert abs(quantity - Decimal(number)) <= Decimal("0.0000005")
    assert drs.from_json(drs.as_json(drs.parse(text))).items[0].quantity == quantity


@given(st.binary() | st.text().map(str.encode) | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_body_is_an_envelope_or_refused(body: bytes) -> None:
    with contextlib.suppress(sns.Malformed, sns.Forbidden):
        sns.parse(body)


ENVELOPE: dict[str, Any] = {
    "Type": "Notification",
    "MessageId": "26858270-545e-5848-82a2-e05566af3dcf",
    "TopicArn": "arn:aws:sns:us-east-1:123456789012:dash-orders",
    "Message": "Hello",
    "Timestamp": "2026-11-21T10:00:00.000Z",
    "SignatureVersion": "2",
    "Signature": "QUJD",
    "SigningCertURL": "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-0123456789abcdef0123456789abcdef.pem",
}


@given(st.dictionaries(st.sampled_from([*ENVELOPE, "Subject", "Token", "SubscribeURL"]), JSON, max_size=3))
def test_any_field_replaced_by_anything_is_an_envelope_or_refused(changes: dict[str, Any]) -> None:
    try:
        envelope = sns.parse(json.dumps(ENVELOPE | changes).encode())
    except sns.Refused:
        return
    assert "\n" not in envelope["MessageId"] + envelope["Timestamp"] + envelope["TopicArn"] + envelope.fields.get(
        "Subject", ""
    )


@given(st.text())
def test_strict_json_reads_what_json_reads_or_says_why_not(text: str) -> None:
    with contextlib.suppress(strict_json.NotStrict):
        assert strict_json.read_object(text) == json.loads(text)


BROKEN = [
    '{"a": "\\ud800"}',
    '{"\\uDFFF": 1}',
    '{"a": "' + "\ud800" + '"}',
    '{"a": 1e999}',
    '{"a": -1e999}',
    '{"a": ' + "[" * 31 + "1" + "]" * 31 + "}",
    '{"a": ' * 32 + "1" + "}" * 32,
]


def test_what_is_broken_or_deep_is_never_taken_at_a_glance() -> None:
    for text in BROKEN:
        with refused(text, strict_json.NotStrict):
            strict_json.read_object(text)


ANY_TEXT = st.text(st.characters(exclude_categories=()))  # halves of pairs too


@given(st.dictionaries(ANY_TEXT, ANY_TEXT | JSON), st.booleans())
def test_a_glance_says_what_a_long_look_says(document: dict[str, Any], ascii_only: bool) -> None:
    text = json.dumps(document, ensure_ascii=ascii_only)
    if strict_json._is_plain(text):
        strict_json._refuse_deep_or_broken(json.loads(text))
