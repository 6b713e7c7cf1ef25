"""`base44-web emulator`: the platform's emulator alone, on loopback."""

from __future__ import annotations

import argparse
import signal
import threading

from .shared import CannotRun, add_platform_options, environment_of, need

HELP = "run the platform's emulator alone"


def add_options(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    add_platform_options(parser, "--port")
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
    testing = need("base44_web.testing", "testing")
    with (
        testing.Emulator.demo(options.state, mode=options.mode) as emulator,
        emulator.serve(port=options.platform_port) as server,
    ):
        if options.site:
            folder, _, at = options.site.partition("=")
            emulator.host(folder, at or "/")
        for function in options.function:
            name, equals, origin = function.partition("=")
            if not equals:
                raise CannotRun(f"--function {function} must be NAME=URL, such as relay=http://127.0.0.1:8787")
            emulator.add_function(name, origin)
        print(f"The emulator runs at {server.url}. Users: ada@example.com, grace@example.com; password: correct horse")
        for name, value in environment_of(emulator, server.url).items():
            print(f"export {name}={value}")
        print("Stop with Ctrl-C.", flush=True)
        stop = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda number, frame: stop.set())
        stop.wait()
    return 0
