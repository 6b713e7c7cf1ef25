"""What the commands share."""

from __future__ import annotations

import argparse
import importlib
from typing import Any


class CannotRun(Exception):
    """Says what is missing and how to get it."""


def need(module: str, extra: str) -> Any:
    """Import a module.

    Raises:
        CannotRun: it, or what it needs, is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise CannotRun(f"{error.name} is not installed: pip install 'base44-web[{extra}]'") from None


def add_platform_options(parser: argparse.ArgumentParser, port_option: str) -> None:
    """The emulator's own options."""
    parser.add_argument(
        port_option, dest="platform_port", type=int, default=4400, help="of the emulator (default 4400)"
    )
    parser.add_argument("--state", default=":memory:", help="a SQLite file to keep the emulator's state in")


def environment_of(emulator: Any, url: str) -> dict[str, str]:
    """The settings of an app against an emulator."""
    return {
        "BASE44_APP_ID": emulator.app_id,
        "BASE44_SERVER_URL": url,
        "BASE44_SERVICE_TOKEN": emulator.service_token,
        "BASE44_APP_USER_CONNECTORS": f"calendar={need('base44_web.testing', 'testing').CALENDAR_ID}",
        "GOOGLE_API_URL": f"{url}/provider",
        "SLACK_API_URL": f"{url}/provider/slack",
    }
