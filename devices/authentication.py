"""Who is talking: HTTP Basic, the serial number as user and the device key as password (RFC 7617).

An unknown serial number and a wrong key look the same and cost the same. A right key is always let in; only failures
are counted by address (throttles.py), so a stranger cannot lock out the units behind the same router.
"""

import base64
import binascii

from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView

from devices import keys, throttles
from devices.models import Device


class DeviceAuthentication(BaseAuthentication):
    """Sets ``request.auth`` to the Device; there is no user here, and no session."""

    def authenticate(self, request: Request) -> tuple[None, Device] | None:
        header = request.META.get("HTTP_AUTHORIZATION", "")
        if not header:
            return None
        device = keys.authenticate(*_credentials(header))
        if device is None:
            throttles.count_failure(request)
            raise AuthenticationFailed("The serial number or the device key is not right.")
        return None, device

    def authenticate_header(self, request: Request) -> str:
        return 'Basic realm="device"'


class IsDevice(BasePermission):
    """Only a unit that has shown its key."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        return isinstance(request.auth, Device)


def _credentials(header: str) -> tuple[str, str]:
    """Serial number and key; two empty texts for whatever is not Basic."""
    scheme, _, packed = header.partition(" ")
    if scheme.lower() != "basic":
        return "", ""
    try:
        serial, _, key = base64.b64decode(packed.strip(), validate=True).decode("utf-8").partition(":")
    except (binascii.Error, ValueError):
        return "", ""
    return serial, key
