"""The pages' script and style sheet, and the version that their addresses carry."""

from __future__ import annotations

from hashlib import sha256
from importlib.resources import files
from typing import Final

_FOLDER = files("base44_web._core.replies") / "static"
FILES: Final = {
    "script": ("text/javascript; charset=utf-8", (_FOLDER / "connect.js").read_bytes()),
    "style": ("text/css; charset=utf-8", (_FOLDER / "connect.css").read_bytes()),
}
VERSION: Final = sha256(b"".join(content for _, content in FILES.values())).hexdigest()[:8]
