"""What the commands share."""

from __future__ import annotations

import argparse
import contextlib
import errno
import importlib
import os
import socket
from collections.abc import Generator
from pathlib import Path
from typing import Any, Final

PLATFORM_PORT: Final = 4410  # `base44 dev` has 4400


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


def examples() -> Path:
    """The folder of the examples: in the wheel, or beside the sources.

    Raises:
        CannotRun: it is not there.
    """
    package = Path(__file__).parent.parent
    for folder in (package / "_examples", package.parent.parent / "examples"):
        if folder.is_dir():
            return folder
    raise CannotRun("the examples are not installed with this package")


def add_platform_options(parser: argparse.ArgumentParser, port_option: str) -> None:
    """The emulator's own options."""
    parser.add_argument(
        port_option,
        dest="platform_port",
        type=int,
        default=PLATFORM_PORT,
        help=f"of the emulator (default {PLATFORM_PORT})",
    )
    parser.add_argument("--state", default=":memory:", help="a SQLite file to keep the emulator's state in")


@contextlib.contextmanager
def says_which_port(port: int, option: str) -> Generator[None]:
    """Turn the error of a port that is taken into one that names the option to change.

    Raises:
        CannotRun: the port is taken.
    """
    try:
        yield
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        raise CannotRun(f"port {port} is taken: give another with {option}") from None


@contextlib.contextmanager
def serving(emulator: Any, port: int, option: str, host: str = "127.0.0.1") -> Generator[Any]:
    """Serve an emulator over HTTP.

    Raises:
        CannotRun: the port is taken.
    """
    server = emulator.serve(port=port, host=host)
    with contextlib.ExitStack() as stack:
        with says_which_port(port, option):
            stack.enter_context(server)
        yield server


def listen(port: int, option: str) -> socket.socket:
    """A socket of this machine alone.

    Raises:
        CannotRun: the port is taken.
    """
    with says_which_port(port, option):
        return socket.create_server(("127.0.0.1", port))


def write_private(path: Path, text: str) -> None:
    """Write a file that nobody else on this machine can read.

    Raises:
        FileExistsError: there is something by that name. It is never overwritten.
    """
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)


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
