"""The little that `doctor` and `relay` read of a Base44 project's files.

Own code, because two texts are all that is wanted: `{"id": …}` of `base44/.app.jsonc`, and `functionsDir`. Both files
are JSON5 whatever their ending (npm `base44` 0.1.18), for which Python has nothing of its own.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

# As npm `base44` 0.1.18 looks for a project's configuration.
_CONFIGURATIONS: Final = ("base44/config.jsonc", "base44/config.json", "config.jsonc", "config.json")
_TOKEN: Final = re.compile(
    r"""(?P<comment>//[^\n\r]*|/\*.*?\*/)
    |(?P<text>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')
    |(?P<word>[\w$.+-]+)
    |(?P<mark>[{}\[\]:,])""",
    re.VERBOSE | re.DOTALL,
)


def find_app_id(start: Path) -> str | None:
    """The app's ID of the project that a folder is in, or `None`."""
    found = find_configuration(start)
    return None if found is None else _member(found[0] / "base44" / ".app.jsonc", "id")


def find_configuration(start: Path) -> tuple[Path, Path] | None:
    """A project's root and its configuration file: from a folder upward, the first that there is."""
    for folder in (start.resolve(), *start.resolve().parents):
        for name in _CONFIGURATIONS:
            if (folder / name).is_file():
                return folder, folder / name
    return None


def functions_folder(configuration: Path) -> Path:
    """Where the project's functions are."""
    return configuration.parent / (_member(configuration, "functionsDir") or "functions")


def _member(path: Path, name: str) -> str | None:
    """A text that the outermost object of a JSON5 file has by a name; `None` where there is none to read."""
    try:
        content = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError):
        return None
    tokens = [match for match in _TOKEN.finditer(content) if match.lastgroup != "comment"]
    depth = 0
    for key, colon, value in zip(tokens, tokens[1:], tokens[2:], strict=False):
        depth += {"{": 1, "[": 1, "}": -1, "]": -1}.get(key[0], 0)
        if depth == 1 and key[0].strip("\"'") == name and colon[0] == ":" and value.lastgroup == "text":
            return value[0][1:-1]
    return None
