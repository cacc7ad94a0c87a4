"""Questions about the shape of one JSON value, each answered with sentences. Knows nothing of Alexa's messages."""

import math
import re
from collections import Counter
from collections.abc import Collection, Hashable, Iterable, Iterator, Sequence
from datetime import datetime
from typing import TypeGuard

Found = Iterator[str]

_INSTANT = re.compile(r"[1-9][0-9]{3}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,3})?Z")


def is_object(value: object) -> TypeGuard[dict[str, object]]:
    """A JSON object?"""
    return isinstance(value, dict)


def is_number(value: object) -> TypeGuard[int | float]:
    """A JSON number? (A boolean is none in JSON, and NaN does not exist there.)"""
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int) and not isinstance(value, bool)


def item(value: object, *path: str) -> object:
    """What stands at this path of objects, or None."""
    for key in path:
        if not is_object(value):
            return None
        value = value.get(key)
    return value


def items(value: object) -> list[object]:
    """The array, or nothing where there is no array."""
    return value if isinstance(value, list) else []


def keys(value: object, where: str, required: Collection[str], optional: Collection[str] = ()) -> Found:
    """An object with all the required keys and no key beyond the optional ones."""
    if not is_object(value):
        yield f"{where}: must be an object"
        return
    yield from (f"{where}.{key}: is missing" for key in required if key not in value)
    known = {*required, *optional}
    yield from (f"{where}.{key}: does not belong here" for key in value if key not in known)


def text(value: object, where: str, longest: int | None = None) -> Found:
    """A string that is not empty and no longer than Alexa allows."""
    if not isinstance(value, str) or not value:
        yield f"{where}: must be a text that is not empty"
    elif longest is not None and len(value) > longest:
        yield f"{where}: has {len(value)} characters, {longest} are allowed"


def pattern(value: object, where: str, wanted: re.Pattern[str], saying: str) -> Found:
    """A string that is wholly of this pattern."""
    if not isinstance(value, str) or not wanted.fullmatch(value):
        yield f"{where}: must be {saying}"


def one_of(value: object, where: str, allowed: Collection[str]) -> Found:
    """One of the documented words."""
    if not isinstance(value, str) or value not in allowed:
        yield f"{where}: {brief(value)} is not one of {', '.join(sorted(allowed))}"


def exactly(value: object, where: str, wanted: object) -> Found:
    """This very value, of this very type (true is not "true" and not 1)."""
    if type(value) is not type(wanted) or value != wanted:
        yield f"{where}: must be {brief(wanted)}, not {brief(value)}"


def array(value: object, where: str, least: int = 0, most: int | None = None) -> Found:
    """An array of this many members."""
    if not isinstance(value, list):
        yield f"{where}: must be an array"
    elif len(value) < least:
        yield f"{where}: must have at least {least} member"
    elif most is not None and len(value) > most:
        yield f"{where}: has {len(value)} members, {most} are allowed"


def instant(value: object, where: str, whole_seconds: bool = False) -> Found:
    """A UTC time with "Z" and at most milliseconds, of a day that exists (reference 1.3; pitfall 11)."""
    if not isinstance(value, str) or not _INSTANT.fullmatch(value):
        yield f"{where}: must be UTC like 2026-11-21T07:30:00.250Z (a Z, at most three decimals), not {brief(value)}"
    elif not _exists(value):
        yield f"{where}: {value} is no moment of any calendar"
    elif whole_seconds and "." in value:
        yield f"{where}: must be whole seconds, not {brief(value)}"


def _exists(value: str) -> bool:
    try:
        datetime.fromisoformat(value[:19] + "+00:00")
    except ValueError:
        return False
    return True


def no_twins(names: Sequence[Hashable], where: str) -> Found:
    """No name twice."""
    twins = sorted({str(name) for name, count in Counter(names).items() if count > 1})
    yield from (f"{where}: {name} stands there twice" for name in twins)


def texts(values: Iterable[object]) -> list[str]:
    """The strings among the values."""
    return [value for value in values if isinstance(value, str)]


def brief(value: object) -> str:
    """The value for a sentence: never longer than a line."""
    if value is None or isinstance(value, bool):
        return {None: "nothing", True: "true", False: "false"}[value]
    if isinstance(value, str):
        return f'"{value[:60]}"'
    if isinstance(value, int):
        return str(value) if abs(value) < 10**18 else "a huge number"
    return repr(value) if isinstance(value, float) else "an object" if is_object(value) else "an array"
