"""The device API's JSON in OpenAPI's words. Imports nothing, because the settings name it."""

from typing import Any

TEXT: dict[str, Any] = {"type": "string"}
OBJECT: dict[str, Any] = {"type": "object", "additionalProperties": True}
NULLABLE: dict[str, Any] = OBJECT | {"nullable": True, "description": "null removes all of it."}
NUMBER: dict[str, Any] = {"type": "number", "minimum": 0}
SEQUENCE: dict[str, Any] = {"type": "integer", "minimum": 0, "maximum": 2**63 - 1}
EPOCH: dict[str, Any] = {"type": "integer", "minimum": 0, "maximum": 2**31 - 1}
MOMENT: dict[str, Any] = {"type": "string", "format": "date-time", "example": "2026-11-21T10:00:00Z"}
STATUS: dict[str, Any] = {"type": "string", "enum": ["recorded", "already known", "refused"]}


def _object(required: str, **properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": required.split(), "properties": properties, "additionalProperties": False}


def _nullable(schema: dict[str, Any]) -> dict[str, Any]:
    return schema | {"nullable": True}


def ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def _list(of: dict[str, Any], most: int | None = None) -> dict[str, Any]:
    return {"type": "array", "items": of} | ({"minItems": 1, "maxItems": most} if most else {})


FAULT = _object("field reason", field=TEXT, reason=TEXT)
RESULT = _object(
    "slot sequence status",
    slot=_nullable(TEXT),
    sequence=_nullable(SEQUENCE),
    status=STATUS,
    reason=TEXT,
    field=TEXT,
)
SCHEMAS: dict[str, Any] = {
    "Problem": _object(
        "type title status detail",
        type=TEXT,
        title=TEXT,
        status={"type": "integer"},
        detail=TEXT,
        errors=_list(FAULT),
    ),
    "Reading": _object(
        "slot sequence value",
        slot=TEXT | {"maxLength": 64, "example": "beans"},
        sequence=SEQUENCE | {"description": "Rises with every reading of the slot.", "example": 17},
        value=NUMBER | {"description": "In the slot's unit: what is left, or what was used.", "example": 42.5},
        measured_at=MOMENT
        | {
            "nullable": True,
            "description": "The device's clock; leave it out without one. A time "
            "that cannot be (ahead of ours by more than 5 minutes, or before 2000) is replaced by ours, and the answer says so.",
        },
        epoch=EPOCH | {"description": "One more after each factory reset.", "default": 0},
    ),
    "ReadingResult": RESULT,
    "Results": _object("results", results=_list(ref("ReadingResult"))),
    "Readings": _object("readings", readings=_list(ref("Reading"), 1000)),
    "Recorded": _object(
        "next previous results",
        next=_nullable(TEXT),
        previous=_nullable(TEXT),
        results=_list(
            _object(
                "slot epoch sequence value measured_at heard_at",
                slot=TEXT,
                epoch=EPOCH,
                sequence=SEQUENCE,
                value=NUMBER | {"description": "In the slot's unit, as it is kept."},
                measured_at=MOMENT,
                heard_at=MOMENT,
            )
        ),
    ),
    "Me": _object(
        "serial model slots",
        serial=TEXT,
        model=TEXT,
        slots=_list(
            _object(
                "slot instance sensor measurement unit epoch sequence",
                slot=TEXT,
                instance=TEXT,
                sensor={"type": "string", "enum": ["level", "usage", "level_usage"]},
                measurement={"type": "string", "enum": ["Percentage", "Count", "Volume", "Weight"]},
                unit=_nullable(TEXT),
                epoch=_nullable(EPOCH),
                sequence=_nullable(SEQUENCE),
            )
        ),
    ),
    "Shadow": _object(
        "state version timestamp",
        state=_object("desired reported delta", desired=OBJECT, reported=OBJECT, delta=OBJECT),
        version={"type": "integer", "description": "One more with every change."},
        timestamp={"type": "integer", "description": "Seconds since 1970 of the last change."},
        results=_list(ref("ReadingResult")),
    ),
    "ShadowUpdate": _object(
        "state",
        state={
            "type": "object",
            "properties": {"reported": NULLABLE, "desired": NULLABLE},
            "additionalProperties": False,
        },
        version=SEQUENCE | {"description": "The version you last saw; 409 if it has moved. May be left out."},
        clientToken=TEXT | {"maxLength": 64},
    ),
    "Event": _object(
        "type id",
        type={"type": "string", "enum": ["doorbell_press", "consumable_replaced", "factory_reset"]},
        id={"type": "string", "pattern": "^[A-Za-z0-9._:-]{1,64}$", "description": "Yours; the same when you repeat."},
        happened_at=MOMENT | {"nullable": True},
        slot=TEXT | {"maxLength": 64},
        epoch=EPOCH | {"nullable": True, "description": "For a factory reset: the epoch it began."},
        reading=ref("Reading"),
    ),
    "EventResult": _object(
        "id status",
        id=TEXT,
        status={"type": "string", "enum": ["recorded", "already known"]},
        reading=ref("ReadingResult"),
    ),
    "Key": _object("key", key=TEXT | {"description": "Shown once; keep it before you use it."}),
}
COMPONENTS = {"schemas": SCHEMAS}
