"""What is printed for boxes: what it says in text, what its QR code says, and who may read the sheet."""

import io
import re
import stat
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from xml.etree import ElementTree

import pytest
import segno
from django.core.management import CommandError, call_command

from devices import labels, registry
from devices.labels import Label
from devices.models import Device

SVG = "{http://www.w3.org/2000/svg}"
LABEL = Label("CRM20-0101", "ABCD2345")
CODES = ["ABCDEFGH23456789ABCDEFGH23456789"[:length] for length in range(8, 33)]


@pytest.fixture(autouse=True)
def at_home(settings: Any) -> None:
    settings.PUBLIC_URL = "https://home.example.com"


@pytest.fixture(scope="module")
def pages() -> list[str]:
    """A label with each of these codes."""
    return list(labels.sheets(Label("CRM20-0101", code) for code in CODES))


def drawn(sheet: str) -> list[ElementTree.Element]:
    """The labels of a sheet."""
    return ElementTree.fromstring(sheet.encode()).findall(f"{SVG}g")


def modules(label: ElementTree.Element) -> list[list[int]]:
    """The dark and light squares of a label's QR code, read from its drawing; the quiet zone is in it."""
    code = label.find(f"{SVG}svg")
    assert code is not None
    size = int(code.attrib["viewBox"].split()[2])
    grid, x, y = [[0] * size for _ in range(size)], 0.0, 0.0
    path = code.find(f"{SVG}path")
    assert path is not None
    for move in re.findall(r"[Mmh][^Mmh]*", path.attrib["d"]):
        numbers = [float(number) for number in re.findall(r"-?\d*\.?\d+", move)]
        if move[0] == "h":
            for step in range(int(numbers[0])):
                grid[int(y)][int(x) + step] = 1
            x += numbers[0]
        else:
            x, y = (numbers[0], numbers[1]) if move[0] == "M" else (x + numbers[0], y + numbers[1])
    return grid


def texts(label: ElementTree.Element) -> list[str]:
    return [element.text or "" for element in label.findall(f"{SVG}text")]


def test_the_link_fills_the_claim_form_in() -> None:
    link = urlsplit(labels.claim_link(LABEL))
    assert (link.scheme, link.netloc, link.path) == ("https", "home.example.com", "/devices/add/")
    assert parse_qs(link.query) == {"serial": ["CRM20-0101"], "code": ["ABCD2345"]}


def test_the_qr_code_is_the_link_with_its_quiet_zone() -> None:
    [label] = drawn(next(labels.sheets([LABEL])))
    expected = segno.make("https://home.example.com/devices/add/?serial=CRM20-0101&code=ABCD2345", error="m")
    bordered = [list(row) for row in expected.matrix_iter(border=4)]
    assert modules(label) == [[int(bool(module)) for module in row] for row in bordered]


def test_the_same_stands_there_as_text(settings: Any) -> None:
    settings.SITE_NAME = "Crema & Home"
    [label] = drawn(next(labels.sheets([LABEL])))
    assert texts(label) == ["Crema & Home", "S/N", "CRM20-0101", "Claim code", "ABCD-2345"]


def test_the_longest_serial_number_is_whole_and_inside_its_label() -> None:
    serial = "ABCDEFGH" * 8
    [label] = drawn(next(labels.sheets([Label(serial, "ABCD2345")])))
    lines = texts(label)[2:-2]
    assert "".join(lines) == serial
    assert all(labels.QR + 4 + len(line) * 2.4 * 0.61 < labels.LABEL[0] for line in lines)


def test_a_code_of_any_length_is_whole_and_inside_its_label(pages: list[str]) -> None:
    for code, label in zip(CODES, [label for page in pages for label in drawn(page)], strict=True):
        heading, *lines = [line for line in label.findall(f"{SVG}text") if float(line.attrib["y"]) >= 26]
        assert heading.text == "Claim code", code
        assert "".join(line.text or "" for line in lines).replace("-", "") == code
        for line in lines:
            width = len(line.text or "") * float(line.attrib["font-size"]) * 0.61
            assert labels.QR + 4 + width < labels.LABEL[0], code
            assert float(line.attrib["y"]) < labels.LABEL[1] - 2, code


def test_a_sheet_has_24_labels_and_none_leaves_the_page(pages: list[str]) -> None:
    assert [len(drawn(page)) for page in pages] == [24, 1]
    places = [re.findall(r"[\d.]+", label.attrib["transform"]) for label in drawn(pages[0])]
    assert len(set(map(tuple, places))) == 24
    for x, y in places:
        assert float(x) + labels.LABEL[0] <= labels.PAGE[0]
        assert float(y) + labels.LABEL[1] <= labels.PAGE[1]


def test_from_the_factorys_list_to_the_claim(crema: Any, alice: Any, tmp_path: Path) -> None:
    listed = tmp_path / "units.csv"
    listed.write_text("serial,model,key,claim_code\nCRM20-0101,CREMA-20,generate,generate\n")
    call_command("import_devices", listed, secrets=tmp_path / "keys.csv", stdout=io.StringIO())
    call_command("print_labels", tmp_path / "keys.csv", out=tmp_path / "labels.svg", stdout=io.StringIO())
    [label] = drawn((tmp_path / "labels.svg").read_text())
    registry.claim(alice, texts(label)[2], texts(label)[-1])
    assert Device.objects.get().owner == alice
    assert stat.S_IMODE((tmp_path / "labels.svg").stat().st_mode) == 0o600


def test_many_labels_are_many_sheets(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(labels, "PER_SHEET", 2)
    listed, out = tmp_path / "units.csv", io.StringIO()
    listed.write_text("serial,claim_code\n" + "".join(f"CRM20-{n},abcd-2345\n" for n in range(5)))
    call_command("print_labels", listed, out=tmp_path / "labels.svg", stdout=out)
    assert sorted(path.name for path in tmp_path.glob("*.svg")) == ["labels-2.svg", "labels-3.svg", "labels.svg"]
    assert "5 labels" in out.getvalue()


def test_without_a_code_nothing_is_printed(tmp_path: Path) -> None:
    for text, because in [
        ("serial,key\nA1,x\n", "no claim_code"),
        ("serial,claim_code\nA1,ABCD2345\nA2,generate\n", "Line 3"),
        ("serial,claim_code\nA1,\n", "Line 2"),
        ("serial,claim_code\nA1\n", "Line 2"),
        ("", "no claim_code, serial"),
    ]:
        (tmp_path / "units.csv").write_text(text)
        with pytest.raises(CommandError, match=because):
            call_command("print_labels", tmp_path / "units.csv", out=tmp_path / "labels.svg")
        assert not (tmp_path / "labels.svg").exists(), text


def test_a_trial_address_on_labels_is_pointed_out(settings: Any, tmp_path: Path) -> None:
    settings.PUBLIC_URL = "http://127.0.0.1:8000"
    (tmp_path / "units.csv").write_text("serial,claim_code\nA1,ABCD2345\n")
    said = io.StringIO()
    call_command("print_labels", tmp_path / "units.csv", out=tmp_path / "l.svg", stdout=io.StringIO(), stderr=said)
    assert "http://127.0.0.1:8000" in said.getvalue()


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, r"^\S+list\.csv: No such file or directory$"), (b"\xff\xfe\x00", "is no text in UTF-8")],
)
def test_a_list_that_cannot_be_read_is_one_sentence(tmp_path: Path, content: bytes | None, said: str) -> None:
    source = tmp_path / "list.csv"
    if content is not None:
        source.write_bytes(content)
    with pytest.raises(CommandError, match=said):
        call_command("print_labels", str(source), out=tmp_path / "labels.svg")
