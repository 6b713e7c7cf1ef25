"""The redirect views, as far as they ask nobody: which there are, what they were asked, and where they may lead."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, cast, final
from urllib.parse import parse_qs, quote

from ._catalogue import service_name
from ._incoming import reads_cookies
from ._replies import (
    MAX_NEXT,
    OTHER_USER,
    TOO_LARGE,
    Page,
    Reply,
    Situation,
    Visit,
    asset,
    message_page,
    page_reply,
    private_headers,
    quoted,
    told,
)
from ._secret import Opaque, Secret
from ._static import FILES
from ._values import AppUser

MAX_BODY: Final = 16 * 1024  # bytes: a token and what goes with it
_NEXT = re.compile(r"/(?!/)(?:(?!\\)[!-~])*")
_EVIL_FIRST = re.compile(r"/(?:%2f|%5c|%0|%1|\.{1,2}/)", re.IGNORECASE)
_STATIC_HEADERS: Final = {
    "Cache-Control": "public, max-age=86400",
    "Access-Control-Allow-Origin": "*",
    "Cross-Origin-Resource-Policy": "cross-origin",
    "X-Content-Type-Options": "nosniff",
}

# An opener policy here, such as Django's default, would cut the window off: the page could not see that it is open.
_PROVIDER_HEADERS: Final = {"Referrer-Policy": "no-referrer", "Cross-Origin-Opener-Policy": "unsafe-none"}

NOT_FOUND: Final = Situation("unknown-connector", 404, "There is nothing here", "This connector is not set up.")
NOT_SET_UP: Final = Situation(
    "connector-not-set-up", 503, "Not available right now", "This cannot be connected. We are looking into it."
)
STILL_CONNECTED: Final = Situation(
    "still-connected", 503, "Not disconnected", "Disconnecting did not work. Please try again in a moment."
)
NO_METHOD: Final = Situation("method-not-allowed", 405, "This does not work", "Go back to the app, and try again.")
NO_SESSION: Final = Situation("no-session", 404, "There is nothing here", "There are no sessions here.")
NO_TOKEN_IN_BODY: Final = Situation("bad-request", 400, "This request makes no sense", "The body must have a token.")


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
class Ask(Opaque):
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
    def of(cls, view: View, visit: Visit, connector: str | None, query: str, body: bytes) -> Ask:
        """From what an adapter has. The mount is what comes before the view's own path."""
        path = visit.here.partition("?")[0]
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


def refuse_early(ask: Ask) -> Reply | None:
    """What needs no look at the visitor: files, what does not exist, what is too large."""
    if ask.method not in ask.view.methods:
        return told(NO_METHOD, ask.visit, {"Allow": ", ".join(ask.view.methods)})
    if ask.view.name in FILES:
        content_type, content = FILES[ask.view.name]
        return Reply(200, {**_STATIC_HEADERS, "Content-Type": content_type}, content)
    settings = ask.visit.settings
    if "{connector}" in ask.view.path and ask.connector not in settings.app_user_connectors:
        return told(NOT_FOUND, ask.visit)
    if ask.view.name in ("session", "logout") and "session" not in settings.token_sources:
        return told(NO_SESSION, ask.visit)
    return told(TOO_LARGE, ask.visit) if len(ask.body) > MAX_BODY else None


def connect_page(ask: Ask, user: AppUser | None, *, connected: bool, provider: str) -> Reply:
    """The page with one button. Without a user, its script looks for the token that the Base44 client keeps."""
    visit, links, name = ask.visit, ask.visit.links, ask.connector
    service = service_name(visit.settings, name)
    sign_in = visit.settings.sign_in_url or ""
    values = {
        "title": f"{service} is connected" if connected else f"Connect {service}",
        "service": service,
        "connector": name,
        "account": account(user) if user else "",
        "user": user.id if user else "",
        "connected": "yes" if connected else "",
        "connect": _for_user(links.path("connect", name), user),
        "disconnect": _for_user(links.path("disconnect", name), user),
        "next": ask.next(),
        "sign_in": sign_in,
        "style": asset(links, "style"),
        "script": asset(links, "script"),
    }
    status = 401 if user is None and reads_cookies(visit.settings) else 200
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else None
    return page_reply(status, Page("connect", values), headers, provider=provider)


def _for_user(path: str | None, user: AppUser | None) -> str:
    # In the address, and not in the form's body alone: something may have read that before us.
    return (path or "") + (f"?user={quote(user.id, safe='')}" if user else "")


def account(user: AppUser) -> str:
    """How a page calls a user."""
    return user.email or user.full_name or user.id


def to_provider(url: Secret) -> Reply:
    """Send the browser to the provider. 303: what comes next is a GET, without the form's body."""
    return Reply(303, {**private_headers(), "Location": url.reveal(), **_PROVIDER_HEADERS})


def back(path: str, cookie: str | None = None) -> Reply:
    """Send the browser to a page of this server."""
    return Reply(303, {**private_headers(), "Location": path, **({"Set-Cookie": cookie} if cookie else {})})


def already_connected(ask: Ask) -> Reply:
    """For the window that was to show the provider."""
    service = service_name(ask.visit.settings, ask.connector)
    return message_page(200, f"{service} is connected", "You can close this window.", ask.visit)


def other_user(ask: Ask) -> Reply:
    """Somebody else has signed in since the page was made."""
    return told(OTHER_USER, ask.visit)
