"""The colours can be read: WCAG 2.2 AA, computed from the stylesheet's own custom properties, in light and dark."""

import re
from pathlib import Path

import pytest

CSS = (Path(__file__).parents[2] / "portal/static/portal/portal.css").read_text(encoding="utf-8")
TEXT, SHAPE = 4.5, 3.0

PAIRS = [
    *[
        (ink, ground, TEXT)
        for ink in ("ink", "ink-soft", "accent", "accent-strong")
        for ground in ("paper", "surface", "sunken")
    ],
    *[(tone, f"{tone}-soft", TEXT) for tone in ("ok", "low", "info", "danger", "accent")],
    *[("danger", ground, TEXT) for ground in ("paper", "surface")],
    ("on-accent", "accent", TEXT),
    ("on-accent", "accent-strong", TEXT),
    ("on-danger", "danger", TEXT),
    *[(line, ground, SHAPE) for line in ("line-strong", "focus") for ground in ("paper", "surface", "sunken")],
    *[
        (fill, ground, SHAPE)
        for fill in ("fill", "fill-low", "fill-empty")
        for ground in ("surface", "track", "sunken")
    ],
]


def palette(theme: str) -> dict[str, str]:
    """Custom properties that are colours; dark is light with what its media query overrides."""
    light, dark = CSS.split("@media (prefers-color-scheme: dark)", 1)
    dark = dark.split("/* ----", 1)[0]
    pattern = re.compile(r"--([a-z-]+): (#[0-9a-f]{6});")
    found = dict(pattern.findall(light))
    return found | dict(pattern.findall(dark)) if theme == "dark" else found


def luminance(colour: str) -> float:
    """Relative luminance as WCAG 2.2 defines it."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def test_the_measure_itself() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.01)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_contrast(theme: str) -> None:
    colours = palette(theme)
    measured = [(ink, ground, contrast(colours[ink], colours[ground]), least) for ink, ground, least in PAIRS]
    assert [pair for pair in measured if pair[2] < pair[3]] == []


def test_dark_overrides_every_colour() -> None:
    light, dark = palette("light"), palette("dark")
    assert [name for name in light if light[name] == dark[name]] == []


def test_colours_are_only_named_by_their_token() -> None:
    rules = CSS.split("/* ---- 2.", 1)[1]
    assert re.findall(r"#[0-9a-fA-F]{3,8}\b|\brgba?\(|\bhsl", rules) == []
