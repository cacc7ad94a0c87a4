"""The courier's zip, and the courier at AWS, played by moto: made once, changed only where it differs, its secret never printed."""

import hashlib
import io
import json
import logging
import os
import subprocess
import sys
import urllib.request
import zipfile
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import boto3
import pytest
from django.core.management import CommandError, call_command

from skill import courier, lambda_package

SKILL = "amzn1.ask.skill.0a6d2c1e-51b7-4f0c-9d3a-2b8e7c4410f1"
NAME = "dash-replenishment-courier"
SECRET = "a-courier-secret-of-thirty-two-characters"


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    yield "http://{}:{}".format(*moto.get_host_and_port())
    moto.stop()


@pytest.fixture
def aws(server: str, monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    """An empty account; AWS tells for which skill Alexa has leave, which moto forgets."""
    from moto.awslambda.policy import Policy

    forget = Policy.remove_if_set

    def keep(self: Any, statement: dict[str, Any], keys: list[str]) -> None:
        if token := statement.get("EventSourceToken"):
            statement["Condition"] = {"StringEquals": {"lambda:EventSourceToken": token}}
        forget(self, statement, keys)

    monkeypatch.setattr(Policy, "remove_if_set", keep)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    for name, value in {"URL": server, "URL_LAMBDA": server, "URL_IAM": server}.items():
        monkeypatch.setenv(f"AWS_ENDPOINT_{name}", value)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    urllib.request.urlopen(urllib.request.Request(f"{server}/moto-api/reset", method="POST")).close()
    settings.PUBLIC_URL, settings.COURIER_SECRET = "https://crema.example", SECRET


def deploy(*options: str) -> str:
    said = StringIO()
    call_command("lambda_deploy", SKILL, *options, stdout=said)
    assert SECRET not in said.getvalue()
    return said.getvalue()


def function(region: str = "us-east-1") -> dict[str, Any]:
    found: dict[str, Any] = boto3.client("lambda", region).get_function(FunctionName=NAME)["Configuration"]
    return found


def permissions(region: str = "us-east-1") -> list[dict[str, Any]]:
    policy = boto3.client("lambda", region).get_policy(FunctionName=NAME)["Policy"]
    found: list[dict[str, Any]] = json.loads(policy)["Statement"]
    return found


class TestDeploy:
    """`manage.py lambda_deploy`."""

    def test_one_command_makes_everything_in_three_regions(self, aws: None) -> None:
        said = deploy()
        for name, region in courier.REGIONS.items():
            made = function(region)
            assert made["FunctionArn"] in said
            assert made["Handler"] == "lambda_function.lambda_handler"
            assert made["Environment"]["Variables"] == {
                "DIRECTIVE_URL": "https://crema.example/skill/directive",
                "COURIER_SECRET": SECRET,
            }
            assert (made["Timeout"], made["MemorySize"]) == (8, 512)
            assert made["CodeSha256"] == lambda_package.code_sha256(lambda_package.package())
            (statement,) = permissions(region)
            assert "alexa-connectedhome.amazon.com" in str(statement["Principal"])
            assert statement["Condition"] == {"StringEquals": {"lambda:EventSourceToken": SKILL}}
            assert f"{name:3} function {NAME}: made" in said
        role = boto3.client("iam").get_role(RoleName=NAME)["Role"]
        assert role["Arn"] == function()["Role"]
        held = boto3.client("iam").get_role_policy(RoleName=NAME, PolicyName=courier.LOGS)
        assert held["PolicyDocument"] == courier.MAY_LOG

    def test_a_dry_run_says_everything_and_does_nothing(self, aws: None) -> None:
        said = deploy("--dry-run")
        assert said.count("would be made") == 4
        assert said.count("would be given") == 3
        assert boto3.client("lambda", "us-east-1").list_functions()["Functions"] == []
        assert boto3.client("iam").list_roles()["Roles"] == []

    def test_what_differs_is_set_right_and_the_rest_stays_and_another_skill_gets_leave_of_its_own(
        self, aws: None
    ) -> None:
        deploy("--region", "NA")
        there = boto3.client("lambda", "us-east-1")
        there.update_function_code(FunctionName=NAME, ZipFile=zipped(b"def lambda_handler(event, context): pass"))
        environment = {"COURIER_SECRET": "the-one-before", "DIRECTIVE_URL": "https://old.example", "SKILL_REGION": "NA"}
        there.update_function_configuration(FunctionName=NAME, Timeout=3, Environment={"Variables": environment})
        boto3.client("iam").delete_role_policy(RoleName=NAME, PolicyName=courier.LOGS)
        said = deploy("--region", "NA", "--dry-run")
        assert "would be changed: code, time-out, DIRECTIVE_URL, COURIER_SECRET" in said
        assert "the-one-before" not in said
        assert function()["Timeout"] == 3
        said = deploy("--region", "NA")
        assert "changed: code, time-out, DIRECTIVE_URL, COURIER_SECRET" in said
        assert "changed: leave to write its log" in said
        made = function()
        assert made["Timeout"] == 8
        assert made["Environment"]["Variables"]["COURIER_SECRET"] == SECRET
        assert made["Environment"]["Variables"]["SKILL_REGION"] == "NA", "what others put there"
        before = made, permissions()
        assert deploy("--region", "NA").count(": exists") == 3
        assert (function(), permissions()) == before, "twice changes nothing"
        other = SKILL.replace("0a6d", "0000")
        call_command("lambda_deploy", other, "--region", "NA", stdout=StringIO())
        assert {s["Condition"]["StringEquals"]["lambda:EventSourceToken"] for s in permissions()} == {SKILL, other}

    @pytest.mark.parametrize("skill", ["", "skill", "amzn1.ask.skill.", "amzn1.ask.skill.x y"])
    def test_what_is_no_skill_id_is_refused(self, skill: str) -> None:
        with pytest.raises(CommandError, match="no skill ID"):
            call_command("lambda_deploy", skill)

    def test_without_https_nothing_is_made(self, aws: None, settings: Any) -> None:
        settings.PUBLIC_URL = "http://127.0.0.1:8000"
        with pytest.raises(CommandError, match="not https"):
            deploy()

    def test_aws_out_of_reach_is_one_sentence_without_the_secret(self, aws: None, monkeypatch: Any) -> None:
        monkeypatch.setenv("AWS_ENDPOINT_URL_IAM", "http://127.0.0.1:9")
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
        with pytest.raises(CommandError, match="AWS: ") as caught:
            deploy()
        assert SECRET not in str(caught.value)

    def test_no_repr_shows_the_secret(self) -> None:
        assert SECRET not in repr(courier.Courier("n", "r", SKILL, {"COURIER_SECRET": SECRET}))


def zipped(code: bytes) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("lambda_function.py", code)
    return made.getvalue()


class TestPackage:
    """`manage.py lambda_package`."""

    def test_it_is_the_same_bytes_from_another_process_place_and_time(self, tmp_path: Path) -> None:
        source = Path(lambda_package.__file__)
        for name in ("lambda_package.py", "lambda_function.py"):
            copy = tmp_path / name
            copy.write_bytes(source.with_name(name).read_bytes())
            os.utime(copy, (10**9, 10**9))
            copy.chmod(0o600)
        program = "import sys; sys.path.insert(0, sys.argv[1]); import lambda_package; sys.stdout.buffer.write(lambda_package.package())"
        environment = {"TZ": "Asia/Tokyo", "PATH": os.environ["PATH"]}
        made = subprocess.run(
            [sys.executable, "-I", "-S", "-c", program, str(tmp_path)], env=environment, capture_output=True, timeout=20
        )
        assert hashlib.sha256(made.stdout).digest() == hashlib.sha256(lambda_package.package()).digest(), made.stderr

    def test_the_command_writes_what_deploy_sends(self, tmp_path: Path) -> None:
        said = StringIO()
        call_command("lambda_package", str(tmp_path / "courier.zip"), stdout=said)
        assert (tmp_path / "courier.zip").read_bytes() == lambda_package.package()
        assert lambda_package.code_sha256(lambda_package.package()) in said.getvalue()

    def test_a_folder_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(CommandError, match="cannot be written"):
            call_command("lambda_package", str(tmp_path / "nowhere" / "courier.zip"))

    def test_the_zip_holds_one_file_that_everybody_may_read(self) -> None:
        with zipfile.ZipFile(io.BytesIO(lambda_package.package())) as archive:
            (entry,) = archive.infolist()
        assert entry.filename == "lambda_function.py"
        assert entry.external_attr >> 16 == 0o100644
