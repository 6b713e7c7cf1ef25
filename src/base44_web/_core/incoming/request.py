"""What is read of a request, the same for every framework: adapters build an `Incoming`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from ..secret import Opaque, Secret

APP_ID: Final = "base44-app-id"
API_URL: Final = "base44-api-url"
SERVICE: Final = "base44-service-authorization"
STATE: Final = "base44-state"
DATA_ENV: Final = "x-data-env"
SUBPROTOCOL: Final = "sec-websocket-protocol"
SIGNATURE: Final = "base44-relay-signature"
# What the relay signs, in this order.
SIGNED: Final = (
    "authorization", APP_ID, API_URL, SERVICE, "base44-functions-version", STATE, DATA_ENV, "x-base44-app-url",
)  # fmt: skip
# All that is ever read of a request.
HEADERS: Final = frozenset(
    {"accept", "cookie", "host", "origin", "sec-fetch-site", "sec-fetch-mode", SUBPROTOCOL, SIGNATURE, *SIGNED}
)
# With "trust" and "signed" these are taken out of the framework's own request: no error page may show them.
STRIPPED: Final = frozenset((SERVICE, STATE))
_STRIPPED_OCTETS: Final = frozenset(name.encode() for name in STRIPPED)


class Incoming(Opaque):
    """The part of a request that the core reads, the same for every framework.

    Args:
        method: the HTTP method; of no meaning on a WebSocket.
        headers: pairs of lower-case name and value (latin-1), in order, of which those in `HEADERS` are asked for.
        secure: whether this server was spoken to over https or wss, as the framework believes.
        websocket: whether this is a WebSocket handshake.
        host: the host that the framework believes in, where that is not the `Host` header.
        joined: whether the server has joined repeated headers with commas.
    """

    __slots__ = ("_headers", "_host", "joined", "method", "secure", "websocket")

    def __init__(
        self,
        method: str,
        headers: Sequence[tuple[Any, Any]],
        *,
        secure: bool = False,
        websocket: bool = False,
        host: str | None = None,
        joined: bool = False,
    ) -> None:
        self.method = method
        self.secure = secure
        self.websocket = websocket
        self.joined = joined
        self._host = host
        self._headers = headers

    def all(self, name: str) -> list[Secret]:
        """Every value of a header, in order."""
        # Blanks at the ends are no part of a value (RFC 9110 §5.5); some servers leave them.
        return [Secret(value.strip(" \t")) for value in self._values(name)]

    def _values(self, name: str) -> list[str]:
        return [value for known, value in self._headers if known == name]

    @property
    def host(self) -> str:
        """The host that this server was asked for."""
        return self._host or self.one("host") or ""

    def one(self, name: str) -> str | None:
        """The value of a header that is no credential; `None` where it is absent, or there more than once."""
        values = self.all(name)
        return values[0].reveal() if len(values) == 1 else None


def strip_scope(scope: Any) -> None:
    """Remove from an ASGI scope's headers what no error page may show."""
    headers = scope.get("headers") or ()
    kept = [pair for pair in headers if pair[0] not in _STRIPPED_OCTETS]
    if not headers:
        return
    if isinstance(headers, list):
        scope["headers"][:] = kept  # in place: error reporters further out hold this list
    else:
        scope["headers"] = kept
