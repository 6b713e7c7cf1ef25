"""What a benchmark found: tables, printed as text, written as JSON for `run.py`, and judged where there is a budget."""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Figure:
    """One cell of a table.

    Attributes:
        row: what was measured.
        column: where, or how; empty where the table has one column.
        value: how much.
        unit: of what.
        at_most: what it must not exceed, or `None`.
    """

    row: str
    column: str
    value: float
    unit: str
    at_most: float | None = None

    @property
    def is_kept(self) -> bool:
        """Whether it is within its budget."""
        return self.at_most is None or self.value <= self.at_most

    def __str__(self) -> str:
        text = f"{number(self.value)} {self.unit}".strip()
        if self.at_most is None:
            return text
        return f"{text} (≤ {number(self.at_most)}{'' if self.is_kept else ' missed'})"


@dataclass(slots=True)
class Table:
    """Figures that belong together."""

    title: str
    figures: list[Figure] = field(default_factory=list[Figure])

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> Table:
        """As `Report` wrote it."""
        return cls(found["title"], [Figure(**each) for each in found["figures"]])

    def grid(self) -> list[list[str]]:
        """The cells, the columns' heads first, if they have any; what was not measured is empty."""
        rows = list(dict.fromkeys(each.row for each in self.figures))
        columns = list(dict.fromkeys(each.column for each in self.figures))
        cells = {(each.row, each.column): str(each) for each in self.figures}
        head = [["", *columns]] if any(columns) else []
        return [*head, *([row, *(cells.get((row, column), "") for column in columns)] for row in rows)]

    def value(self, row: str, column: str = "") -> float | None:
        """A figure, or `None` if it was not measured."""
        found = (each.value for each in self.figures if (each.row, each.column) == (row, column))
        return next(found, None)


class Report:
    """Collects what a benchmark finds.

    Args:
        path: where to write it as JSON; `None` for nowhere.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._tables: list[Table] = []
        self._notes: list[str] = []

    def table(self, title: str) -> None:
        """What is told from now on belongs to a table of this title."""
        self._tables.append(Table(title))

    def tell(self, row: str, value: float, unit: str, *, column: str = "", at_most: float | None = None) -> None:
        """A figure; see `Figure`."""
        self._tables[-1].figures.append(Figure(row, column, value, unit, at_most))

    def note(self, text: str) -> None:
        """What a reader must know, such as what was left out."""
        self._notes.append(text)

    def end(self) -> int:
        """Print and write all; the status to exit with: 1 where a budget is broken."""
        self._tables = [table for table in self._tables if table.figures]
        for table in self._tables:
            print(f"{table.title}\n{as_text(table.grid())}\n")
        for note in self._notes:
            print(note)
        broken = [each for table in self._tables for each in table.figures if not each.is_kept]
        for each in broken:
            print(f"Over its budget: {each.row} {each.column}: {each}")
        if self._path is not None:
            found = {"tables": [asdict(table) for table in self._tables], "notes": self._notes}
            self._path.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")
        return int(bool(broken))


def tables_of(results: Mapping[str, Any]) -> dict[str, list[Table]]:
    """The tables in what `run.py` wrote."""
    return {name: [Table.from_json(each) for each in found["tables"]] for name, found in results["benchmarks"].items()}


def parser(text: str | None) -> argparse.ArgumentParser:
    """The options that each benchmark has; `text` is its docstring."""
    found = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    found.add_argument("--json", type=Path, help="a file to write the figures to")
    return found


def numbers(text: str) -> list[int]:
    """An option such as `1,20,100`."""
    return [int(each) for each in text.split(",")]


def number(value: float) -> str:
    """A figure as people read it: three digits that count, thousands apart."""
    if value == int(value) or abs(value) >= 99.95:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 9.995 else f"{value:.2f}"


def ratio(these: Iterable[float], those: Iterable[float]) -> float:
    """The median of the ratios, round by round: a busy moment falls on both sides of each."""
    return statistics.median(one / other for one, other in zip(these, those, strict=True))


def percentile(values: Sequence[float], percent: int) -> float:
    """The value that so many per cent of all do not exceed."""
    return sorted(values)[min(len(values) - 1, len(values) * percent // 100)]


def as_text(grid: Sequence[Sequence[str]]) -> str:
    """A grid as lines of text."""
    widths = [max(len(row[column]) for row in grid) for column in range(len(grid[0]))]
    lines = (
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in grid
    )
    return "\n".join(line.rstrip() for line in lines)


def as_markdown(grid: Sequence[Sequence[str]]) -> str:
    """A grid as a table of Markdown."""
    head, *rows = grid if not grid[0][0] else [[""] * len(grid[0]), *grid]
    lines = ["| " + " | ".join(row) + " |" for row in (head, *rows)]
    return "\n".join([lines[0], "|" + "---|" * len(head), *lines[1:]])


def progress(text: str) -> None:
    """What goes on, for who waits; no part of what is found."""
    print(text, file=sys.stderr, flush=True)
