"""`flask base44 doctor`, and what `base44-web doctor` learns of an app."""

from __future__ import annotations

import sys

import click
from flask import Flask, current_app
from flask.cli import AppGroup

from .._core.app_config import config_secret
from .._core.checks.finding import as_json, as_text, exit_status, without
from .._core.checks.online import check_online
from .._core.checks.survey import Survey, check, look_at_guards
from .._core.config import Settings
from .._core.engine.apps import Engines
from .._core.guards.startup import check_views
from .caches import check_caches
from .guards import FRAMEWORKS, check_methods

KEY = "base44_web"


def survey(app: Flask) -> Survey:
    """What there is to know of an app."""
    engines: Engines | None = app.extensions.get(KEY)
    settings = None if engines is None or engines.only is None else engines.only.settings
    names, wrong = look_at_guards(lambda: check_guards(app, settings))
    return Survey(
        settings=settings,
        framework_keys=config_secret(app.config).get("secret", ()),
        add_middleware="Base44Extension(app)" if engines is None else None,
        add_views=line_for_views(app),
        guards_connectors=names,
        more=wrong,
    )


def line_for_views(app: Flask) -> str | None:
    """What mounts the redirect views; `None` where they are mounted."""
    return None if "base44.connect" in app.view_functions else 'app.config["BASE44_URL_PREFIX"] = "/base44"'


def check_guards(app: Flask, settings: Settings | None) -> bool:
    """Refuse an app whose guards are wrong, or below a cache.

    Returns:
        Whether a guard names a connector.

    Raises:
        ConfigurationError: it names the view.
    """
    names = check_views(app.view_functions.values(), settings, FRAMEWORKS)
    check_caches(app.view_functions.values())
    check_methods(app.view_functions.values())
    return names


def commands() -> AppGroup:
    """The commands `flask base44 …`."""
    group = AppGroup("base44", help="Base44 connectors.")

    @group.command("doctor", help="Say what is wrong with this app's settings, views and guards.")
    @click.option("--online", is_flag=True, help="Ask the stores and the platform too.")
    @click.option("--json", "as_data", is_flag=True, help="A JSON list, for programs.")
    @click.option("--ignore", multiple=True, metavar="ID", help="Say nothing of this; can be given again.")
    def doctor(*, online: bool, as_data: bool, ignore: tuple[str, ...]) -> None:
        found = survey(current_app._get_current_object())  # type: ignore[attr-defined]
        asked = check_online(found.settings) if online and found.settings is not None else ()
        findings = without([*check(found), *asked], ignore)
        click.echo(as_json(findings) if as_data else as_text(findings))
        sys.exit(exit_status(findings))

    return group
