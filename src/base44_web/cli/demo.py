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
        # The platform hosts the page of the FastAPI example, as it hosts apps.
        page = (examples() / "page" / "index.html").read_text()
        here = f"http://127.0.0.1:{options.port}"
        emulator.page = page.replace('name="server" content=""', f'name="server" content="{here}"').encode()
        sys.path.insert(0, str(examples() / options.framework))
        module, _, name = FRAMEWORKS[options.framework].partition(":")
        app = getattr(importlib.import_module(module), name)
        print(f"The {options.framework} example runs at {here} (platform: {server.url}).")
        print("Sign in as ada@example.com or grace@example.com; password: correct horse. Stop with Ctrl-C.", flush=True)
        serve(app, listening)
    return 0


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
