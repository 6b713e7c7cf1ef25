"""`base44-web emulator`: the platform's emulator alone, on loopback."""

from __future__ import annotations

import argparse
import signal
import threading

from .shared import add_platform_options, environment_of, need

HELP = "run the platform's emulator alone"


def add_options(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    add_platform_options(parser, "--port")


def run(options: argparse.Namespace) -> int:
    """Serve until somebody stops it."""
    testing = need("base44_web.testing", "testing")
    with testing.Emulator.demo(options.state) as emulator, emulator.serve(port=options.platform_port) as server:
        print(f"The emulator runs at {server.url}. Users: ada@example.com, grace@example.com; password: correct horse")
        for name, value in environment_of(emulator, server.url).items():
            print(f"export {name}={value}")
        print("Stop with Ctrl-C.", flush=True)
        stop = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda number, frame: stop.set())
        stop.wait()
    return 0
