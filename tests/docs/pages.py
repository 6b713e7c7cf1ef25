"""Pages for browsers in the docs: the files that a reader is told to write, and a visit of the app that has them."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

from sybil import Document, Example, Region
from sybil.parsers.markdown import CodeBlockParser

from base44_web import AppUser
from base44_web.testing import Emulator
from tests.serving import ROOT

_NAMED = re.compile(r"(?:<!-- (\S+\.html) -->|// (\S+\.js))\n")
_BROWSER = {"Accept": "text/html", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "same-origin"}


class FileBlockParser(CodeBlockParser):
    """Keeps each block whose first line is a file's name, in the namespace's `files`."""

    def __call__(self, document: Document) -> Iterator[Region]:
        return (region for region in super().__call__(document) if _NAMED.match(region.parsed))

    def evaluate(self, example: Example) -> None:
        name, _, text = example.parsed.partition("\n")
        example.namespace.setdefault("files", {})[_NAMED.sub(r"\1\2", f"{name}\n")] = text


def write(files: dict[str, str], folder: Path) -> None:
    """Write a document's files, as its reader does. The script is the one that the examples have, and browsers run."""
    assert files["static/sign-in.js"] == (ROOT / "examples" / "site" / "assets" / "sign-in.js").read_text()
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)


def visit(http: Any, token: str, emulator: Emulator, user: AppUser) -> None:
    """The tutorials' page at `/`, from nobody's visit until they have signed out."""

    def get(path: str, **headers: str) -> Any:
        return http.request("GET", path, headers={**_BROWSER, **headers}, follow_redirects=False)

    def post(path: str, data: dict[str, str], **headers: str) -> Any:
        return http.request("POST", path, data=data, headers={**_BROWSER, **headers}, follow_redirects=False)

    nobody = get("/")
    links = [urljoin("/", each) for each in re.findall(r'href="([^"]+)"', nobody.text)]
    assert (nobody.status_code, "/sign-in?next=/" in links) == (401, True)
    form = get("/sign-in?next=/")
    assert f'data-login="{emulator.url}/api/apps/{emulator.app_id}/auth/login"' in form.text
    assert 'src="/static/sign-in.js"' in form.text
    assert get("/base44/connect.js").status_code == 200
    started = post("/base44/session", {"token": token})  # what startSession sends
    assert started.status_code == 303
    cookie = started.headers["set-cookie"].partition(";")[0]
    page = get("/", Cookie=cookie)
    assert page.status_code == 200
    assert "Ada's stand-up" in html.unescape(page.text)
    assert f"Signed in as {user.email}" in page.text
    grace = next(each for each in emulator.users() if each.email == "grace@example.com")
    hers = post("/base44/session", {"token": emulator.sign_in(grace)}).headers["set-cookie"].partition(";")[0]
    connecting = get("/", Cookie=hers)  # she has connected nothing
    assert (connecting.status_code, connecting.headers["location"]) == (303, "/base44/connect/calendar?next=/")
    ended = post("/base44/session/logout", {}, Cookie=cookie)
    assert (ended.status_code, ended.headers["location"]) == (303, "/")
    assert "Max-Age=0" in ended.headers["set-cookie"]
