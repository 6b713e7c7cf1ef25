"""Runs the benchmarks, all or those named, and gathers what they found: text, JSON and pictures.

    python benchmarks/run.py [call guarded …] [--quick] [--docs]

Each runs in a process of its own and prints its tables; together they are in `results.json`, with this machine, and as
pictures beside it. With `--docs` the pictures go to docs/pictures, the tables into docs/performance.md, and all figures
into `docs.json` beside this. `--quick` takes counts so small that the figures mean nothing: it shows that everything
works. Exits with status 1 where a benchmark failed or was over a budget. The pictures need `matplotlib`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import textwrap
import time
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from report import as_markdown, tables_of

HERE: Final = Path(__file__).parent
DOCS: Final = HERE.parent / "docs"
BENCHMARKS: Final = {  # in this order; with the options that make them quick
    "middleware": "--rounds 10 --requests 100",
    "identity": "",
    "parts": "--times 1000",
    "call": "--calls 200 --rounds 1",
    "guarded": "--requests 200 --rounds 1",
    "once": "--requests 1,10,100",
    "stored": "--users 100",
    "fleet": "--processes 1,2 --callers 20 --hits 100 --seconds 1",
    "memory": "--requests 5000 --users 500",
    "soak": "--requests 3000",
}
LIBRARIES: Final = (
    "base44-web", "httpx2", "httpx", "aiohttp", "redis", "starlette", "fastapi", "flask", "django", "uvicorn", "uvloop",
    "gunicorn", "cryptography", "pyjwt",
)  # fmt: skip
ALTERNATIVES: Final = {  # for who does not see them; the figures are in the tables beside them
    "call": "Lines: processor's time of a call for a token, by client, from 1 to 200 callers at once",
    "guarded": "Bars: processor's time of a request to a guarded view, by framework and way to guard it",
    "fleet": "Bars: calls to the platform by the number of servers, with a connection_store and without",
}
PROGRAMS: Final = ("node", "redis-server")
_SECTION: Final = re.compile(r"(<!-- benchmarks: begin[^>]*-->\n).*?(<!-- benchmarks: end -->)", re.DOTALL)


def machine() -> dict[str, Any]:
    """What all this ran on."""
    libraries = {name: found for name in LIBRARIES if (found := _version(name)) is not None}
    programs = {name: _said(name, "--version") for name in PROGRAMS}
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.release().partition('-')[0]}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        **{name: said for name, said in programs.items() if said},
        "libraries": libraries,
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _processor() -> str:
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    return found[1] if found else platform.processor() or platform.machine()


def _said(program: str, *words: str) -> str | None:
    if shutil.which(program) is None:
        return None
    said = subprocess.run([program, *words], capture_output=True, text=True, check=False).stdout
    found = re.search(r"\d+(?:\.\d+)+", said)
    return found[0] if found else None


def run(name: str, *, quick: bool) -> tuple[dict[str, Any] | None, bool]:
    """What a benchmark found, and whether it is well: it ended, and within its budgets."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "found.json"
        words = BENCHMARKS[name].split() if quick else []
        load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
        ended = subprocess.run([sys.executable, HERE / f"{name}.py", "--json", path, *words], check=False)
        if not path.exists():
            return None, False
        when = time.strftime("%Y-%m-%d", time.gmtime())
        return {"date": when, "load before": load, **json.loads(path.read_text())}, ended.returncode == 0


def sections(results: dict[str, Any]) -> str:
    """The tables as Markdown, for the docs."""
    found, tables = results["machine"], tables_of(results)
    programs = {name: found[name] for name in PROGRAMS if name in found}
    versions = ", ".join(f"{name} {said}" for name, said in {**programs, **found["libraries"]}.items())
    about = f"On {found['processor']}, {found['cores']} cores, {found['system']}, {found['python']}; {versions}."
    parts = [textwrap.fill(about, 118, break_on_hyphens=False) + "\n"]
    for name, entry in results["benchmarks"].items():
        if (DOCS / "pictures" / f"{name}.svg").exists():
            parts.append(f"![{ALTERNATIVES[name]}](pictures/{name}.svg)\n")
        for table in tables[name]:
            parts.append(f"**{table.title}**\n\n`python benchmarks/{name}.py`, {entry['date']}\n")
            parts.append(as_markdown(table.grid()) + "\n")
        parts += [f"{note}\n" for note in entry["notes"]]
    return "\n".join(parts)


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)}; by default all")
    arguments.add_argument("--quick", action="store_true", help="small counts, to see that everything works")
    arguments.add_argument("--docs", action="store_true", help="for the docs: pictures and tables")
    arguments.add_argument("--to", type=Path, default=HERE / "results", help="a folder, by default benchmarks/results")
    options = arguments.parse_args()
    names = options.names or list(BENCHMARKS)
    unknown = sorted(set(names) - set(BENCHMARKS))
    if unknown:
        arguments.error(f"there is no benchmark {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}")
    if options.docs and options.quick:
        arguments.error("figures of --quick mean nothing: they are not for the docs")
    folder = DOCS / "pictures" if options.docs else options.to
    folder.mkdir(parents=True, exist_ok=True)
    path, here = (HERE / "docs.json" if options.docs else folder / "results.json"), machine()
    before = json.loads(path.read_text()) if path.exists() else {}
    # Of another machine, other versions or other counts nothing stays.
    is_alike = before.get("machine") == here and before.get("quick") == options.quick
    found: dict[str, Any] = before["benchmarks"] if is_alike else {}
    failed: list[str] = []
    for name in names:
        print(f"--- {name}", flush=True)
        entry, is_well = run(name, quick=options.quick)
        if entry is not None:
            found[name] = entry
        if not is_well:
            failed.append(name)
    in_order = {name: found[name] for name in BENCHMARKS if name in found}
    results = {"machine": here, "quick": options.quick, "benchmarks": in_order}
    path.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")
    print(f"All figures are in {path}")
    if find_spec("matplotlib") is None:
        print("No pictures: pip install matplotlib")
    else:
        from pictures import draw

        for picture in draw(tables_of(results), folder):
            print(f"A picture is in {picture}")
    if options.docs:
        page = DOCS / "performance.md"
        text = _SECTION.sub(lambda marks: f"{marks[1]}\n{sections(results)}\n{marks[2]}", page.read_text())
        page.write_text(text)
    if failed:
        print(f"Failed, or over a budget: {', '.join(failed)}")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
