"""What a reply depends on: the request as a browser has it, and where our views are."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Protocol, final
from urllib.parse import quote, unquote_plus

from ..config import Settings
from ..incoming.request import Incoming

MAX_NEXT: Final = 2048  # characters of a path to come back to


def path_and_query(path: str, query: str) -> str:
    """A request's decoded path and raw query, as the browser has them; never the start of another address."""
    here = "/" + quoted(path).lstrip("/")
    fields = [each for each in query.split("&") if not _is_token(each)]
    return f"{here}?{'&'.join(fields)}" if query and fields else here


def _is_token(text: str) -> bool:
    """Whether a field of a query has a user's token: Base44's sign-in page sends browsers back with one, once.

    The client on the page takes it out of the address (0.8.50). Nobody is to come back to it, nor a log to see it on
    the way.
    """
    return unquote_plus(text.partition("=")[0]) == "access_token"


def quoted(path: str) -> str:
    """A decoded path as a browser has it."""
    return quote(path, safe="/:@!$&'()*+,;=~")


def relative(here: str, to: str) -> str:
    """A path of this server as a link on the page `here`: good under whatever prefix a browser has the page.

    Args:
        here: path and query of the page.
        to: the path, and a query if any.
    """
    base = here.partition("?")[0].split("/")[:-1]
    path, question, query = to.partition("?")
    *folder, name = path.split("/")
    same = 0
    while same < min(len(base), len(folder)) and base[same] == folder[same]:
        same += 1
    return ("../" * (len(base) - same) or "./") + "/".join([*folder[same:], name]) + question + query


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
        forms: whether a form that an old browser submits counts as navigation: in our own views.
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
        if self.incoming.websocket or self.incoming.method not in ("GET", "HEAD", "POST"):
            return False
        mode = self.incoming.one("sec-fetch-mode")
        if mode is not None:
            return mode == "navigate"  # with POST: a form that somebody submits
        return (self.forms or self.incoming.method != "POST") and "text/html" in (self.incoming.one("accept") or "")

    @property
    def after(self) -> str:
        """Where to come back to: this page, if one can go to it."""
        return self.here if self.incoming.method in ("GET", "HEAD") and len(self.here) <= MAX_NEXT else ""
