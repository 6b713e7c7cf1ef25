"""`base44-web emulator`: the platform's emulator alone."""

from __future__ import annotations

import argparse
import ipaddress
import os
import signal
import threading
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from .._core.urls import is_loopback
from .shared import CannotRun, add_platform_options, environment_of, need, serving, write_private

HELP = "run the platform's emulator alone"
_MARK: Final = "# Written by base44-web emulator, anew at each start.\n"


def add_options(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    add_platform_options(parser, "--port")
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen at (default 127.0.0.1)")
    parser.add_argument(
        "--allow-remote",
        action="store_true",
        help="let --host be seen by other machines: for containers, whose ports are forwarded",
    )
    parser.add_argument(
        "--env", metavar="FILE", help="write an app's settings into a file (mode 0600), and do not print them"
    )
    parser.add_argument(
        "--mode",
        choices=("platform", "dev"),
        default="platform",
        help="answer as the platform does, or as its local dev server `base44 dev`",
    )
    parser.add_argument("--site", metavar="FOLDER[=/AT]", help="serve a built front end, as the platform hosts apps")
    parser.add_argument(
        "--function", metavar="NAME=URL", action="append", default=[], help="pass a function of the app on to a server"
    )


def run(options: argparse.Namespace) -> int:
    """Serve until somebody stops it."""
    if not is_loopback(options.host) and not options.allow_remote:
        raise CannotRun(
            f"--host {options.host} can be reached from other machines, and everybody there could sign in as anybody: "
            "add --allow-remote if that is meant"
        )
    testing = need("base44_web.testing", "testing")
    with (
        testing.Emulator.demo(options.state, mode=options.mode) as emulator,
        serving(emulator, options.platform_port, "--port", options.host) as server,
    ):
        _add(emulator, options)
        _tell(emulator, _address(server.url), options.env)
        stop = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda number, frame: stop.set())
        stop.wait()
    return 0


def _add(emulator: Any, options: argparse.Namespace) -> None:
    if options.site:
        folder, _, at = options.site.partition("=")
        emulator.host(folder, at or "/")
    for function in options.function:
        name, equals, origin = function.partition("=")
        if not equals:
            raise CannotRun(f"--function {function} must be NAME=URL, such as relay=http://127.0.0.1:8787")
        emulator.add_function(name, origin)


def _address(url: str) -> str:
    """The server's address as this machine has it, where it listens at all of them."""
    parts = urlsplit(url)
    host = ipaddress.ip_address(parts.hostname or "")
    if not host.is_unspecified:
        return url
    return f"http://{'127.0.0.1' if host.version == 4 else '[::1]'}:{parts.port}"


def _tell(emulator: Any, url: str, file: str | None) -> None:
    print(f"The emulator runs at {url}: the page there says what it has.")
    settings = environment_of(emulator, url)
    if file is None:
        print("\n".join(f"export {name}={value}" for name, value in settings.items()))
    else:
        _write(Path(file), settings)
        print(f"The settings of an app are in {file}. In its shell: set -a; . {Path(file).resolve()}; set +a")
    print("Users can sign in on its page, too; the password of ada and grace: correct horse. To call an API as one:")
    for user in emulator.users():
        print(f"\n# {user.email}")
        authorization = f"Authorization: Bearer {emulator.sign_in(user)}"
        print(f"curl -H '{authorization}' {url}/api/apps/{emulator.app_id}/entities/User/me")
    print("\nStop with Ctrl-C.", flush=True)


def _write(path: Path, settings: dict[str, str]) -> None:
    """Write the settings; over such a file of an earlier start alone."""
    if path.is_symlink() or (
        path.exists() and not path.read_text(encoding="utf-8", errors="replace").startswith(_MARK)
    ):
        raise CannotRun(f"{path} is no file of the emulator's, and is not overwritten: give another with --env")
    new = path.with_name(f"{path.name}.{os.getpid()}")
    write_private(new, _MARK + "".join(f"{name}={value}\n" for name, value in settings.items()))
    new.replace(path)
