"""`base44-web demo`: an example app and the emulator, on loopback, with nothing to configure."""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import socket
import sys
import threading
from typing import Any

from .shared import add_platform_options, environment_of, examples, listen, need, serving

HELP = "run an example app against the emulator, with nothing to configure"
FRAMEWORKS = {"fastapi": "app:app", "starlette": "app:app", "flask": "app:app", "django": "project.asgi:application"}


def add_options(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("--framework", choices=FRAMEWORKS, default="fastapi")
    parser.add_argument("--port", type=int, default=8000, help="of the example app (default 8000)")
    add_platform_options(parser, "--platform-port")


def run(options: argparse.Namespace) -> int:
    """Serve until somebody stops it."""
    need(options.framework, "demo")
    serve = _serve_wsgi if options.framework == "flask" else _serve_asgi
    testing = need("base44_web.testing", "demo")
    with (
        testing.Emulator.demo(options.state) as emulator,
        listen(options.port, "--port") as listening,
        serving(emulator, options.platform_port, "--platform-port") as server,
    ):
        for name in [name for name in os.environ if name.startswith("BASE44_")]:
            del os.environ[name]  # a real app's settings would send the demo's sign-in to it
        os.environ.update(environment_of(emulator, server.url), APP_ORIGIN=server.url)
        here = f"http://127.0.0.1:{options.port}"
        if options.framework == "fastapi":
            _host_page(emulator, here)
        sys.path.insert(0, str(examples() / options.framework))
        module, _, name = FRAMEWORKS[options.framework].partition(":")
        app = getattr(importlib.import_module(module), name)
        print(f"The {options.framework} example runs at {here}; the emulator, in place of Base44, at {server.url}.")
        if options.framework == "fastapi":
            print("It is the API of an app that Base44 hosts: open it, and you are sent to the app's page there.")
        print("Sign in as ada@example.com or grace@example.com; password: correct horse. Stop with Ctrl-C.", flush=True)
        serve(app, listening)
    return 0


def _host_page(emulator: Any, server: str) -> None:
    """Let the emulator host the example's page, as the platform hosts apps; it calls the server."""
    page = (examples() / "page" / "index.html").read_text(encoding="utf-8")
    emulator.page = page.replace('name="server" content=""', f'name="server" content="{server}"').encode()
    emulator.host(examples() / "site" / "assets", "/assets")


def _serve_asgi(app: Any, listening: socket.socket) -> None:
    uvicorn = need("uvicorn", "demo")
    uvicorn.Server(uvicorn.Config(app, log_level="warning")).run(sockets=[listening])


def _serve_wsgi(app: Any, listening: socket.socket) -> None:
    host, port = listening.getsockname()
    server = need("werkzeug.serving", "demo").make_server(host, port, app, threaded=True, fd=listening.fileno())
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, frame: threading.Thread(target=server.shutdown).start())
    try:
        server.serve_forever()
    finally:
        server.server_close()
