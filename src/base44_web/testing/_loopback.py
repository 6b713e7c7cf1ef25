"""What is on this machine: the emulator gives tokens to nothing else."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

_HOST = re.compile(r"(([a-z0-9-]+\.)*localhost|127\.\d{1,3}\.\d{1,3}\.\d{1,3}|\[::1\])(:\d{1,5})?", re.IGNORECASE)
_LOCALHOST = re.compile(r"http://localhost(:\d+)?")
_PLAIN = re.compile(r"[!-\[\]-~]*")  # printable ASCII, no blanks and no backslash: read alike by browsers and by us


def is_loopback(host: str) -> bool:
    """Whether a `Host`, port included, is this machine."""
    return _HOST.fullmatch(host) is not None


def is_loopback_origin(origin: str) -> bool:
    """Whether an `Origin` is a page of this machine."""
    scheme, separator, host = origin.partition("://")
    return bool(separator) and scheme in ("http", "https") and is_loopback(host)


def destination(url: str, base: str) -> str | None:
    """Where a `from_url` leads, in full; `None` where that is not this machine.

    Args:
        url: as the front end sent it; a path is one of `base`.
        base: the origin that was asked.
    """
    if not _PLAIN.fullmatch(url):
        return None
    if url.startswith("/") and not url.startswith("//"):
        return base + url
    parts = urlsplit(url)
    return url if is_loopback_origin(f"{parts.scheme}://{parts.netloc}") else None


def with_token(url: str, token: str) -> str:
    """A URL with the token that the front end takes out again (`getAccessToken` in dist/utils/auth-utils.js)."""
    parts = urlsplit(url)
    query = [pair for pair in parse_qsl(parts.query, keep_blank_values=True) if pair[0] != "access_token"]
    return urlunsplit(parts._replace(query=urlencode([*query, ("access_token", token)])))


def cors(origin: str | None, asked_for: str | None, *, dev: bool) -> dict[str, str]:
    """What lets pages of this machine read an answer, credentials included; pages of others get nothing.

    Args:
        origin: the request's `Origin`.
        asked_for: its `Access-Control-Request-Headers`: with credentials, `*` is no wildcard.
        dev: as `base44 dev`, which knows this machine by the name `localhost` alone (dev-server/main.ts).
    """
    if origin is None:  # no page of another origin asks
        return {"access-control-allow-origin": "*", "vary": "origin"}
    if not is_loopback_origin(origin) or (dev and not _LOCALHOST.fullmatch(origin)):
        return {"vary": "origin"}
    return {
        "access-control-allow-origin": origin,
        "access-control-allow-credentials": "true",
        "access-control-allow-methods": "GET,HEAD,PUT,PATCH,POST,DELETE",
        "access-control-allow-headers": asked_for or "authorization",
        "vary": "origin",
    }
