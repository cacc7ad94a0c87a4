"""One run of a fleet through one door: opens the door, lets the fleet live, closes the door."""

from collections.abc import Callable

import aiohttp

from devices.simulator.doors import HttpDoor
from devices.simulator.fleet import Fleet

TIMEOUT = aiohttp.ClientTimeout(total=30)


async def run(fleet: Fleet, door: str, portal: str, broker: str, progress: Callable[[str], None]) -> None:
    """Until everything that was said is answered for. Raises NoAnswer or TurnedAway (in an ExceptionGroup)."""
    if door == "mqtt":
        from devices.simulator.mqtt_door import MqttDoor

        async with MqttDoor(broker, fleet.units) as fleet.door:
            await fleet.run(progress)
        return
    async with aiohttp.ClientSession(timeout=TIMEOUT, connector=aiohttp.TCPConnector(limit=fleet.at_once)) as session:
        fleet.door = HttpDoor(session, portal)
        await fleet.run(progress)
