"""The sandbox's own settings, every one from the environment. What is missing is said in one sentence each.

No default stands in for a secret: the supervisor of the embedded set-up makes them and hands them to both sides.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

LAMBDA_FILE = Path(__file__).resolve().parents[2] / "skill" / "lambda_function.py"
AWS_REGIONS = {"NA": "us-east-1", "EU": "eu-west-1", "FE": "us-west-2"}


class SettingsError(Exception):
    """The environment does not say what is needed; the text is for the person at the terminal."""


@dataclass(frozen=True)
class Settings:
    """Addresses have no slash at the end; seconds are seconds."""

    port: int
    data: Path
    portal_url: str
    sandbox_url: str
    link_client_id: str
    link_client_secret: str = field(repr=False)
    courier_secret: str = field(repr=False)
    lwa_client_id: str
    lwa_client_secret: str = field(repr=False)
    topic_arn: str
    device_serial: str
    device_url: str
    model_id: str
    slot_id: str
    public_url: str
    vendor_id: str
    link_scope: str = "alexa"
    skill_id: str = "amzn1.ask.skill.sandbox"
    region: str = "NA"
    lwa_token_seconds: int = 3600
    lambda_file: Path = LAMBDA_FILE
    asin: str = "B0CREMABNS"
    hotel_refresh_token: str = field(default="", repr=False)
    sns_retry_seconds: tuple[float, ...] = (2.0, 5.0, 10.0)

    @property
    def redirect_uri(self) -> str:
        """Where the portal sends the browser after consent: like Amazon's, it ends in the vendor ID."""
        return f"{self.sandbox_url}/api/skill/link/{self.vendor_id}"

    @property
    def return_address(self) -> str:
        """Where the customer goes back to who began to link at the portal: its address as customers see it."""
        return f"{self.public_url}/alexa/return/"

    @property
    def sns_region(self) -> str:
        """The region that the topic's own name tells."""
        return self.topic_arn.split(":")[3]


REQUIRED = {
    "SANDBOX_DATA": "data",
    "PORTAL_URL": "portal_url",
    "LINK_CLIENT_ID": "link_client_id",
    "LINK_CLIENT_SECRET": "link_client_secret",
    "SANDBOX_COURIER_SECRET": "courier_secret",
    "LWA_CLIENT_ID": "lwa_client_id",
    "LWA_CLIENT_SECRET": "lwa_client_secret",
}
OPTIONAL = {
    "SANDBOX_PORT": ("port", "8100"),
    "SANDBOX_URL": ("sandbox_url", ""),
    "PORTAL_PUBLIC_URL": ("public_url", ""),
    "SANDBOX_VENDOR_ID": ("vendor_id", "SANDBOXVENDOR"),
    "LINK_SCOPE": ("link_scope", "alexa"),
    "SANDBOX_SKILL_ID": ("skill_id", "amzn1.ask.skill.sandbox"),
    "SKILL_REGION": ("region", "NA"),
    "LWA_TOKEN_SECONDS": ("lwa_token_seconds", "3600"),
    "SNS_TOPIC_ARN": ("topic_arn", "arn:aws:sns:us-east-1:000000000000:dash-sandbox"),
    "DEVICE_SERIAL": ("device_serial", ""),
    "DEVICE_URL": ("device_url", ""),
    "MODEL_ID": ("model_id", ""),
    "SLOT_ID": ("slot_id", ""),
    "LAMBDA_FILE": ("lambda_file", str(LAMBDA_FILE)),
    "DASH_ASIN": ("asin", "B0CREMABNS"),
    "HOTEL_REFRESH_TOKEN": ("hotel_refresh_token", ""),  # without one nobody may manage Smart Properties
    "SNS_RETRY_SECONDS": ("sns_retry_seconds", "2,5,10"),
}


def from_environment(environ: Mapping[str, str]) -> Settings:
    """The settings, or SettingsError with one sentence for everything that is missing or wrong."""
    missing = [name for name in REQUIRED if not environ.get(name)]
    if missing:
        raise SettingsError(f"The sandbox needs {', '.join(missing)} in its environment; `make run` sets them all.")
    values: dict[str, str] = {key: environ[name] for name, key in REQUIRED.items()}
    values |= {key: environ.get(name) or default for name, (key, default) in OPTIONAL.items()}
    values["sandbox_url"] = values["sandbox_url"] or f"http://127.0.0.1:{values['port']}"
    values["public_url"] = values["public_url"] or values["portal_url"]
    return _settings(values)


def _settings(values: dict[str, str]) -> Settings:
    for key in ("portal_url", "public_url", "sandbox_url", "device_url"):
        values[key] = _address(key.upper(), values[key])
    if values["region"] not in AWS_REGIONS:
        raise SettingsError(f"SKILL_REGION must be NA, EU or FE, not {values['region']}.")
    if not values["topic_arn"].startswith("arn:aws") or values["topic_arn"].count(":") != 5:
        raise SettingsError(f"SNS_TOPIC_ARN must be the name of a topic, not {values['topic_arn']}.")
    typed: dict[str, object] = {
        **values,
        "port": _whole("SANDBOX_PORT", values["port"]),
        "lwa_token_seconds": _whole("LWA_TOKEN_SECONDS", values["lwa_token_seconds"]),
        "data": Path(values["data"]),
        "lambda_file": Path(values["lambda_file"]),
        "sns_retry_seconds": _pauses(values["sns_retry_seconds"]),
    }
    return Settings(**typed)  # type: ignore[arg-type]


def _address(name: str, value: str) -> str:
    if value and not value.startswith(("http://", "https://")):
        raise SettingsError(f"{name} must begin with http:// or https://, not {value}.")
    return value.rstrip("/")


def _whole(name: str, value: str) -> int:
    if not value.isdecimal() or int(value) < 1:
        raise SettingsError(f"{name} must be a whole number above 0, not {value}.")
    return int(value)


def _pauses(value: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in value.split(",") if part.strip())
    except ValueError as error:
        raise SettingsError(f"SNS_RETRY_SECONDS must be seconds like 2,5,10, not {value}.") from error
