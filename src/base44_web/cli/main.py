"""The command line: `base44-web demo` and `base44-web emulator`. Both bind loopback only."""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

FRAMEWORKS = {"fastapi": "app:app", "starlette": "app:app", "flask": "app:app", "django": "project.asgi:application"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="base44-web", description="Base44 connectors for Python web frameworks.")
    commands = parser.add_subparsers(dest="command", required=True)
    demo = commands.add_parser("demo", help="run an example app against the emulator, with nothing to configure")
    demo.add_argument("--framework", choices=FRAMEWORKS, default="fastapi")
    demo.add_argument("--port", type=int, default=8000, help="of the example app (default 8000)")
    emulator = commands.add_parser("emulator", help="run the platform's emulator alone")
    for command, what in ((demo, "--platform-port"), (emulator, "--port")):
        command.add_argument(what, dest="platform_port", type=int, default=4400, help="of the emulator (default 4400)")
        command.add_argument("--state", default=":memory:", help="a SQLite file to keep the emulator's state in")
    options = parser.parse_args(arguments)
    try:
        return _demo(options) if options.command == "demo" else _emulator(options)
    except (_CannotRun, OSError) as error:
        print(f"base44-web: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0


class _CannotRun(Exception):
    """Says what is missing and how to get it."""


def _need(module: str, extra: str) -> Any:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise _CannotRun(f"{error.name} is not installed: pip install 'base44-web[{extra}]'") from None


def _emulator(options: argparse.Namespace) -> int:
    testing = _need("base44_web.testing", "testing")
    with testing.Emulator.demo(options.state) as emulator, emulator.serve(port=options.platform_port) as server:
        print(f"The emulator runs at {server.url}. Users: ada@example.com, grace@example.com; password: correct horse")
        for name, value in _environment(emulator, server.url).items():
            print(f"export {name}={value}")
        print("Stop with Ctrl-C.", flush=True)
        stop = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda number, frame: stop.set())
        stop.wait()
    return 0


def _environment(emulator: Any, url: str) -> dict[str, str]:
    testing = _need("base44_web.testing", "testing")
    return {
        "BASE44_APP_ID": emulator.app_id,
        "BASE44_SERVER_URL": url,
        "BASE44_SERVICE_TOKEN": emulator.service_token,
        "BASE44_APP_USER_CONNECTORS": f"calendar={testing.CALENDAR_ID}",
        "GOOGLE_API_URL": f"{url}/provider",
        "SLACK_API_URL": f"{url}/provider/slack",
    }


def _demo(options: argparse.Namespace) -> int:
    _need(options.framework, "demo")
    serve = _serve_wsgi if options.framework == "flask" else _serve_asgi
    testing = _need("base44_web.testing", "demo")
    with testing.Emulator.demo(options.state) as emulator, emulator.serve(port=options.platform_port) as server:
        for name in [name for name in os.environ if name.startswith("BASE44_")]:
            del os.environ[name]  # a real app's settings would send the demo's sign-in to it
        os.environ.update(_environment(emulator, server.url), APP_ORIGIN=server.url)
        # The platform hosts the page of the FastAPI example, as it hosts apps.
        page = (_examples() / "page" / "index.html").read_text()
        here = f"http://127.0.0.1:{options.port}"
        emulator.page = page.replace('name="server" content=""', f'name="server" content="{here}"').encode()
        sys.path.insert(0, str(_examples() / options.framework))
        module, _, name = FRAMEWORKS[options.framework].partition(":")
        app = getattr(importlib.import_module(module), name)
        print(f"The {options.framework} example runs at {here} (platform: {server.url}).")
        print("Sign in as ada@example.com or grace@example.com; password: correct horse. Stop with Ctrl-C.", flush=True)
        serve(app, options.port)
    return 0


def _examples() -> Path:
    here = Path(__file__).parent
    for folder in (here / "_examples", here.parent.parent / "examples"):
        if folder.is_dir():
            return folder
    raise _CannotRun("the examples are not installed with this package")


def _serve_asgi(app: Any, port: int) -> None:
    _need("uvicorn", "demo").run(app, host="127.0.0.1", port=port, log_level="warning")


def _serve_wsgi(app: Any, port: int) -> None:
    serving = _need("werkzeug.serving", "demo")
    server = serving.make_server("127.0.0.1", port, app, threaded=True)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, frame: threading.Thread(target=server.shutdown).start())
    try:
        server.serve_forever()
    finally:
        server.server_close()


if __name__ == "__main__":
    sys.exit(main())
