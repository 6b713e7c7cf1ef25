"""What a front end needs of its host: its own files, and the small calls that the reference client makes by itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

from ._faults import Recorded
from ._replies import Reply, detail, json_reply, not_emulated

# What browsers insist on, whatever this machine's own table of types says.
_TYPES = {
    ".html": "text/html; charset=utf-8", ".js": "text/javascript", ".mjs": "text/javascript", ".css": "text/css",
    ".json": "application/json", ".svg": "image/svg+xml", ".png": "image/png", ".jpg": "image/jpeg",
    ".ico": "image/x-icon", ".woff2": "font/woff2", ".wasm": "application/wasm", ".txt": "text/plain; charset=utf-8",
    ".map": "application/json", ".webmanifest": "application/manifest+json", ".webp": "image/webp",
}  # fmt: skip


class Folder:
    """A built app, with its page for every path that is no file, as hosts of single-page apps have it."""

    def __init__(self, path: Path) -> None:
        self._root = path.resolve(strict=True)

    def answer(self, request: Recorded, path: list[str]) -> Reply:
        found = self._root.joinpath(*path).resolve() if self._plain(path) else self._root
        if not found.is_relative_to(self._root) or not found.is_file():
            asset = bool(path) and "." in path[-1] and "text/html" not in (request.header("accept") or "")
            found = self._root / "index.html"
            if asset or not found.is_file():
                return detail(404, "Not Found")
        return 200, {"content-type": _TYPES.get(found.suffix, "application/octet-stream")}, found.read_bytes()

    @staticmethod
    def _plain(path: list[str]) -> bool:
        return not any("/" in part or "\\" in part or "\0" in part or part == ".." for part in path)


class Hosting:
    """Built front ends, each below a path."""

    def __init__(self) -> None:
        self._folders: dict[tuple[str, ...], Folder] = {}

    def add(self, folder: Path, at: str) -> None:
        """Host a folder below a path."""
        self._folders[tuple(part for part in at.split("/") if part)] = Folder(folder)

    def answer(self, request: Recorded, path: list[str]) -> Reply | None:
        """Answer from the folder with the longest path; `None` where none is hosted there."""
        for mount in sorted(self._folders, key=len, reverse=True):
            if tuple(path[: len(mount)]) == mount:
                return self._folders[mount].answer(request, path[len(mount) :])
        return None


def public_settings(app: str, app_id: str) -> Reply:
    """`GET /api/apps/public/prod/public-settings/by-id/{app}` (dist/modules/app.js, app.types.d.ts)."""
    if app != app_id:
        return detail(404, "App not found")
    return json_reply(200, {"id": app_id, "public_settings": "public_without_login"})


def track(request: Recorded) -> Reply:
    """`POST /api/apps/{app}/analytics/track/batch` (dist/modules/analytics.js); nobody reads the answer."""
    try:
        given: Any = json.loads(request.body)
    except ValueError:
        given = None
    events = cast("dict[str, Any]", given).get("events") if isinstance(given, dict) else None
    if not isinstance(events, list):
        return json_reply(422, {"detail": [{"loc": ["body", "events"], "msg": "Field required", "type": "missing"}]})
    return json_reply(200, {"success": True})


def app_logs(request: Recorded, path: list[str]) -> Reply:
    """`/api/app-logs/{app}/…` (dist/modules/app-logs.js). A page's name comes as it is, slashes included."""
    if request.method == "POST" and len(path) > 1 and path[0] == "log-user-in-app":
        return json_reply(200, {"success": True})
    return not_emulated("Reading app logs is")
