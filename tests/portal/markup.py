"""Reads a page as a browser's parser would, for the tests of the pages: elements, text, and what our rules forbid."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}


@dataclass
class Element:
    tag: str
    attributes: dict[str, str]
    text: str = ""
    inside: list[Element] = field(default_factory=list)


class Page(HTMLParser):
    """The elements of a page, each with its text and what it contains."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.html = html
        self.elements: list[Element] = []
        self.open: list[Element] = []
        self.unbalanced: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {name: value or "" for name, value in attrs})
        for parent in self.open:
            parent.inside.append(element)
        self.elements.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open[-1].tag != tag:
            self.unbalanced.append(tag)
        else:
            self.open.pop()

    def handle_data(self, data: str) -> None:
        for parent in self.open:
            parent.text += data

    def all(self, tag: str) -> list[Element]:
        return [element for element in self.elements if element.tag == tag]

    def text_of(self, tag: str) -> str:
        return " ".join(" ".join(element.text for element in self.all(tag)).split())

    @property
    def text(self) -> str:
        return self.text_of("body")


def faults(page: Page) -> list[str]:
    """What no page of ours may have: inline style or script, a form without token, a control without label, …"""
    return [
        *[f"unbalanced </{tag}>" for tag in page.unbalanced],
        *[f"never closed <{element.tag}>" for element in page.open],
        *_forbidden(page),
        *_forms(page),
        *_labels(page),
        *_names(page),
    ]


def _forbidden(page: Page) -> list[str]:
    found = [f"inline style on <{e.tag}>" for e in page.elements if "style" in e.attributes or e.tag == "style"]
    found += ["inline script" for e in page.all("script") if "src" not in e.attributes or e.text.strip()]
    found += [f"{name} on <{e.tag}>" for e in page.elements for name in e.attributes if name.startswith("on")]
    return found + ["javascript: link" for e in page.all("a") if e.attributes.get("href", "").startswith("javascript:")]


def _forms(page: Page) -> list[str]:
    posts = [form for form in page.all("form") if form.attributes.get("method") == "post"]
    tokens = [[e for e in form.inside if e.attributes.get("name") == "csrfmiddlewaretoken"] for form in posts]
    return [f"form with {len(found)} tokens" for found in tokens if len(found) != 1]


def _labels(page: Page) -> list[str]:
    labelled = {label.attributes.get("for") for label in page.all("label")}
    fields = [
        e for e in page.elements if e.tag in ("input", "select", "textarea") and e.attributes.get("type") != "hidden"
    ]
    found = [f"no label for {e.attributes.get('name')}" for e in fields if e.attributes.get("id") not in labelled]
    buttons = [e for e in page.elements if e.tag in ("a", "button")]
    return found + [f"<{e.tag}> without words" for e in buttons if not e.text.strip()]


def _names(page: Page) -> list[str]:
    ids = [e.attributes["id"] for e in page.elements if "id" in e.attributes]
    found = [f"id {name} twice" for name in sorted({name for name in ids if ids.count(name) > 1})]
    for e in page.elements:
        for attribute in ("aria-labelledby", "aria-describedby", "for"):
            found += [f"{attribute} → no {name}" for name in e.attributes.get(attribute, "").split() if name not in ids]
    if len(page.all("h1")) != 1:
        found.append(f"{len(page.all('h1'))} main headings")
    if not page.text_of("title") or not page.all("html")[0].attributes.get("lang"):
        found.append("no title or no language")
    return found


def page_of(response: Any) -> Page:
    """The page of a test client's response."""
    return Page(response.content.decode())
