"""JSON as a bank would read it: one meaning per text, or a refusal.

Pure. Used for the SNS envelope and for the Dash message inside it. What the members mean is not decided here.
"""

import json
from collections.abc import Callable
from functools import cache
from math import isinf
from typing import Any, Final, NoReturn

DEPTH: Final = 32  # the deepest thing that Amazon sends, message attributes, is three deep


class NotStrict(ValueError):
    """The text is not JSON, or JSON that two readers could understand differently. Says why, never quotes."""


def read_object(text: str, number: Callable[[str], Any] = float) -> dict[str, Any]:
    """The one JSON object that `text` is; `number` reads what has a point or an exponent.

    Raises NotStrict for repeated keys, NaN and Infinity, half a surrogate pair, too deep nesting, or no object.
    """
    try:
        document = _decoder(number).decode(text)
    except NotStrict:
        raise
    except (ValueError, ArithmeticError, RecursionError) as problem:
        raise NotStrict("not JSON") from problem
    if not isinstance(document, dict):
        raise NotStrict("JSON, but not an object")
    if not _is_plain(text):
        _refuse_deep_or_broken(document)
    return document


@cache
def _decoder(number: Callable[[str], Any]) -> json.JSONDecoder:
    def bounded(digits: str) -> Any:
        value = number(digits)
        if isinstance(value, float) and isinf(value):
            raise NotStrict("a number beyond all bounds")
        return value

    return json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant, parse_float=bounded)


def _is_plain(text: str) -> bool:
    """Whether it can be seen at a glance that nothing in it is deep or broken: most of what comes is not looked through."""
    return text.isascii() and "\\u" not in text and text.count("{") + text.count("[") < DEPTH


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse repeated keys: a proxy may have read the other one."""
    members = dict(pairs)
    if len(members) != len(pairs):
        raise NotStrict("a key occurs twice")
    return members


def _no_constant(name: str) -> NoReturn:
    raise NotStrict(f"{name} is not a JSON number")


def _refuse_deep_or_broken(document: dict[str, Any]) -> None:
    """Walk without recursion, so that the depth of a stranger's text never becomes the depth of our stack."""
    level: list[Any] = [document]
    for _ in range(DEPTH):
        for value in level:
            _refuse_broken_text(value)
        level = [inner for value in level for inner in _members(value)]
        if not level:
            return
    raise NotStrict("nested too deeply")


def _members(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [*value.keys(), *value.values()]
    return value if isinstance(value, list) else []


def _refuse_broken_text(value: Any) -> None:
    """Half a surrogate pair has no UTF-8 form: it can be neither signed nor stored."""
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError as problem:
            raise NotStrict("half a surrogate pair") from problem
