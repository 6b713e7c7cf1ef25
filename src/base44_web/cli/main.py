"""The command `base44-web`: a file each for what it can do."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import metadata

from . import demo, doctor, emulator, relay, types
from .arguments import Parser
from .shared import CannotRun

_COMMANDS = {"demo": demo, "emulator": emulator, "doctor": doctor, "relay": relay, "types": types}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Returns:
        The exit status: 0; 1 where the command found something to mend; 2 where it could not run.
    """
    parser = make_parser()
    options, unknown = parser.parse_known_args(arguments)
    if unknown:
        options.parser.refuse(unknown)
    if options.command is None:
        parser.error(f"a command is needed: {', '.join(_COMMANDS)}")
    try:
        status: int = _COMMANDS[options.command].run(options)
    except (CannotRun, OSError) as error:
        print(f"base44-web: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 0
    return status


def make_parser() -> Parser:
    """The parser of all commands. `options.parser` is that of the command that was given."""
    parser = Parser(prog="base44-web", description="Base44 connectors for Python web frameworks.")
    parser.add_argument("--version", action="version", version=f"base44-web {metadata.version('base44-web')}")
    parser.set_defaults(parser=parser)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    for name, command in _COMMANDS.items():
        own = commands.add_parser(name, help=command.HELP, description=command.HELP)
        own.set_defaults(parser=own)
        command.add_options(own)
    return parser
