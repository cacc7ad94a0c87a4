"""When a region does not know a customer: the two others are asked, once for each link, and what they said is noted in words.

Nothing is moved by it. Which region a customer is in, Amazon says by the Lambda function that brings the grant; if another gateway
takes the customer's events, that function is at the wrong place, and a person must put it right (alexa reference 6.1 and 6.3).
"""

import logging

from skill import gateway
from skill.alexa.messages import Json
from skill.connections import Connections
from skill.database import Database
from skill.journal import journal
from skill.models import REGIONS, AlexaGrant
from skill.renewal import Credentials

HARMLESS = ("ChangeReport", "AddOrUpdateReport")  # said twice they change nothing; a use would count twice
ASKING = "The other regions are being asked."


def may_ask(event: Json) -> bool:
    """Does it do no harm if a second region hears the event, too?"""
    return event["event"]["header"]["name"] in HARMLESS


async def look(held: Credentials, http: Connections, db: Database, event: Json) -> None:
    """Say the event to the other regions, if that was never done for this link. On the wire; raises only what the database raises."""
    if not await db(_begin, held.grant_id):
        return
    said = {
        region: await _ask(http, region, held.access_token, event) for region, _ in REGIONS if region != held.region
    }
    words = _words(held.region, said)
    await db(_note, held.grant_id, words)
    journal.count(f"a customer unknown in {held.region}", logging.WARNING, f"Alexa link #{held.grant_id}: {words}")


async def _ask(http: Connections, region: str, token: str, event: Json) -> str:
    """Amazon's code, or nothing if the event was taken."""
    try:
        await gateway.post(http, region, token, event)
    except gateway.GatewayError as error:
        return error.code
    return ""


def _words(here: str, said: dict[str, str]) -> str:
    if taken := [region for region, code in said.items() if not code]:
        return (
            f"{' and '.join(taken)} took the event that {here} refused: the function that brought this link is in the wrong region. "
            f"Deploy one for {taken[0]}; then the customer disables the skill and enables it again."
        )
    codes = ", ".join(f"{region}: {code}" for region, code in said.items())
    return f"No other region knows this customer either ({codes})."


def _begin(grant_id: int) -> bool:
    return AlexaGrant.objects.filter(pk=grant_id, other_regions="").update(other_regions=ASKING) == 1


def _note(grant_id: int, words: str) -> None:
    AlexaGrant.objects.filter(pk=grant_id, other_regions=ASKING).update(other_regions=words[:300])
