"""`base44-web relay init`: the relay as a function of a Base44 project, and the settings that go with it."""

from __future__ import annotations

import argparse
import re
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from .._core.fields import connect_path, text
from .._core.urls import parse_origin
from .project import app_id_of, functions_folder, locate
from .shared import CannotRun, examples, write_private

HELP = "bring a server elsewhere its service role, through a function of the Base44 app"
# Names that the .gitignore of Base44's own templates leaves out of Git: `.env.*` (npm `base44` 0.1.18).
_FOR_SERVER: Final = ".env.relay"
_FOR_FUNCTION: Final = ".env.relay.function"
_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")


def add_options(parser: argparse.ArgumentParser) -> None:
    """The command's own commands, and their options."""
    init = parser.add_subparsers(dest="what", required=True, metavar="COMMAND").add_parser(
        "init", help="write the relay into a Base44 project", description="Write the relay into a Base44 project."
    )
    init.set_defaults(parser=init)
    init.add_argument("folder", metavar="DIR", help="a folder of the Base44 project")
    init.add_argument(
        "--origin", required=True, type=_checked(parse_origin), help="of the server, such as https://api.example.com"
    )
    init.add_argument("--prefix", type=_checked(_path), default="", help="before every path there, such as /api")
    init.add_argument("--audience", type=_checked(text), help="what the server calls itself (default: the origin)")
    init.add_argument("--name", type=_checked(_name), default="relay", help="of the function (default relay)")
    init.add_argument("--mount", type=_checked(_path), help="before every path here (default /functions/NAME)")


def run(options: argparse.Namespace) -> int:
    """Write the function and the two files of settings; nothing that is there is touched."""
    root, configuration = locate(Path(options.folder))
    function = functions_folder(configuration) / options.name
    for_server, for_function = root / _FOR_SERVER, root / _FOR_FUNCTION
    for path in (function, for_server, for_function):
        if path.exists() or path.is_symlink():
            raise CannotRun(f"{path} is there already, and is not overwritten: remove it, or choose another --name")
    source = examples() / "relay"
    function.mkdir(parents=True)
    shutil.copyfile(source / "main.ts", function / "entry.ts")  # what the tool takes for a function, by its name
    shutil.copyfile(source / "relay.ts", function / "relay.ts")
    secret = secrets.token_urlsafe(48)
    write_private(for_server, _server_settings(options, app_id_of(root), secret))
    write_private(for_function, _function_settings(options, secret))
    print(
        f"Written: {function}\n"
        f"         {for_server}  (this server's settings, with the secret)\n"
        f"         {for_function}  (the function's, with the same secret)\n"
        "Next:\n"
        f"  base44 secrets set --env-file {for_function.name}\n"
        "  base44 functions deploy\n"
        f"  complete {for_server.name} (BASE44_APP_URL), and start the server with it\n"
        "Both files are for you alone: keep them out of Git (a line .env.* in .gitignore), and delete the second one "
        "once it is set."
    )
    return 0


def _server_settings(options: argparse.Namespace, app_id: str | None, secret: str) -> str:
    return (
        "# Settings of the server behind the relay. Written by base44-web relay init.\n"
        f"{'BASE44_APP_ID=' + app_id if app_id else '# BASE44_APP_ID=…'}\n"
        "# BASE44_APP_URL=https://….base44.app\n"
        "BASE44_PLATFORM_HEADERS=signed\n"
        f"BASE44_RELAY_KEYS=k1={secret}\n"
        f"BASE44_RELAY_AUDIENCE={options.audience or options.origin}\n"
        "BASE44_ALLOWED_API_URLS=https://base44.app\n"
    )


def _function_settings(options: argparse.Namespace, secret: str) -> str:
    return (
        "# Secrets of the relay. Written by base44-web relay init.\n"
        f"RELAY_ORIGIN={options.origin}\n"
        f"RELAY_PREFIX={options.prefix}\n"
        f"RELAY_MOUNT={f'/functions/{options.name}' if options.mount is None else options.mount}\n"
        f"RELAY_AUDIENCE={options.audience or options.origin}\n"
        "RELAY_KEY_ID=k1\n"
        f"RELAY_SECRET={secret}\n"
    )


def _checked(parse: Callable[[Any], str]) -> Callable[[str], str]:
    def checked(value: str) -> str:
        try:
            return parse(value)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return checked


def _path(value: str) -> str:
    if value in ("", "/"):
        return ""
    if "%" in value or "//" in value:
        raise ValueError("must be a plain path, such as /api")
    return connect_path(value)


def _name(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise ValueError("must be letters, digits, '-' and '_', 64 at most")
    return value
