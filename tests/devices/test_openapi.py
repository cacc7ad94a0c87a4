"""The description of the device API: whole, true, and readable without the internet."""

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections
from django.test import Client
from hypothesis import HealthCheck, Phase, settings

from tests.effort import examples

SCHEMA = "/api/schema/?format=json"
DEVICE_PATHS = ("/api/v1/readings", "/api/v1/me", "/api/v1/shadow", "/api/v1/events", "/api/v1/key", "/api/v1/iot")
EXAMPLES = examples(8)  # for each address and method; always the same ones


@pytest.fixture(scope="module")
def described() -> dict[str, Any]:
    answer = Client().get(SCHEMA)
    assert answer.status_code == 200
    return json.loads(answer.content)


@pytest.fixture(scope="module")
def operations(described: dict[str, Any]) -> list[Any]:
    """All that is described, ready to be tried."""
    import schemathesis  # here, because it takes seconds and most test processes never come here

    schema = schemathesis.openapi.from_dict(described)
    schema.app = get_wsgi_application()
    return [found.ok() for found in schema.get_all_operations()]


def test_every_address_is_described_with_its_errors(described: dict[str, Any]) -> None:
    assert set(DEVICE_PATHS) <= set(described["paths"])
    for path in DEVICE_PATHS:
        for operation in described["paths"][path].values():
            answers = operation["responses"]
            assert {"401", "429", "503"} <= set(answers)
            assert "application/problem+json" in answers["401"]["content"]
            assert operation["security"] in ([{"device": []}], [{"rule": []}])
    assert described["components"]["securitySchemes"]["device"] == {
        "type": "http",
        "scheme": "basic",
        "description": "Serial number and device key.",
    }


def test_the_examples_are_what_the_schema_says(described: dict[str, Any]) -> None:
    import jsonschema_rs

    checked = 0
    for path in DEVICE_PATHS:
        for operation in described["paths"][path].values():
            bodies = [operation.get("requestBody", {}), *operation["responses"].values()]
            for content in [part for body in bodies for part in body.get("content", {}).values()]:
                schema = content["schema"] | {"components": described["components"]}
                for example in content.get("examples", {}).values():
                    jsonschema_rs.Draft7Validator(_with_null(schema)).validate(example["value"])
                    checked += 1
    assert checked >= 10


def _with_null(schema: Any) -> Any:
    """OpenAPI 3.0 says nullable where JSON Schema says a list of types."""
    if isinstance(schema, list):
        return [_with_null(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: _with_null(value) for key, value in schema.items()}
    if found.pop("nullable", False) and isinstance(found.get("type"), str):
        found["type"] = [found["type"], "null"]
    return found


@pytest.fixture
def one_transaction(operations: list[Any]) -> Iterator[None]:
    """As Django's own test client: a request does not close the connection that holds the test's transaction."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


@pytest.mark.usefixtures("one_transaction")
@pytest.mark.parametrize("path", DEVICE_PATHS)
def test_no_5xx_and_no_undocumented_answer(path: str, operations: list[Any], machine: Any, settings: Any) -> None:
    settings.DEVICE_REQUESTS_PER_MINUTE = 100_000
    settings.IOT_SECRETS = ["a-secret-of-the-rule"]
    packed = base64.b64encode(f"{machine.serial_number}:{machine.key}".encode()).decode()
    headers = {"Authorization": f"Basic {packed}", "X-Iot-Secret": "a-secret-of-the-rule"}
    chosen = [operation for operation in operations if operation.path == path]
    assert chosen
    for operation in chosen:
        _try(operation, headers)


@pytest.mark.usefixtures("one_transaction")
def test_nor_at_the_staffs_door(operations: list[Any], client: Any, django_user_model: Any) -> None:
    client.force_login(django_user_model.objects.create_superuser("staff@example.com", "support staff please"))
    token = "a" * 32
    cookies = f"sessionid={client.cookies['sessionid'].value}; csrftoken={token}"
    chosen = [operation for operation in operations if operation.path.startswith("/api/v1/staff/")]
    assert {operation.path for operation in operations} == {operation.path for operation in chosen} | set(
        DEVICE_PATHS
    ), "an address that nobody tries"
    for operation in chosen:
        _try(operation, {"Cookie": cookies, "X-CSRFToken": token})


def _try(operation: Any, headers: dict[str, str]) -> None:
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @_given(operation)
    def one(case: Any) -> None:
        case.call_and_validate(headers=headers, checks=_checks())

    one()


def _checks() -> list[Any]:
    from schemathesis.checks import not_a_server_error
    from schemathesis.specs.openapi import checks

    return [
        not_a_server_error,
        checks.status_code_conformance,
        checks.content_type_conformance,
        checks.response_headers_conformance,
        checks.response_schema_conformance,
    ]


def _given(operation: Any) -> Any:
    from hypothesis import given
    from hypothesis import strategies as st
    from schemathesis import GenerationMode

    modes = [GenerationMode.POSITIVE, GenerationMode.NEGATIVE]
    strategies = [operation.as_strategy(generation_mode=mode) for mode in modes]
    return given(case=st.one_of(strategies))


def test_the_docs_page_needs_nothing_from_elsewhere(client: Any, db: None) -> None:
    page = client.get("/api/docs/")
    assert page.status_code == 200
    text = page.content.decode()
    assert "//" not in text.replace("<!DOCTYPE html>", ""), "no address of another host"
    assert "<style" not in text, "our content security policy takes no inline style"
    assert text.count("<script src=") == text.count("<script")
    script = client.get("/api/docs/?script=")
    assert script["Content-Type"].startswith("application/javascript")
    assert b"/api/schema/" in script.content


def test_its_parts_are_served_from_here(client: Any, db: None) -> None:
    from django.contrib.staticfiles import finders

    for part in ("swagger-ui.css", "swagger-ui-bundle.js", "swagger-ui-standalone-preset.js"):
        assert finders.find(f"drf_spectacular_sidecar/swagger-ui-dist/{part}")
