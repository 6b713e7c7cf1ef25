"""Origins, hosts and path segments: the few URL rules that decide where a credential may go."""

from __future__ import annotations

import ipaddress
import re
from typing import Final
from urllib.parse import parse_qsl, quote, urlsplit, urlunsplit

from .secret import Secret

_HOST = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,252}[a-z0-9])?\.?|\[[0-9a-f:.]+\]")
_VISIBLE = re.compile(r"[!-~]+")
_DEFAULT_PORTS = {"https": 443, "http": 80}
# What encodeURIComponent leaves alone beyond letters and digits (ECMA-262 §19.2.6.4).
_UNRESERVED = "-_.!~*'()"
_URL_SAFE = "/%:=&?~#+!$,;'@()*[]|"
_STEERING = frozenset("/\\?#%")
_NEEDS_ENCODING = re.compile(r"[^!-~]")


def is_loopback(host: str) -> bool:
    """Whether a host name or address can only mean this machine."""
    host = host.strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_loopback_url(url: str) -> bool:
    """Whether a URL leads to this machine."""
    return is_loopback(urlsplit(url).hostname or "")


def parse_origin(url: object) -> str:
    """The origin of `url` (RFC 6454 §4) as `scheme://host[:port]`, lower case, without the default port.

    Raises:
        ValueError: for anything but https (http on loopback), and for userinfo, a path, a query or a fragment.
    """
    if not isinstance(url, str) or not _VISIBLE.fullmatch(url) or "\\" in url:
        raise ValueError("must be an absolute URL, such as https://base44.app")
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    netloc_host = f"[{host}]" if ":" in host else host
    if parts.scheme not in _DEFAULT_PORTS or not _HOST.fullmatch(netloc_host):
        raise ValueError("must be an absolute URL, such as https://base44.app")
    if parts.scheme == "http" and not is_loopback(host):
        raise ValueError("must be https (http is for loopback addresses only)")
    if "@" in parts.netloc or parts.path not in ("", "/") or "?" in url or "#" in url:
        raise ValueError("must be an origin: no user name, path, query or fragment")
    port = parts.port
    if port is None or port == _DEFAULT_PORTS[parts.scheme]:
        return f"{parts.scheme}://{netloc_host}"
    return f"{parts.scheme}://{netloc_host}:{port}"


def same_host(origin: str, host: str, *, secure: bool) -> bool:
    """Whether a browser's `Origin` is this server, known by its `Host` header.

    The scheme is compared only where browsers must have used https: behind a TLS proxy this server sees http.
    """
    try:
        parts = urlsplit(origin.lower())
    except ValueError:
        return False
    if parts.scheme not in _DEFAULT_PORTS or not parts.netloc:
        return False
    if secure and parts.scheme != "https" and not is_loopback(parts.hostname or ""):
        return False
    default = f":{_DEFAULT_PORTS[parts.scheme]}"
    return bool(host) and parts.netloc.removesuffix(default) == host.lower().removesuffix(default)


def as_browsers_read(url: str) -> str:
    """A URL with blanks, or letters beyond ASCII, as browsers send it: percent-encoded, its host in Punycode.

    The URL as it is, where no browser would make one of it (WHATWG URL Standard §4.4).
    """
    url = url.strip(" ")
    if not _NEEDS_ENCODING.search(url) or any(not (each.isprintable() or each == " ") for each in url):
        return url
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        if not host.isascii():
            import idna  # of httpx2; Python's own codec knows IDNA 2003 alone, which leads to other hosts

            host = idna.encode(host, uts46=True, transitional=False).decode("ascii")
        port = f":{parts.port}" if parts.port else ""
    except (ValueError, UnicodeError):
        return url
    if "@" in parts.netloc:
        return url
    path, query, fragment = (quote(part, safe=_URL_SAFE) for part in (parts.path, parts.query, parts.fragment))
    return urlunsplit((parts.scheme, host + port, path, query, fragment))


def is_safe_url(url: str) -> bool:
    """Whether a URL from the platform may be given to a browser: https (http on loopback), nothing hidden in it."""
    if not _VISIBLE.fullmatch(url) or "\\" in url or len(url) > 8192:
        return False
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return False
    if not parts.hostname or "@" in parts.netloc:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname))


def check_identifier(value: object, what: str) -> str:
    """An integration type or connector ID, checked before anything is sent.

    Raises:
        TypeError: not a `str`.
        ValueError: empty, `.` or `..`, or with `/ \\ ? # %` or a control character: a server that decodes
            before it routes would be steered to another route with our credentials.
    """
    if not isinstance(value, str):
        raise TypeError(f"{what} must be a str, not {type(value).__name__}")
    if not value or value in (".", ".."):
        raise ValueError(f"{what} must not be empty, '.' or '..'")
    if not value.isprintable() or not _STEERING.isdisjoint(value):
        raise ValueError(f"{what} must not contain / \\ ? # % or control characters: {value!r}")
    # An Enum's member has a hash and a text of its own, and means its value.
    is_plain = type(value).__hash__ is str.__hash__ and type(value).__str__ is str.__str__
    return value if is_plain else str.__str__(value)


def encode_segment(value: str) -> str:
    """Percent-encode a path segment the way JavaScript's `encodeURIComponent` does."""
    # Most are ready. Of a subclass of str, such as an Enum's member, an f-string would take what its __format__ says.
    is_ready = type(value) is str and value.isalnum() and value.isascii()
    return value if is_ready else quote(value, safe=_UNRESERVED)


_STORE_OPTIONS: Final = ("client_name", "db", "protocol", "ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
_CHECKS: Final = ("ssl_cert_reqs", "ssl_check_hostname")


def store_problem(address: Secret) -> str | None:
    """What is wrong with the address of a Redis. Returned, for this frame knows a password; only names are told."""
    try:
        parts = urlsplit(address.reveal())
        scheme, has_host, _ = parts.scheme, bool(parts.hostname), parts.port
    except ValueError:
        return "is no URL"
    if scheme not in ("redis", "rediss", "unix") or not (has_host or scheme == "unix"):
        return "must be redis://…, rediss://… or unix://…"
    for name, option in parse_qsl(parts.query, keep_blank_values=True):
        if name in _CHECKS:
            if option.lower() not in ("required", "true", "1"):
                return f"switches off the check of its server's certificate ({name}): name its authority in ca_file"
        elif name not in _STORE_OPTIONS:
            return f"has an option that cannot be given here; known are {', '.join(_STORE_OPTIONS)}"
    return None
