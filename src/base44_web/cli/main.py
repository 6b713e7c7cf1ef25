"""The command `base44-web`: a file each for what it can do."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from . import demo, emulator, types
from .shared import CannotRun

_COMMANDS = {"demo": demo, "emulator": emulator, "types": types}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="base44-web", description="Base44 connectors for Python web frameworks.")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, command in _COMMANDS.items():
        command.add_options(commands.add_parser(name, help=command.HELP))
    options = parser.parse_args(arguments)
    try:
        status: int = _COMMANDS[options.command].run(options)
    except (CannotRun, OSError) as error:
        print(f"base44-web: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0
    return status
