"""A factory's list goes in: all of it or nothing, again without change, secrets written once."""

import csv
import io
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import override_settings
from hypothesis import given
from hypothesis import strategies as st

from devices import credentials, factory, keys, registry
from devices.factory import Imported, ImportRefused, Secret, import_units
from devices.factory_lines import Fault, LineReader, Model
from devices.models import Device

HEADER = "serial,model,key,claim_code,mac,firmware\n"
KEY = "a-key-that-the-factory-made-itself"
OWN = f"CRM20-0101,CREMA-20,{KEY},abcd-2345,00:1a:2B:00:00:01,1.0.3\n"
MADE = "CRM20-0102,CREMA-20,generate,generate,001A2B000002,1.0.3\n"


class Sent(list[Secret]):
    """What was generated, as it was handed out; `faults` as they were told."""

    def __init__(self) -> None:
        super().__init__()
        self.faults: list[Fault] = []


def brought(text: str, sent: Sent | None = None) -> tuple[Imported, Sent]:
    sent = Sent() if sent is None else sent
    lines = io.StringIO(text, newline="")
    return import_units(lines, on_fault=sent.faults.append, on_secrets=sent.extend), sent


def refused(text: str) -> list[Fault]:
    before = list(Device.objects.order_by("pk").values())
    sent = Sent()
    with pytest.raises(ImportRefused):
        brought(text, sent)
    assert list(Device.objects.order_by("pk").values()) == before, "all or nothing"
    assert sent == [], "no secret of a unit that does not exist"
    return sent.faults


def test_what_the_factory_says_is_what_the_registry_holds(crema: Any, alice: Any) -> None:
    done, sent = brought(HEADER + OWN)
    assert (done, sent) == (Imported(listed=1, added=1, generated=0), [])
    unit = Device.objects.get()
    assert (unit.serial_number, unit.device_model, unit.name) == ("CRM20-0101", crema, "Crema 20")
    assert (unit.mac_address, unit.firmware_version, unit.owner) == ("00:1A:2B:00:00:01", "1.0.3", None)
    assert keys.authenticate("CRM20-0101", KEY) == unit
    assert registry.claim(alice, "CRM20-0101", "ABCD2345").owner == alice


def test_an_imported_unit_is_the_same_as_a_registered_one(crema: Any) -> None:
    brought(HEADER + f"CRM20-0101,CREMA-20,{KEY},ABCD2345,,\n")
    registered = registry.register("CRM20-0102", crema, key=KEY, claim_code="ABCD2345").device
    imported = Device.objects.get(serial_number="CRM20-0101")
    differ = {"id", "serial_number", "created_at", "claim_code_hash"}
    plain = [{name: value for name, value in row.items() if name not in differ} for row in Device.objects.values()]
    assert plain[0] == plain[1]
    assert imported.claim_code_hash != registered.claim_code_hash


def test_generated_secrets_are_handed_out_and_work(crema: Any, alice: Any) -> None:
    done, [secret] = brought(HEADER + MADE)
    assert done == Imported(1, 1, 1)
    assert (secret.serial, secret.model, len(secret.key)) == ("CRM20-0102", "CREMA-20", 43)
    assert set(secret.claim_code) <= set(credentials.CLAIM_ALPHABET)
    assert len(secret.claim_code) == credentials.CLAIM_CODE_LENGTH
    assert keys.authenticate("CRM20-0102", secret.key) is not None
    assert registry.claim(alice, "CRM20-0102", secret.claim_code).owner == alice


def test_what_the_factory_brought_itself_is_not_handed_out_again(crema: Any) -> None:
    _, sent = brought(HEADER + OWN + f"CRM20-0103,CREMA-20,{KEY},generate,,\n")
    assert [(secret.serial, secret.key, len(secret.claim_code)) for secret in sent] == [("CRM20-0103", "", 8)]


def test_a_code_has_every_sign_of_the_alphabet_alike() -> None:
    """Which byte gives which sign is counted, not guessed: as many for each."""
    kept = [byte for byte in range(256) if byte not in credentials._LEFT_OVER]
    signs = Counter(credentials._SIGNS[byte] for byte in kept)
    assert signs == dict.fromkeys(credentials.CLAIM_ALPHABET.encode(), 8)
    assert {len(credentials.new_code()) for _ in range(100)} == {credentials.CLAIM_CODE_LENGTH}


def test_every_unit_and_every_list_has_secrets_of_its_own(crema: Any) -> None:
    lines = [f"CRM20-{n:04},CREMA-20,generate,generate,,\n" for n in range(50)]
    _, sent = brought(HEADER + "".join(lines))
    assert len({secret.key for secret in sent}) == len({secret.claim_code for secret in sent}) == 50
    Device.objects.all().delete()
    _, again = brought(HEADER + "".join(lines))
    assert not {secret.key for secret in sent} & {secret.key for secret in again}


def test_the_same_list_again_changes_nothing_and_makes_no_key_anew(crema: Any) -> None:
    brought(HEADER + OWN + MADE)
    before = list(Device.objects.order_by("pk").values())
    done, sent = brought(HEADER + OWN + MADE)
    assert (done, sent) == (Imported(listed=2, added=0, generated=0), [])
    assert list(Device.objects.order_by("pk").values()) == before


def test_a_longer_list_adds_what_is_new_and_hands_out_only_that(crema: Any) -> None:
    brought(HEADER + OWN + MADE)
    done, sent = brought(HEADER + OWN + MADE + MADE.replace("0102", "0103").replace("02,1.0", "03,1.0"))
    assert done == Imported(3, 1, 1)
    assert [secret.serial for secret in sent] == ["CRM20-0103"]


def test_the_list_stays_repeatable_when_life_has_gone_on(crema: Any, alice: Any, settings: Any) -> None:
    brought(HEADER + OWN)
    unit = registry.claim(alice, "CRM20-0101", "ABCD2345")
    registry.rotate_key(unit)
    registry.rename(unit, "Kitchen")
    Device.objects.update(firmware_version="2.0.0")
    before = Device.objects.values().get()
    with override_settings(SECRET_KEY="a new one", SECRET_KEY_FALLBACKS=[settings.SECRET_KEY]):
        assert brought(HEADER + OWN)[0] == Imported(1, 0, 0)
    assert Device.objects.values().get() == before


def test_a_unit_that_is_registered_otherwise_stops_the_list(crema: Any) -> None:
    type(crema).objects.create(
        model_id="MILL-1", name="Mill", manufacturer="Nordkap Home", description="By Nordkap Home"
    )
    brought(HEADER + OWN)
    for line, field in [
        (OWN.replace("CREMA-20", "MILL-1"), "model"),
        (OWN.replace(KEY, "another-key-of-the-factory"), "key"),
        (OWN.replace("abcd-2345", "WXYZ2345"), "claim_code"),
        (OWN.replace("00:01", "00:09"), "mac"),
    ]:
        [fault] = refused(HEADER + MADE + line)
        assert (fault.line, fault.field) == (3, field)
        assert "CRM20-0101 is registered already" in fault.reason, field


WRONG_LINES = [
    ("a b,CREMA-20,generate,generate,,", "serial", "1 to 64"),
    (",CREMA-20,generate,generate,,", "serial", "1 to 64"),
    ("a\x00b,CREMA-20,generate,generate,,", "serial", "1 to 64"),
    ("é1,CREMA-20,generate,generate,,", "serial", "1 to 64"),
    ("A1,NO-SUCH,generate,generate,,", "model", "NO-SUCH"),
    ("A1,CREMA-20,short,generate,,", "key", "20 to 256"),
    ("A1,CREMA-20,,generate,,", "key", "generate"),
    ("A1,CREMA-20,a key with spaces in its middle,generate,,", "key", "printable"),
    ("A1,CREMA-20,generate,ABC,,", "claim_code", "8 to 32"),
    ("A1,CREMA-20,generate,,,", "claim_code", "generate"),
    ("A1,CREMA-20,generate,ÄÖÜ23456,,", "claim_code", "8 to 32"),
    ("A1,CREMA-20,generate,generate,00:1A:2B:00:00,", "mac", "12 hex"),
    ("A1,CREMA-20,generate,generate,,back\\slash", "firmware", "printable"),
    ("A1,CREMA-20,generate,generate,,tab\there", "firmware", "printable"),
    ("A1,CREMA-20,generate,generate,", "", "5 columns"),
    ('A1,CREMA-20,"generate,generate,,', "", "not CSV"),
    ("\udc80,CREMA-20,generate,generate,,", "serial", "1 to 64"),
]


def test_a_line_that_cannot_be_taken_is_named(crema: Any) -> None:
    for line, field, because in WRONG_LINES:
        fault = refused(f"{HEADER}{OWN}{line}\n")[0]
        assert (fault.line, fault.field) == (3, field), line
        assert because in fault.reason, line


def test_all_faults_are_told_at_once_and_no_secret_among_them(crema: Any) -> None:
    secret = "short-secret"
    faults = refused(f"{HEADER}A1,NO,{secret},x,,\nA2,CREMA-20,generate,generate,zz,\n{OWN}{OWN}")
    assert [(fault.line, fault.field) for fault in faults] == [
        (2, "model"),
        (2, "key"),
        (2, "claim_code"),
        (3, "mac"),
        (5, "serial"),
        (5, "mac"),
    ]
    assert "stands in line 4 already" in faults[4].reason
    assert not any(secret in fault.reason for fault in faults)


def test_a_list_must_say_what_its_columns_are(crema: Any) -> None:
    for header, because in [
        ("", "no serial"),
        ("serial,model,key\n", "no claim_code"),
        ("serial,model,key,claim_code,colour\n", "colour"),
        ("serial,model,key,claim_code,key\n", "key"),
    ]:
        [fault] = refused(header + OWN)
        assert fault.line == 1, header
        assert because in fault.reason, header


@pytest.mark.parametrize("header", ["Claim Code,MODEL,Serial,key\n", "claim_code,model,serial,key\r\n"])
def test_columns_may_stand_in_any_order(crema: Any, header: str) -> None:
    brought(f"{header}ABCD2345,CREMA-20,CRM20-0101,{KEY}\n\n")
    unit = Device.objects.get()
    assert (unit.serial_number, unit.mac_address, unit.firmware_version) == ("CRM20-0101", "", "")


def test_when_the_secrets_cannot_be_kept_there_are_no_units(crema: Any) -> None:
    def disk_full(_: Any) -> None:
        raise OSError("No space left on device")

    with pytest.raises(OSError, match="No space"):
        import_units(io.StringIO(HEADER + MADE), on_fault=print, on_secrets=disk_full)
    assert not Device.objects.exists()


def test_the_database_never_sees_a_secret(crema: Any) -> None:
    seen: list[str] = []

    def spy(execute: Any, sql: Any, params: Any, many: Any, context: Any) -> Any:
        seen.append(f"{sql} {params}")
        return execute(sql, params, many, context)

    held: list[str] = []

    def look(secrets: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT array_agg(factory_list::text)::text FROM factory_list")
            held.append(cursor.fetchone()[0])
            sent.extend(secrets)
            cursor.execute("SELECT array_agg(factory_made::text)::text FROM factory_made")
            held.append(cursor.fetchone()[0])

    sent = Sent()
    with connection.execute_wrapper(spy):
        import_units(io.StringIO(HEADER + OWN + MADE), on_fault=print, on_secrets=look)
    for secret in (KEY, "ABCD2345", sent[0].key, sent[0].claim_code):
        assert not any(secret in text for text in seen + held)
    assert "CRM20-0102" in held[0]
    assert credentials.hash_key(sent[0].key) in held[1]


def test_units_are_entered_also_if_nobody_takes_their_keys(crema: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(factory, "SLICE", 1)
    lines = io.StringIO(HEADER + MADE + MADE.replace("0102", "0103").replace("02,1", "03,1"))
    assert import_units(lines, on_fault=print, on_secrets=lambda secrets: None) == Imported(2, 2, 2)
    assert Device.objects.count() == 2


def test_when_only_some_secrets_can_be_kept_there_are_no_units_and_no_file(
    crema: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr(factory, "SLICE", 1)
    make, made = factory.new_code, []

    def disk_full() -> str:
        made.append(make())
        if len(made) == 3:
            raise OSError(28, "No space left on device")
        return made[-1]

    monkeypatch.setattr(factory, "new_code", disk_full)
    lines = "".join(MADE.replace("0102", f"010{n}").replace("02,1", f"0{n},1") for n in range(4))
    with pytest.raises(CommandError, match="No space"):
        call_command("import_devices", listed(tmp_path, HEADER + lines), secrets=tmp_path / "keys.csv")
    assert len(made) == 3, "the first of them were entered by then"
    assert not Device.objects.exists()
    assert [file.name for file in tmp_path.iterdir()] == ["units.csv"]


def test_a_disk_that_fills_while_the_database_enters_leaves_no_unit(crema: Any, monkeypatch: Any) -> None:
    """The one who takes the secrets breaks off, while a slice is being entered by the other thread."""
    monkeypatch.setattr(factory, "SLICE", 1)

    def takes_two(secrets: Iterator[Secret]) -> None:
        next(secrets)
        next(secrets)
        raise OSError(28, "No space left on device")

    lines = "".join(MADE.replace("0102", f"010{n}").replace("02,1", f"0{n},1") for n in range(4))
    with pytest.raises(OSError, match="No space"):
        import_units(io.StringIO(HEADER + lines), on_fault=print, on_secrets=takes_two)
    assert not Device.objects.exists()
    assert brought(HEADER + lines)[0] == Imported(4, 4, 4)


@given(
    cells=st.tuples(
        st.sampled_from(["CRM20-0101", "a b", "", "x\ty"]) | st.text(max_size=70),
        st.sampled_from(["CREMA-20", "MILL-1"]),
        st.sampled_from(["generate", KEY, "short", "Generate"]) | st.text(max_size=30),
        st.sampled_from(["generate", "abcd-2345", "Generate", "ABC"]) | st.text(max_size=40),
        st.sampled_from(["", "00:1a:2B:00:00:01", "001A2B000002", "zz", "--"]) | st.text(max_size=20),
        st.sampled_from(["", "1.0.3", "back\\slash"]) | st.text(max_size=70),
    )
)
def test_a_line_is_taken_whole_or_its_faults_are_told(cells: tuple[str, ...]) -> None:
    """Never neither: then a unit would be left out without a word."""
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL).writerow(cells)
    text.seek(0)
    [answer] = LineReader([HEADER, *text], {"CREMA-20": Model(1, "CREMA-20", "Crema 20")})
    if isinstance(answer, str):
        assert answer.endswith("\n")
        assert answer.count("\n") == 1
        assert answer.count("\t") == 9
        assert answer.isascii()
        assert "\\" not in answer
        assert KEY not in answer
        assert "ABCD2345" not in answer
    else:
        assert answer
        assert all(fault.reason for fault in answer)


@pytest.mark.django_db(transaction=True)
def test_one_list_at_a_time(crema: Any) -> None:
    """A second list is asked to wait, so the same list twice at once cannot make two keys for one unit."""
    from threading import Thread

    refusals: list[str] = []

    def another() -> None:
        try:
            brought(HEADER + MADE)
        except ImportRefused as refusal:
            refusals.append(str(refusal))
        finally:
            connection.close()

    def meanwhile(secrets: Any) -> None:
        thread = Thread(target=another)
        thread.start()
        thread.join()
        list(secrets)

    import_units(io.StringIO(HEADER + MADE), on_fault=print, on_secrets=meanwhile)
    assert refusals == ["Another list is being imported. Please try again when that is done."]
    assert Device.objects.count() == 1
    assert brought(HEADER + MADE)[0] == Imported(1, 0, 0)


def listed(folder: Path, text: str) -> Path:
    path = folder / "units.csv"
    path.write_text(text)
    return path


def test_a_list_longer_than_a_block_is_whole(crema: Any) -> None:
    count = factory.BLOCK * 2 + 7
    lines = "".join(f"CRM20-{n:06},CREMA-20,generate,generate,,\n" for n in range(count))
    stages: list[str] = []
    sent = Sent()
    done = import_units(
        io.StringIO(HEADER + lines),
        on_fault=sent.faults.append,
        on_secrets=sent.extend,
        progress=lambda stage, _: stages.append(stage),
    )
    assert done == Imported(count, count, count)
    assert [secret.serial for secret in sent] == [f"CRM20-{n:06}" for n in range(count)]
    assert stages == ["reading", "reading", "checking", "entering"]


def test_twins_are_found_in_whatever_order_they_stand(crema: Any) -> None:
    lines = [f"CRM20-{n},CREMA-20,generate,generate,00:1A:2B:00:00:{n % 4:02X},\n" for n in (3, 1, 7, 1, 2, 1)]
    faults = [(fault.line, fault.field, fault.reason.split()[-2]) for fault in refused(HEADER + "".join(lines))]
    assert faults == [(5, "serial", "3"), (7, "serial", "3"), (4, "mac", "2"), (5, "mac", "3"), (7, "mac", "3")]


def test_new_and_known_units_may_be_mixed_over_many_slices(crema: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(factory, "SLICE", 3)
    lines = [f"CRM20-{n:04},CREMA-20,{'generate' if n % 5 else KEY},generate,,\n\n" for n in range(20)]
    brought(HEADER + "".join(lines[4:9] + lines[15:]))
    done, sent = brought(HEADER + "".join(lines))
    assert done == Imported(20, 10, 10)
    new = [0, 1, 2, 3, 9, 10, 11, 12, 13, 14]
    assert [secret.serial for secret in sent] == [f"CRM20-{n:04}" for n in new]
    assert all(keys.authenticate(secret.serial, secret.key or KEY) for secret in sent)
    assert list(Device.objects.order_by("pk").values_list("serial_number", flat=True)[10:]) == [s.serial for s in sent]


def test_a_unit_that_somebody_registers_meanwhile_stops_the_list(crema: Any, tmp_path: Path, monkeypatch: Any) -> None:
    """After the list was compared with the registry: no unit of it, and no file that says their keys."""
    forget_known = factory._forget_known

    def meanwhile(cursor: Any) -> Any:
        counts = forget_known(cursor)
        registry.register("CRM20-0102", crema)
        return counts

    monkeypatch.setattr(factory, "SLICE", 1)
    monkeypatch.setattr(factory, "_forget_known", meanwhile)
    lines = "".join(MADE.replace("0102", f"010{n}").replace("02,1", f"0{n},1") for n in range(4))
    with pytest.raises(CommandError, match="changed meanwhile"):
        call_command("import_devices", listed(tmp_path, HEADER + lines), secrets=tmp_path / "keys.csv")
    assert not Device.objects.exists(), "nor what was registered in this very transaction"
    assert [file.name for file in tmp_path.iterdir()] == ["units.csv"]


def test_generate_in_capitals_is_no_claim_code(crema: Any) -> None:
    [fault] = refused(HEADER + f"CRM20-0101,CREMA-20,{KEY},Generate,,\n")
    assert (fault.field, "generate" in fault.reason) == ("claim_code", True)
