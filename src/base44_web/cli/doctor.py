"""`base44-web doctor`: what is wrong with the settings, the app and the project, and what to do about it."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import inspect
import os
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final, TypeAlias

from .._core.checks.finding import Finding, as_json, as_text, exit_status, without
from .._core.checks.online import check_online
from .._core.checks.survey import Survey, check, survey_environment
from .._core.config import Settings
from .._core.guards.written import needs_arguments
from ..errors import ConfigurationError
from . import types
from .canary import look
from .project import NoProject, app_id_of, locate
from .shared import CannotRun, need

HELP = "say what is wrong with settings and app, and what to do about it"
ProjectCheck: TypeAlias = Callable[[Path, Settings], Iterable[Finding]]
_FRAMEWORKS: Final = ("flask", "starlette", "django")
_DEPTH: Final = 20  # middleware around an app


def add_options(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument(
        "--app",
        metavar="MODULE:ATTRIBUTE",
        help="look at this app too (ASGI, WSGI, or a factory); a module alone is Django's settings",
    )
    parser.add_argument("--project", metavar="DIR", default=".", help="a folder of the Base44 project (default: here)")
    parser.add_argument("--online", action="store_true", help="ask the stores and the platform too")
    parser.add_argument("--json", action="store_true", help="a JSON list, for programs")
    parser.add_argument(
        "--ignore", metavar="ID", action="append", default=[], help="say nothing of this; can be given again"
    )


def run(options: argparse.Namespace) -> int:
    """Print what was found."""
    survey = survey_of(options.app) if options.app else survey_environment()
    findings = list(check(survey))
    if survey.settings is not None:
        for each in PROJECT_CHECKS:
            findings += each(Path(options.project), survey.settings)
        if options.online:
            findings += check_online(survey.settings)
    findings = without(findings, options.ignore)
    print(as_json(findings) if options.json else as_text(findings))
    return exit_status(findings)


# --- the app


def survey_of(reference: str) -> Survey:
    """What there is to know of an app.

    Args:
        reference: `module:attribute`, as servers take it; or the name of a module with Django's settings.

    Raises:
        CannotRun: it cannot be loaded, or is no app of a framework that is known here.
    """
    sys.path.insert(0, os.getcwd())
    try:
        # What an app prints as it starts is no part of what is found.
        with contextlib.redirect_stdout(sys.stderr):
            found = _survey_of(reference)
    except ConfigurationError as error:
        return Survey(problem=error.message, place=f"what {reference} gives, and the environment (BASE44_…)")
    except CannotRun:
        raise
    except Exception as error:  # noqa: BLE001 - whatever an app raises
        raise CannotRun(f"{reference} cannot be loaded: {_told(error)}") from None
    return found


def _survey_of(reference: str) -> Survey:
    name, colon, attribute = reference.partition(":")
    if not colon:
        os.environ["DJANGO_SETTINGS_MODULE"] = name
        need("django", "django").setup()
        return _survey("django", None)
    app = _made(_attribute(importlib.import_module(name), attribute))
    for layer in _layers(app):
        for framework in _FRAMEWORKS:
            if framework in _packages(layer):
                return _survey(framework, layer if framework == "flask" else app)
    raise CannotRun(f"{reference} is no app of FastAPI, Starlette, Django or Flask, but a {type(app).__name__}")


def _survey(framework: str, app: Any) -> Survey:
    checks = need(f"base44_web.{framework}.checks", framework)
    survey: Survey = checks.survey() if framework == "django" else checks.survey(app)
    return survey


def _attribute(module: Any, path: str) -> Any:
    found = module
    for name in path.split("."):
        found = getattr(found, name)
    return found


def _made(app: Any) -> Any:
    """An app; what is a function that needs no arguments makes one."""
    return app() if inspect.isfunction(app) and not needs_arguments(app) else app


def _layers(app: Any) -> Iterator[Any]:
    """An app, and what is within its middleware."""
    for _ in range(_DEPTH):
        if app is None:
            return
        yield app
        app = getattr(app, "app", None)


def _packages(app: Any) -> set[str]:
    """The packages that an app's class comes from: no framework is imported to find out."""
    found = {cls.__module__.partition(".")[0] for cls in type(app).__mro__}
    return found | {"starlette"} if any(getattr(cls, "provides_base44", False) for cls in type(app).__mro__) else found


def _told(error: Exception) -> str:
    """An error without its text, which can hold anything: its kind, and where it was raised."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if frame.filename != __file__ and not frame.filename.startswith("<frozen")]
    where = f" in {own[-1].filename}, line {own[-1].lineno}" if own else ""
    missing = f" ({error.name})" if isinstance(error, ModuleNotFoundError | AttributeError) and error.name else ""
    return f"{type(error).__name__}{missing}{where}"


# --- the Base44 project


def check_app_id(folder: Path, settings: Settings) -> Iterator[Finding]:
    """The app's ID, beside that of the project."""
    try:
        found = app_id_of(locate(folder)[0])
    except NoProject:
        return
    if found is not None and settings.app_id is not None and found != settings.app_id:
        yield Finding(
            "W004",
            f"app_id is {settings.app_id}, and the Base44 project here is of the app {found} (base44/.app.jsonc).",
            "Set app_id (BASE44_APP_ID) to the project's, or link the project anew: base44 link",
        )


def check_types(folder: Path, settings: Settings) -> Iterator[Finding]:
    """The generated names, where somebody generates them: whether they are what they must be, and are seen."""
    try:
        plan = types.plan(folder)
    except NoProject:
        return
    if not plan.out.exists():
        return
    if plan.current() != plan.text:
        yield Finding("W015", f"{plan.out} is not up to date with the project's connectors.", "base44-web types")
    for each in look(plan.out, plan.app.root):
        if not each.ok:
            yield Finding("W016", f"{each.checker} does not see {plan.out.name}: {each.words}", "See docs/typing.md.")


PROJECT_CHECKS: Final[tuple[ProjectCheck, ...]] = (check_app_id, check_types)
"""What is said of the Base44 project around: each is given a folder of it, and the settings."""
