"""The redirect views: which there are, what they were asked, and where they may lead."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, cast, final
from urllib.parse import parse_qs

from ..replies.assets import FILES
from ..replies.refuse import tell
from ..replies.reply import Reply
from ..replies.situations import NO_METHOD, NO_SESSION, TOO_LARGE, UNKNOWN_CONNECTOR
from ..replies.visit import MAX_NEXT, Visit, quoted
from ..secret import Opaque
from ..values import AppUser

MAX_BODY: Final = 16 * 1024  # bytes: a token and what goes with it
_NEXT = re.compile(r"/(?!/)(?:(?!\\)[!-~])*")
_EVIL_FIRST = re.compile(r"/(?:%2f|%5c|%0|%1|\.{1,2}/)", re.IGNORECASE)
_STATIC_HEADERS: Final = {
    "Cache-Control": "public, max-age=86400",
    "Access-Control-Allow-Origin": "*",
    "Cross-Origin-Resource-Policy": "cross-origin",
    "X-Content-Type-Options": "nosniff",
}


@final
@dataclass(frozen=True, slots=True)
class View:
    """One view: its name, its path under the mount (`{connector}` is a name), and its methods."""

    name: str
    path: str
    methods: tuple[str, ...]


VIEWS: Final = (
    View("connect", "connect/{connector}", ("GET", "POST")),
    View("status", "status/{connector}", ("GET",)),
    View("disconnect", "disconnect/{connector}", ("POST", "DELETE")),
    View("script", "connect.js", ("GET",)),
    View("style", "connect.css", ("GET",)),
    View("session", "session", ("POST",)),
    View("logout", "session/logout", ("POST",)),
)


@final
@dataclass(frozen=True, slots=True)
class Mounted:
    """`Links` to the views beside one of them."""

    base: str

    def path(self, view: str, connector: str | None = None) -> str | None:
        """The path of a view."""
        path = next(known.path for known in VIEWS if known.name == view)
        return self.base + path.replace("{connector}", connector or "")


@final
@dataclass(frozen=True, slots=True, repr=False)
class ViewRequest(Opaque):
    """What a view was asked.

    Attributes:
        view: which.
        visit: the request; its links lead to the other views.
        connector: the name in the path.
        query: the raw query.
        body: the first `MAX_BODY` + 1 bytes of the body.
    """

    view: View
    visit: Visit
    connector: str
    query: str
    body: bytes

    @classmethod
    def of(cls, view: View, visit: Visit, connector: str | None, query: str, body: bytes) -> ViewRequest:
        """From what an adapter has. The mount is what comes before the view's own path."""
        path = visit.here.partition("?")[0].rstrip("/")
        own = quoted(view.path.replace("{connector}", connector or ""))
        visit = replace(visit, links=Mounted(path.removesuffix(own)), forms=True)
        return cls(view, visit, connector or "", query, body)

    @property
    def method(self) -> str:
        """The method; HEAD is a GET whose body the server leaves out."""
        method = self.visit.incoming.method
        return "GET" if method == "HEAD" else method

    @property
    def form(self) -> Mapping[str, list[str]]:
        """The body: a form, or a JSON object of strings."""
        text = self.body.decode("utf-8", "replace")
        if not text.lstrip().startswith("{"):
            return _fields(text)
        try:
            document = cast(dict[str, Any], json.loads(text))
        except (ValueError, RecursionError):
            return {}
        return {name: [value] for name, value in document.items() if isinstance(value, str)}

    def next(self) -> str:
        """Where to go when all is done: a path on this server."""
        source = self.form if self.method == "POST" else _fields(self.query)
        return safe_next(source.get("next", []), self.visit.home)

    def is_of(self, user: AppUser) -> bool:
        """Whether the page that asks was made for this user; scripts that send their token need not say."""
        return {*_fields(self.query).get("user", []), *self.form.get("user", [])} <= {user.id}


def _fields(encoded: str) -> dict[str, list[str]]:
    try:
        return parse_qs(encoded, max_num_fields=20)
    except ValueError:  # more fields than any page of ours sends
        return {}


def safe_next(values: list[str], home: str) -> str:
    """The one path that `next` names, if a browser that goes there stays on this server; else the app's home.

    Printable ASCII only, as browsers send it; no backslash, nothing at its start that some reader could take for
    another host, 2,048 characters at most.
    """
    if len(values) != 1 or len(values[0]) > MAX_NEXT or not _NEXT.fullmatch(values[0]) or _EVIL_FIRST.match(values[0]):
        return home
    return values[0]


def refuse_early(asked: ViewRequest) -> Reply | None:
    """What needs no look at the visitor: files, what does not exist, what is too large."""
    if asked.method not in asked.view.methods:
        return tell(NO_METHOD, asked.visit, {"Allow": ", ".join(asked.view.methods)})
    if asked.view.name in FILES:
        content_type, content = FILES[asked.view.name]
        return Reply(200, {**_STATIC_HEADERS, "Content-Type": content_type}, content)
    settings = asked.visit.settings
    if "{connector}" in asked.view.path and asked.connector not in settings.app_user_connectors:
        return tell(UNKNOWN_CONNECTOR, asked.visit)
    if asked.view.name in ("session", "logout") and "session" not in settings.token_sources:
        return tell(NO_SESSION, asked.visit)
    return tell(TOO_LARGE, asked.visit) if len(asked.body) > MAX_BODY else None
