"""Console blocks of the docs: what a page shows under a `curl` is what the app of that page answers."""

from __future__ import annotations

import argparse
import json
import os
import shlex
from typing import Any
from urllib.parse import urlsplit

import httpx2
from sybil import Example
from sybil.parsers.markdown import CodeBlockParser

from base44_web import AppUser

_JSON_TOOL = ["|", "python3", "-m", "json.tool"]

_curl = argparse.ArgumentParser(exit_on_error=False)
_curl.add_argument("url")
_curl.add_argument("-X", dest="method", default="GET")
_curl.add_argument("-H", dest="headers", action="append", default=[])
_curl.add_argument("-o", dest="output")
_curl.add_argument("-w", dest="written", default="")
_curl.add_argument("-s", action="store_true")


class ConsoleBlockParser(CodeBlockParser):
    """Runs them. A hidden block before gives `http`, a client of the page's app, and `TOKEN`."""

    language = "console"

    def evaluate(self, example: Example) -> str | None:
        shown = example.parsed.strip().removeprefix("$ ").replace("\\\n", " ")
        commands = [part.partition("\n") for part in shown.split("\n$ ")]
        for command, _, expected in commands:
            found = answer(command, example.namespace)
            if found is not None and found.strip() != expected.strip():
                return f"{command}\n\nThe page shows:\n{expected}\nThe app answers:\n{found}"
        return None


def answer(command: str, namespace: dict[str, Any]) -> str | None:
    """What a command prints; `None` for one that is shown to be typed, no more."""
    words = shlex.split(command)
    if words[0] != "curl":
        return None
    pretty = words[-4:] == _JSON_TOOL
    asked = _curl.parse_args(words[1:-4] if pretty else words[1:])
    headers = dict(header.replace("$TOKEN", namespace["TOKEN"]).split(": ", 1) for header in asked.headers)
    url = urlsplit(asked.url)
    path = f"{url.path}?{url.query}" if url.query else url.path
    got = namespace["http"].request(asked.method, path, headers=headers, follow_redirects=False)
    body = json.dumps(got.json(), indent=4) if pretty else got.text
    written = asked.written.encode().decode("unicode_escape")
    for name, value in {"http_code": str(got.status_code), "redirect_url": got.headers.get("location", "")}.items():
        written = written.replace(f"%{{{name}}}", value)
    return ("" if asked.output else body) + written


def ada() -> tuple[AppUser, str]:
    """The emulator's user of the tutorials and her token, got as the tutorials get it."""
    url = f"{os.environ['BASE44_SERVER_URL']}/api/apps/{os.environ['BASE44_APP_ID']}/auth/login"
    got = httpx2.post(url, json={"email": "ada@example.com", "password": "correct horse"}).raise_for_status().json()
    return AppUser.from_record(got["user"]), got["access_token"]
