"""How a figure is printed: `name value floor ratio target`, one a line, and all of them as JSON where asked. Whose target is missed
is named at the end."""

import json
import operator
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

MISSED = "Targets missed: "
_SIGNS = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt}


@dataclass
class Figure:
    """`floor` is what was measured in the same run to compare with; `ratio` is value/floor; `target` is `>=0.6`, `<100` or the like
    for the ratio, or for the value where there is no floor, or where it says so: `<100 (value)`; or it is `-`."""

    name: str
    value: float
    floor: float | None
    target: str

    @property
    def ratio(self) -> float | None:
        return self.value / self.floor if self.floor else None

    @property
    def is_met(self) -> bool:
        if self.target == "-":
            return True
        words, _, of = self.target.partition(" ")
        sign = next(sign for sign in _SIGNS if words.startswith(sign))
        measured = self.value if self.ratio is None or of == "(value)" else self.ratio
        return bool(_SIGNS[sign](measured, float(words.removeprefix(sign))))

    def line(self) -> str:
        floor = f"{self.floor:.6g}" if self.floor is not None else "-"
        ratio = f"{self.ratio:.3f}" if self.ratio is not None else "-"
        return f"{self.name} {self.value:.6g} {floor} {ratio} {self.target}"


class Figures:
    """Collects figures and prints each as it comes."""

    def __init__(self, path: str | None) -> None:
        self.path = path
        self.all: list[Figure] = []
        self.skipped: dict[str, str] = {}

    def add(self, name: str, value: float, floor: float | None = None, target: str = "-") -> None:
        figure = Figure(name, value, floor, target)
        self.all.append(figure)
        print(figure.line(), flush=True)
        self._write()

    def skip(self, names: list[str], reason: str) -> None:
        """These cannot be measured here, and why."""
        self.skipped |= dict.fromkeys(names, reason)
        for name in names:
            print(f"{name} - - - not measured: {reason}", flush=True)
        self._write()

    def end(self) -> None:
        """The last line names the targets that were missed, and the process fails; if there are none, nothing happens."""
        if missed := [figure.name for figure in self.all if not figure.is_met]:
            print(MISSED + ", ".join(missed), flush=True)
            sys.exit(1)

    def _write(self) -> None:
        if self.path:
            rows = [asdict(row) | {"ratio": row.ratio} for row in self.all]
            rows += [{"name": name, "value": None, "not_measured": reason} for name, reason in self.skipped.items()]
            Path(self.path).write_text(json.dumps(rows, indent=1))
