"""The real processes, started as `make run` starts them, on ports and a data folder of their own."""

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

import requests

ROOT = Path(__file__).resolve().parent.parent
ALICE = ("alice@example.com", "coffee-please")
STAFF = ("staff@example.com", "support-please")


def free_ports(many: int) -> list[int]:
    """That differ, and none that the system gives to a client, which might take it before its server does."""
    found: set[int] = set()
    while len(found) < many:
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", random.randrange(20_000, 32_768)))
            found.add(probe.getsockname()[1])
    return list(found)


def free_port() -> int:
    return free_ports(1)[0]


def until(condition: Callable[[], Any], seconds: float, what: str) -> Any:
    """The first true answer of `condition`; fails when it does not come in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.05)
    raise AssertionError(f"not within {seconds} s: {what}")


class House:
    """`with House() as house`: the whole portal and its sandbox, stopped and removed at the end."""

    def __init__(self, data_dir: Path | None = None, **environment: str) -> None:
        self.folder = data_dir or Path(tempfile.mkdtemp(prefix="portal-house-"))
        self.keep = data_dir is not None
        self.ports = dict(zip(("PORTAL_PORT", "SANDBOX_PORT", "MACHINE_PORT"), free_ports(3), strict=True))
        self.portal = f"http://127.0.0.1:{self.ports['PORTAL_PORT']}"
        self.sandbox = f"http://127.0.0.1:{self.ports['SANDBOX_PORT']}"
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "PYTEST", "DATA_DIR"))}
        self.environment = clean | {name: str(port) for name, port in self.ports.items()} | environment
        self.environment |= {"DATA_DIR": str(self.folder), "EMBEDDED": "1"}
        self.log = self.folder.parent / f"{self.folder.name}.log"

    def __enter__(self) -> "House":
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "portal.supervisor"],
                cwd=ROOT,
                env=self.environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            until(self._is_up, 300, "the banner of make run")
        except BaseException:
            self.__exit__(*sys.exc_info())
            raise
        return self

    def _is_up(self) -> bool:
        assert self.process.poll() is None, self.said()
        assert "did not answer within" not in self.said(), self.said()
        return "First: open the sandbox" in self.said()

    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        ended = self.process.poll()
        if error is not None or ended is not None:
            print(self.said()[-20_000:])
        self.stop()
        if not self.keep:
            self.remove()
        assert error or ended is None, f"the house ended by itself with {ended}, see what it said"

    def stop(self, how: signal.Signals = signal.SIGINT) -> int:
        if self.process.poll() is None:
            self.process.send_signal(how)
        return self.process.wait(60)

    def remove(self) -> None:
        subprocess.run([sys.executable, "-m", "portal.embedded", "remove"], cwd=ROOT, env=self.environment, check=True)
        subprocess.run(["rm", "-rf", str(self.folder), str(self.log)], check=True)

    def state(self) -> dict[str, Any]:
        """What the sandbox's page sees."""
        return dict(requests.get(f"{self.sandbox}/state.json", timeout=60).json())

    def act(self, name: str, **body: Any) -> dict[str, Any]:
        """Press one of the sandbox's buttons."""
        answer = requests.post(f"{self.sandbox}/actions/{name}", json=body, timeout=30)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def reports(self) -> list[dict[str, Any]]:
        """The ChangeReports that the event gateway accepted, oldest first."""
        return [entry for entry in self.state()["wire"] if entry["kind"] == "ChangeReport" and entry["status"] == 202]

    def violations(self) -> list[str]:
        """What the sandbox's oracle and Amazon's schema say about all that was said to Amazon."""
        from tests import oracle  # needs Django's settings, which a house does not

        wire = self.state()["wire"]
        found = [f"{entry['kind']}: {violation}" for entry in wire for violation in entry["violations"]]
        said = [entry["request"] for entry in wire if entry["group"] == "event"]
        said += [entry["answer"] for entry in wire if entry["group"] == "directive"]
        return found + [
            violation for message in said if _is_event(message) for violation in oracle.about_schema(message)
        ]


def _is_event(message: Any) -> bool:
    return isinstance(message, dict) and "header" in message.get("event", {})


class Browser(requests.Session):
    """Enough of a browser to sign in and press buttons of forms."""

    def __init__(self, house: House, email: str, password: str) -> None:
        super().__init__()
        self.house = house
        page = self.get(f"{house.portal}/accounts/login/")
        answer = self.press(page, login=email, password=password)
        assert answer.status_code == 200, answer.text
        assert "/accounts/login/" not in answer.url, "the password was refused"

    def press(self, page: requests.Response, **fields: str) -> requests.Response:
        """Send the page's form with these fields filled in."""
        from html.parser import HTMLParser

        class Hidden(HTMLParser):
            def __init__(self) -> None:
                super().__init__()
                self.values: dict[str, str] = {}

            def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
                named = dict(attrs)
                if tag == "input" and named.get("type") == "hidden" and named.get("name"):
                    self.values.setdefault(str(named["name"]), named.get("value") or "")

        hidden = Hidden()
        hidden.feed(page.text)
        return self.post(page.url, data=hidden.values | fields, headers={"Referer": page.url}, timeout=30)
