"""Backend functions: requests passed on to a server that stands in for them, with the platform's headers.

Routes: `@base44/sdk` 0.8.50, dist/modules/functions.js. Headers: contract §5, and what `base44 dev` sets (npm `base44`
0.1.18, dev-server/routes/functions.ts). The path that a function sees is public for `base44 dev` only: `/{name}`.
"""

from __future__ import annotations

import http.client
import secrets
from urllib.parse import urlsplit

from ._faults import Recorded
from ._identity import Identity
from ._replies import Reply, detail, json_reply

_SECONDS = 30
# What the platform says about a request: a visitor's own copies are dropped (contract §5).
_PLATFORM = {
    "base44-service-authorization", "base44-app-id", "base44-api-url", "base44-state", "base44-functions-version",
    "x-data-env", "x-base44-app-url",
}  # fmt: skip
# RFC 9110 §7.6.1, and what this hop says for itself.
_HOP = {
    "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer",
    "transfer-encoding", "upgrade", "host", "content-length",
}  # fmt: skip


def platform_headers(request: Recorded, identity: Identity, base: str) -> list[tuple[str, str]]:
    """A request's headers as a function gets them."""
    kept = [(name, value) for name, value in request.headers if name not in _HOP]
    service = ("base44-service-authorization", f"Bearer {identity.service_token}")
    if identity.dev:  # which drops nothing but what it sets itself
        app = request.header("x-app-id")
        ours = [service, ("base44-api-url", base), *([("base44-app-id", app)] if app else [])]
        return [pair for pair in kept if pair[0] not in dict(ours)] + ours
    version = request.header("base44-functions-version")
    return [
        *(pair for pair in kept if pair[0] not in _PLATFORM),
        service, ("base44-app-id", identity.app_id), ("base44-api-url", base), ("x-base44-app-url", base),
        ("base44-state", secrets.token_urlsafe(24)), ("x-data-env", "prod"),
        *([("base44-functions-version", version)] if version else []),
    ]  # fmt: skip


class Functions:
    """Names, and the servers behind them."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity
        self._origins: dict[str, str] = {}

    def add(self, name: str, origin: str) -> None:
        self._origins[name] = origin

    def answer(self, request: Recorded, base: str) -> Reply:
        """Pass on a request whose path has `/functions/`; a function's name can have slashes itself."""
        path, _, query = request.target.partition("?")
        path = path.partition("/functions/")[2]
        names = [name for name in self._origins if path == name or path.startswith(f"{name}/")]
        if not names:
            name = path.partition("/")[0]
            if self._identity.dev:
                return json_reply(500, {"error": f'Function "{name}" not found'})
            return detail(404, f"Function {name} not found")
        parts = urlsplit(self._origins[max(names, key=len)])
        target = f"/{path}" if self._identity.dev else f"/functions/{path}"
        https = parts.scheme == "https"
        kind = http.client.HTTPSConnection if https else http.client.HTTPConnection
        connection = kind(parts.hostname or "", parts.port, timeout=_SECONDS)
        try:
            connection.putrequest(request.method, target + (f"?{query}" if query else ""), skip_accept_encoding=True)
            for name, value in platform_headers(request, self._identity, base):
                connection.putheader(name, value.encode("latin-1"))
            if request.body or request.method not in ("GET", "HEAD"):
                connection.putheader("content-length", str(len(request.body)))
            connection.endheaders(request.body)
            response = connection.getresponse()
            headers = {name.lower(): value for name, value in response.getheaders() if name.lower() not in _HOP}
            return response.status, headers, response.read()
        except (OSError, http.client.HTTPException) as error:
            return json_reply(502, {"error": "Failed to proxy request to function", "details": str(error)})
        finally:
            connection.close()
