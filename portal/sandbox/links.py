"""Who has linked the skill and what was discovered for them: the part of memory that app, gateway and Dash share."""

from __future__ import annotations

from collections.abc import Iterable

from .state import Json, State, stamp

HOUSEHOLD = "household"


class NotLinkedError(Exception):
    """There is no linked account of that name; the text is for a person."""


def linked(state: State, account: str = HOUSEHOLD) -> Json:
    """The link of an Amazon account, or NotLinkedError."""
    link: Json | None = state.links.get(account)
    if link is None or link["status"] != "linked":
        raise NotLinkedError(f"The Amazon account “{account}” has not linked the skill. Press Link account first.")
    return link


def announced(state: State, account: str) -> dict[str, Json]:
    """endpointId -> endpoint object, as last announced for this account."""
    link = state.links.get(account)
    return {key: value["endpoint"] for key, value in link["endpoints"].items()} if link else {}


def announce(state: State, account: str, endpoints: Iterable[Json], whole: bool) -> None:
    """Endpoints of a Discover.Response (whole) or of an AddOrUpdateReport (the others stay as they are).

    As with Alexa, a device that a later discovery leaves out does not vanish: it is marked missing.
    """
    known = state.links[account]["endpoints"]
    if whole:
        for entry in known.values():
            entry["missing"] = True
    for endpoint in endpoints:
        known[endpoint["endpointId"]] = {"endpoint": endpoint, "missing": False, "seen_at": stamp()}
    state.save()


def withdraw(state: State, account: str, endpoint_ids: Iterable[str]) -> None:
    """A DeleteReport: these are gone; what is not known is no trouble."""
    for endpoint_id in endpoint_ids:
        state.links[account]["endpoints"].pop(endpoint_id, None)
    state.save()
