"""Run the frameworks' own test suites without our middleware and with it: who does not use it does not notice it.

    tox run -e suites                                  all
    tox run -e suites -- --only starlette:outermost    one

The suites are those of the installed versions, from their source distributions. A test that passes without our middleware
and not with it is reported, and the exit status is 1; also one that `tests/suites/by_design.toml` lists, and that passes.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import time
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

SUITES = Path(__file__).parent.parent / "tests" / "suites"
MOST_SECONDS = 1800  # for one run of one suite


@dataclass(frozen=True)
class Framework:
    folder: str
    command: list[str]
    places: Mapping[str, str]  # where the plugin puts our middleware, by what is said of it here


PYTEST = [
    "-m", "pytest", "-p", "in_suite", "-p", "no:cacheprovider", "-q", "--timeout", "60", "--tb", "short",
    "--continue-on-collection-errors", "tests",
]  # fmt: skip
ASGI = {"outermost": "around", "added": "first", "innermost": "last", "nested": "around,last"}
FRAMEWORKS = {
    "starlette": Framework(".", PYTEST, ASGI),
    "fastapi": Framework(".", PYTEST, ASGI),
    # An app has one extension, and refuses a second: nothing is nested.
    "flask": Framework(".", PYTEST, {"outermost": "around", "innermost": "last"}),
    "django": Framework(
        "tests",
        [
            "runtests.py", "--settings", "django_in_suite", "--parallel", "1", "--noinput", "middleware", "middleware_exceptions",
            "handlers", "asgi", "async", "csrf_tests", "sessions_tests", "test_client", "test_client_regress", "view_tests",
            "cache", "auth_tests", "i18n", "staticfiles_tests", "urlpatterns", "urlpatterns_reverse", "requests_tests",
            "responses", "signals",
        ],
        {"outermost": "first", "innermost": "last", "nested": "first,last"},
    ),
}  # fmt: skip
USUAL = {
    "BASE44_APP_ID": "suite",
    "BASE44_SERVER_URL": "http://127.0.0.1:9",
    "BASE44_SECRET": "a secret of the suites, of more than 32 characters",
}
# Of settings beside the usual ones, outermost.
SETTINGS = {
    "cookie": {"BASE44_TOKEN_SOURCES": "header,cookie", "BASE44_COOKIE_NAME": "a_cookie"},
    "session": {"BASE44_TOKEN_SOURCES": "header,session"},
    "trust": {"BASE44_PLATFORM_HEADERS": "trust", "BASE44_ALLOWED_API_URLS": "http://127.0.0.1:9"},
}


@dataclass
class Run:
    passed: set[str]
    failed: set[str]
    seconds: float


def unpacked(name: str, folder: Path) -> Path:
    """The source distribution of the installed version, unpacked anew: suites leave files behind."""
    number = version(name)
    downloads, target = folder / "sdists", folder / name
    packed = downloads / f"{name}-{number}.tar.gz"
    if not packed.exists():
        # Only this one package from source: pip builds the metadata, with whatever that needs as wheels.
        what = [name, "-d", str(downloads), f"{name}=={number}"]
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", *what]
        subprocess.run(command, check=True, timeout=300)
    shutil.rmtree(target, ignore_errors=True)
    with tarfile.open(packed) as archive:
        archive.extractall(target, filter="data")
    return target / f"{name}-{number}"


def run(name: str, variant: str, folder: Path) -> Run:
    framework, outcome = FRAMEWORKS[name], folder / f"{name}-{variant}.json"
    outcome.unlink(missing_ok=True)
    places = "" if variant == "without" else framework.places.get(variant, framework.places["outermost"])
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("BASE44_", "PYTEST_"))}
    environment |= {
        "PYTHONPATH": str(SUITES),
        "SUITE_FRAMEWORK": name,
        "SUITE_PLACES": places,
        "SUITE_OUTCOME": str(outcome),
    }
    if places:
        environment |= USUAL | SETTINGS.get(variant, {})
    started = time.monotonic()
    with (folder / f"{name}-{variant}.log").open("w") as log, contextlib.suppress(subprocess.TimeoutExpired):
        subprocess.run(
            [sys.executable, *framework.command], cwd=unpacked(name, folder) / framework.folder, env=environment, stdin=subprocess.DEVNULL,
            stdout=log, stderr=subprocess.STDOUT, timeout=MOST_SECONDS,
        )  # fmt: skip
    if not outcome.exists():
        sys.exit(f"{name}, {variant}: the suite did not come to its end, see {log.name}")
    found = json.loads(outcome.read_text())
    if places and not found["placed"]:
        sys.exit(f"{name}, {variant}: our middleware was in no app")
    return Run(set(found["passed"]), set(found["failed"]), time.monotonic() - started)


def listed(name: str, variant: str) -> set[str]:
    """The tests that fail by design."""
    entries = tomllib.loads((SUITES / "by_design.toml").read_text()).get(name, [])
    return {test for entry in entries if variant in entry.get("variants", [variant]) for test in entry["tests"]}


def row(*columns: object) -> None:
    print("{:<10} {:<10} {:>7} {:>7} {:>7} {:>8}".format(*columns), flush=True)


def compare(name: str, variants: list[str], folder: Path) -> list[str]:
    """Print a row for each variant, and give what is wrong."""
    without = run(name, "without", folder)
    row(name, "without", len(without.passed), len(without.failed), "", f"{without.seconds:.0f}")
    problems = [] if without.passed else [f"{name}: no test passes without our middleware"]
    for variant in variants:
        found, by_design = run(name, variant, folder), listed(name, variant)
        lost = without.passed - found.passed  # failed, or no longer there
        row(name, variant, len(found.passed), len(found.failed), len(lost & by_design), f"{found.seconds:.0f}")
        problems += [f"{name}, {variant}: passes only without: {test}" for test in sorted(lost - by_design)]
        problems += [f"{name}, {variant}: is listed, and does not fail: {test}" for test in sorted(by_design - lost)]
    return problems


def main() -> int:
    known = {f"{name}:{variant}" for name, each in FRAMEWORKS.items() for variant in (*each.places, *SETTINGS)}
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", nargs="+", choices=[*FRAMEWORKS, *sorted(known)], metavar="FRAMEWORK[:VARIANT]")
    parser.add_argument("--folder", type=Path, required=True, help="where source distributions, logs and outcomes go")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    folder = arguments.folder.resolve()
    problems: list[str] = []
    row("framework", "variant", "passed", "failed", "listed", "seconds")
    for name, framework in FRAMEWORKS.items():
        variants = [
            variant
            for variant in (*framework.places, *SETTINGS)
            if arguments.only is None or {name, f"{name}:{variant}"} & set(arguments.only)
        ]
        if variants:
            problems += compare(name, variants, folder)
    print(*problems, sep="\n")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
