"""The knobs: what can go wrong at Amazon, and the customer's settings in the Alexa app. Data and its validation."""

from __future__ import annotations

from .state import Json

DEFAULTS: Json = {
    "throttle_every": 0,  # every n-th event is answered 429; 0 is never, 1 is always
    "fail_every": 0,  # every n-th event is answered 500, then 503, in turn
    "slow_ms": 0,  # the gateway takes its time
    "hang": False,  # the gateway never answers while this is on
    "skill_disabled": False,  # the gateway answers 403 while this is on; the tokens stay good
    "lwa_down": False,  # Login with Amazon answers 503
    "rotate_refresh": False,  # each refresh gives a new refresh token and ends the old one
    "sns_duplicate": False,  # each notification is posted twice
    "sns_out_of_order": False,  # a notification waits for the next one, which goes first
    "sns_forged": False,  # signed with a key that is not in the certificate
    "sns_signature_version": "1",
    "threshold": 20,  # Dash: at or below is low, per cent
    "automatic_reorder": True,  # the customer's choice; false is "notify me"
    "pkce": True,  # the Alexa console's switch
    "skill_events": True,  # does the skill's manifest subscribe to them?
}
_LIMITS = {"throttle_every": 1000, "fail_every": 1000, "slow_ms": 60_000, "threshold": 100}


class KnobError(Exception):
    """A knob that does not exist or a value that it does not take; the text is for the person who turned it."""


def turned(knobs: Json, changes: Json) -> Json:
    """The knobs with these changes, or KnobError and nothing changed."""
    return knobs | {name: _value(name, value) for name, value in changes.items()}


def _value(name: str, value: object) -> object:
    if name not in DEFAULTS:
        raise KnobError(f"There is no knob {name!r}; there are {', '.join(DEFAULTS)} and expire_tokens.")
    if name == "sns_signature_version":
        if value not in ("1", "2"):
            raise KnobError('sns_signature_version is "1" or "2".')
    elif isinstance(DEFAULTS[name], bool):
        if not isinstance(value, bool):
            raise KnobError(f"{name} is true or false.")
    elif isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _LIMITS[name]:
        raise KnobError(f"{name} is a whole number from 0 to {_LIMITS[name]}.")
    return value
