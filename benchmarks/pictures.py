"""Draws what `run.py` found, as SVG that is readable in light and in dark.

    python benchmarks/pictures.py results.json docs/pictures

Needs `matplotlib`. A picture has a background of its own, and both change with the reader's colour scheme, by a style
inside of the file: so ink and paper always fit, whatever page it stands on.
"""

from __future__ import annotations

import argparse
import io
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter
from report import Table, number, tables_of

mpl.use("svg")
INK, PAPER, GRID = "#1f2329", "#fffffe", "#d0d7df"
# Blue, orange, green and grey that differ for the colour-blind too; in the dark, lighter ones.
BLUE, ORANGE, GREEN, GREY = "#0069a8", "#b85000", "#007a5a", "#6a7079"
DARK: Final = {
    INK: "#e6edf3", PAPER: "#0d1117", GRID: "#30363d", BLUE: "#58b4f0", ORANGE: "#f0984f", GREEN: "#3fc79a",
    GREY: "#9aa3ad",
}  # fmt: skip
STYLE: Final[dict[Any, Any]] = {
    "svg.fonttype": "none", "svg.hashsalt": "base44-web", "font.family": "sans-serif", "font.size": 11,
    "text.color": INK, "axes.labelcolor": INK, "axes.edgecolor": GREY, "xtick.color": INK, "ytick.color": INK,
    "axes.facecolor": PAPER, "figure.facecolor": PAPER, "savefig.facecolor": PAPER, "grid.color": GRID,
    "axes.spines.top": False, "axes.spines.right": False, "axes.axisbelow": True, "axes.titlelocation": "left",
    "axes.titlesize": 12, "axes.titleweight": "bold", "legend.frameon": False, "lines.linewidth": 2,
}  # fmt: skip
NUMBERS: Final = FuncFormatter(lambda value, _: number(value))
Results = Mapping[str, list[Table]]


def call(results: Results) -> Figure:
    """One token call: a line for each client, over callers at once."""
    table = results["call"][0]
    columns = [column.removeprefix("c=") for column in table.grid()[0][1:]]
    figure, axes = _canvas(8, 5)
    ends: list[tuple[float, str, str]] = []
    for row in dict.fromkeys(each.row for each in table.figures):
        values = [table.value(row, f"c={column}") for column in columns]
        colour = BLUE if "httpx2" in row else ORANGE if "httpx" in row else GREEN if "aiohttp" in row else INK
        line = "-" if row.startswith("ours") else "--" if row.startswith("bare") else "-."
        marker = "s" if "blocking" in row else "o"
        filled = colour if row.startswith("ours") else PAPER
        axes.plot(columns, values, color=colour, linestyle=line, marker=marker, markerfacecolor=filled)
        ends.append((values[-1] or 0.0, row, colour))
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(NUMBERS)
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_yticks([each for each in (50, 100, 200, 500, 1000, 2000, 5000) if _within(each, [end[0] for end in ends])])
    axes.grid(axis="y")
    axes.set_xlabel("callers at once")
    axes.set_ylabel("processor's time for a call (µs, logarithmic)")
    axes.set_title("One call for a token, with nothing kept but the user")
    _name_lines(axes, len(columns) - 1, ends)
    return figure


def guarded(results: Results) -> Figure:
    """A guarded view: bars for each framework."""
    table = results["guarded"][0]
    colours = {"bare": GREY, "by hand": ORANGE, "cached": BLUE, "asking": BLUE, "asking, aiohttp": GREEN}
    bars: list[tuple[str, float, str]] = []
    for framework in table.grid()[0][1:]:
        found = [each for each in table.figures if each.column == framework]
        name = {"fastapi": "FastAPI", "flask": "Flask", "django": "Django"}.get(framework, framework)
        bars += [(f"{name}: {each.row}", each.value, colours.get(each.row, INK)) for each in found]
    figure, axes = _canvas(8, 0.8 + 0.36 * len(bars))
    names = [bar[0] for bar in bars]
    drawn = axes.barh(names, [bar[1] for bar in bars], color=[bar[2] for bar in bars], height=0.7)
    axes.bar_label(drawn, labels=[number(bar[1]) for bar in bars], padding=4, color=INK)
    axes.invert_yaxis()
    axes.grid(axis="x")
    axes.margins(x=0.1)
    axes.xaxis.set_major_formatter(NUMBERS)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("processor's time for a request (µs)")
    axes.set_title("A guarded view, 32 users at once", loc="left")
    return figure


def fleet(results: Results) -> Figure:
    """Calls to the platform as all servers are asked at once: with a Redis, and without."""
    table = results["fleet"][0]
    servers = table.grid()[0][1:]
    figure, axes = _canvas(8, 4)
    for at, (row, colour) in enumerate({"without": ORANGE, "with a Redis": BLUE}.items()):
        values = [table.value(row, each) or 0.0 for each in servers]
        places = [place + (at - 0.5) * 0.36 for place in range(len(servers))]
        label = "each server for itself" if row == "without" else "with a connection_store"
        drawn = axes.bar(places, values, width=0.34, color=colour, label=label)
        axes.bar_label(drawn, labels=[number(value) for value in values], padding=2, color=INK)
    axes.set_xticks(range(len(servers)), servers)
    axes.tick_params(axis="x", length=0)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(axis="y")
    axes.set_xlabel("servers")
    axes.set_ylabel("calls to the platform")
    axes.set_title("Calls to the platform as all callers of a fleet ask at once")
    axes.legend(loc="upper left")
    return figure


PICTURES: Final[Mapping[str, Callable[[Results], Figure]]] = {"call": call, "guarded": guarded, "fleet": fleet}


def draw(results: Results, folder: Path) -> list[Path]:
    """Draw what there are results for; the files written."""
    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    with mpl.rc_context(STYLE):
        for name, picture in PICTURES.items():
            if results.get(name) and results[name][0].figures:
                output = io.StringIO()
                figure = picture(results)
                title = figure.axes[0].get_title("left")
                figure.savefig(output, format="svg", metadata={"Date": None, "Creator": None, "Title": title})
                written.append(folder / f"{name}.svg")
                written[-1].write_text(_both_schemes(output.getvalue()))
    return written


def _canvas(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout=ConstrainedLayoutEngine(w_pad=0.15, h_pad=0.15))
    return figure, figure.subplots()


def _within(tick: float, values: list[float]) -> bool:
    return min(values) / 2 <= tick <= max(values) * 2


def _name_lines(axes: Axes, at: int, ends: list[tuple[float, str, str]]) -> None:
    """Names at the lines' ends, moved apart where they would cover one another."""
    step, place = 1.15, 0.0
    for value, name, colour in sorted(ends):
        place = max(value, place * step)
        axes.text(at + 0.12, place, name, color=colour, va="center", fontsize=10)
    longest = max(len(name) for _, name, _ in ends)
    axes.set_xlim(-0.2, at + 0.12 + longest * 0.028 * (at + 1))


def _both_schemes(svg: str) -> str:
    """The same picture, with a style that changes each colour for who prefers dark."""
    rules = [
        f'[style*="{kind}: {light}"] {{ {kind}: {dark} !important }}'
        for light, dark in DARK.items()
        for kind in ("fill", "stroke")
    ]
    style = f"<style>@media (prefers-color-scheme: dark) {{ {' '.join(rules)} }}</style>"
    svg = re.sub(r"\n[ \t]*(?=\n)|[ \t]+(?=\n)", "", svg)
    return re.sub(r"(<svg[^>]*>)", lambda found: f"{found[1]}\n {style}", svg, count=1)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("results", type=Path)
    arguments.add_argument("folder", type=Path)
    options = arguments.parse_args()
    for path in draw(tables_of(json.loads(options.results.read_text())), options.folder):
        print(path)


if __name__ == "__main__":
    main()
