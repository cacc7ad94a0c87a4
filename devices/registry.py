"""How a unit enters the registry and changes hands: register, claim, release, rename, rotate_key."""

from typing import NamedTuple

from devices.models import Device, DeviceModel


class ClaimRefused(Exception):
    """Unknown serial number, wrong code and already taken look the same, on purpose."""


class ClaimThrottled(Exception):
    """Too many attempts within the hour, by this customer or for this serial number."""


class NameRefused(ValueError):
    """A name that Alexa would not take; the text says what to leave out."""


class SerialTaken(ValueError):
    """This serial number is registered already, otherwise than asked."""


class Registered(NamedTuple):
    device: Device
    key: str
    claim_code: str


def register(
    serial: str, device_model: DeviceModel, *, name: str = "", key: str | None = None, claim_code: str | None = None
) -> Registered:
    raise NotImplementedError


def claim(user, serial: str, code: str) -> Device:
    raise NotImplementedError


def release(device: Device) -> Device:
    raise NotImplementedError


def rename(device: Device, name: str) -> Device:
    raise NotImplementedError


def rotate_key(device: Device) -> str:
    raise NotImplementedError
