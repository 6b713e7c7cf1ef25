"""What a visitor is told: each situation of the guards, decided once, as a value that adapters convert."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, final
from urllib.parse import quote

from ._incoming import Incoming
from ._secret import Opaque
from ._session import clear_cookie
from ._static import VERSION
from .errors import (
    AuthenticationError,
    BadRequestError,
    Base44Error,
    ConfigurationError,
    NotConnectedError,
    PermissionDeniedError,
)
from .settings import Settings

logger = logging.getLogger("base44_web")

VARY: Final = "Accept, Authorization, Cookie, Origin, Sec-Fetch-Mode, Sec-Fetch-Site"
_RETRY_AFTER = (1, 5, 60)  # seconds: least, usual, most
MAX_NEXT: Final = 2048  # characters of a path to come back to


def path_and_query(path: str, query: str) -> str:
    """A request's decoded path and raw query, as the browser has them; never the start of another address."""
    here = "/" + quoted(path).lstrip("/")
    return f"{here}?{query}" if query else here


def quoted(path: str) -> str:
    """A decoded path as a browser has it."""
    return quote(path, safe="/:@!$&'()*+,;=~")


def mounted_path(settings: Settings, view: str, connector: str | None = None) -> str | None:
    """The path of a view where only `connect_path` tells where the views are."""
    if settings.connect_path is None:
        return None
    return f"{settings.connect_path}/{view}" + (f"/{connector}" if connector else "")


class Links(Protocol):
    """Where the redirect views are, as an adapter finds them; paths on this server, or `None`."""

    def path(self, view: str, connector: str | None = None) -> str | None:
        """The path of a view: `connect`, `status`, `disconnect`, …"""
        ...


@dataclass(frozen=True, slots=True)
class Page:
    """A page to render: the name of its template and what goes into it, all of it text."""

    name: str
    values: Mapping[str, str]


@final
@dataclass(frozen=True, slots=True, repr=False)
class Reply(Opaque):
    """A response, the same for every framework. Its headers can hold a credential (`Location`)."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""
    page: Page | None = None


@final
@dataclass(frozen=True, slots=True)
class Visit:
    """What a reply depends on.

    Attributes:
        incoming: what came in.
        here: path and query of this request, as the browser has them.
        links: where the redirect views are.
        settings: the settings.
        home: the path of the app itself.
        forms: whether a form that a person submits counts as navigation: in our own views.
    """

    incoming: Incoming
    here: str
    links: Links
    settings: Settings = field(repr=False)
    home: str = "/"
    forms: bool = False

    @property
    def navigation(self) -> bool:
        """Whether a person's browser goes to this page, as against a script that fetches it."""
        methods = ("GET", "HEAD", "POST") if self.forms else ("GET", "HEAD")
        if self.incoming.websocket or self.incoming.method not in methods:
            return False
        mode = self.incoming.one("sec-fetch-mode")
        return "text/html" in (self.incoming.one("accept") or "") if mode is None else mode == "navigate"


@dataclass(frozen=True, slots=True)
class Situation:
    """What a visitor can be told, and how."""

    slug: str
    status: int
    title: str
    text: str
    challenge: str | None = None

    @property
    def headers(self) -> dict[str, str]:
        """What the answer needs whatever its form."""
        return {} if self.challenge is None else {"WWW-Authenticate": self.challenge}


_NO_TOKEN = Situation("sign-in-required", 401, "Please sign in", "This page is for users who are signed in.", "Bearer")
_BAD_TOKEN = Situation(
    "invalid-token", 401, "Please sign in again", "Your sign-in is no longer valid.", 'Bearer error="invalid_token"'
)
OTHER_USER = Situation(
    "other-user", 409, "Another user has signed in", "This page was made for somebody else. Reload it, and try again."
)
_CROSS_ORIGIN = Situation(
    "cross-origin-cookie", 403, "This request came from another site", "Go back to the app, and try again from there."
)
BAD_REQUEST = Situation("bad-request", 400, "This request makes no sense", "Go back to the app, and try again.")
_NOT_CONNECTED = Situation(
    "not-connected", 403, "Not connected yet", "Connect your account first; then this page can be shown."
)
_NO_SERVICE_ROLE = Situation(
    "service-role-unavailable", 503, "Not available right now", "This page cannot be shown. We are looking into it."
)
PLATFORM = Situation(
    "platform-unavailable", 503, "Not available right now", "This did not work. Please try again in a moment."
)
TOO_LARGE = Situation("too-large", 413, "This was too much", "Go back to the app, and try again.")


def refuse(error: Base44Error, visit: Visit, *, guarded: bool) -> Reply | None:
    """The answer to a visitor for an error; `None` where the error is the app's own business.

    Args:
        error: what a guard or a view raised.
        visit: the request.
        guarded: whether a guard raised it. A guard answers every error, and none with the view; of those that escape
            from a view only what is about this visitor is answered.
    """
    if isinstance(error, NotConnectedError) and error.visitor and error.connector is not None:
        return _not_connected(error.connector, visit)
    if error.visitor:
        # A session that cannot be opened would hide every other token for as long as the browser keeps it.
        ended = {"Set-Cookie": clear_cookie()} if error.code == "session_ended" else None
        return told(_visitor_situation(error), visit, ended)
    if not guarded:
        return None
    if isinstance(error, ConfigurationError):
        logger.error("A guard cannot let anybody pass: %s", error)
        return told(_NO_SERVICE_ROLE, visit)
    logger.warning("A guard could not ask the platform: %s", error)
    return told(PLATFORM, visit, {"Retry-After": str(_retry_after(error))})


def _visitor_situation(error: Base44Error) -> Situation:
    if isinstance(error, PermissionDeniedError):
        return _CROSS_ORIGIN
    if isinstance(error, BadRequestError):
        return BAD_REQUEST
    return _NO_TOKEN if isinstance(error, AuthenticationError) and error.code == "no_token" else _BAD_TOKEN


def _retry_after(error: Base44Error) -> int:
    least, usual, most = _RETRY_AFTER
    asked = error.retry_after
    return usual if asked is None else min(max(math.ceil(asked), least), most)


def _not_connected(connector_id: str, visit: Visit) -> Reply:
    connector = visit.settings.connector_name(connector_id)
    connect = visit.links.path("connect", connector) if connector else None
    if visit.navigation and connect is not None:
        after = quote(visit.here, safe="/") if len(visit.here) <= MAX_NEXT else ""
        return Reply(303, {**private_headers(), "Location": f"{connect}?next={after}" if after else connect})
    status = visit.links.path("status", connector) if connector else None
    more = {"connector": connector or connector_id, "connect_url": connect, "status_url": status}
    return told(_NOT_CONNECTED, visit, more={key: value for key, value in more.items() if value is not None})


def told(
    situation: Situation, visit: Visit, headers: Mapping[str, str] | None = None, more: Mapping[str, str] | None = None
) -> Reply:
    """A situation as a page for a person, or as a problem for a script."""
    if visit.navigation:
        extra = {**situation.headers, **(headers or {})}
        sign_in = visit.settings.sign_in_url if situation.status == 401 else None
        return message_page(situation.status, situation.title, situation.text, visit, extra, sign_in=sign_in or "")
    return problem(situation, headers, more)


def message_page(
    status: int, title: str, text: str, visit: Visit, headers: Mapping[str, str] | None = None, *, sign_in: str = ""
) -> Reply:
    """A page that says one thing."""
    values = {"title": title, "text": text, "sign_in": sign_in, "style": asset(visit.links, "style")}
    return page_reply(status, Page("message", values), headers)


def asset(links: Links, view: str) -> str:
    """The address of our script or style sheet, of this very version, or nothing where the views are not mounted."""
    path = links.path(view)
    return "" if path is None else f"{path}?v={VERSION}"


def problem(
    situation: Situation, headers: Mapping[str, str] | None = None, more: Mapping[str, str] | None = None
) -> Reply:
    """A situation as problem details (RFC 9457); `type` is `urn:base44-web:` and the slug."""
    document = {
        "type": f"urn:base44-web:{situation.slug}",
        "title": situation.title,
        "status": situation.status,
        "detail": situation.text,
        **(more or {}),
    }
    extra = {"Content-Type": "application/problem+json", **situation.headers, **(headers or {})}
    return json_reply(situation.status, document, extra)


def json_reply(status: int, document: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Reply:
    """A JSON answer that nobody keeps."""
    content = json.dumps(document, ensure_ascii=False).encode()
    return Reply(status, {**private_headers(), "Content-Type": "application/json", **(headers or {})}, content)


def page_reply(status: int, page: Page, headers: Mapping[str, str] | None = None, *, provider: str = "") -> Reply:
    """A page, with headers under which it runs no script but ours, and nobody frames it.

    Args:
        status: HTTP status.
        page: the page.
        headers: more headers.
        provider: where its form may lead beyond https: the emulator, on loopback.
    """
    policy = (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        f"form-action 'self' https:{provider and f' {provider}'}; frame-ancestors 'none'; base-uri 'none'"
    )
    protection = {
        "Content-Type": "text/html; charset=utf-8",
        "Content-Security-Policy": policy,
        # no-referrer would make the form's Origin null.
        "Referrer-Policy": "same-origin",
        "Cross-Origin-Opener-Policy": "same-origin-allow-popups",
        "Cross-Origin-Resource-Policy": "same-origin",
        "X-Frame-Options": "DENY",
        "X-Content-Type-Options": "nosniff",
    }
    return Reply(status, {**private_headers(), **protection, **(headers or {})}, page=page)


def private_headers() -> dict[str, str]:
    """Headers of every answer that depends on who asks."""
    return {"Cache-Control": "no-store", "Vary": VARY}
