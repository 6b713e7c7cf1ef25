"""The environment's proxies (`HTTPS_PROXY`, `NO_PROXY`, …), one rule for blocking and awaited calls."""

from __future__ import annotations

from importlib.util import find_spec
from urllib.parse import unquote, urlsplit, urlunsplit

from ...errors import ConfigurationError
from ..urls import is_loopback


class Proxies:
    """Which proxy leads to an address; looked up once for each origin, as the connections are opened once.

    Args:
        socks: whether who asks can speak to SOCKS proxies.
    """

    def __init__(self, *, socks: bool = True) -> None:
        self._socks = socks
        self._found: dict[str, str | None] = {}

    def of(self, url: str) -> str | None:
        """The proxy for an address. None for loopback: the service token would go there in clear text.

        Raises:
            ConfigurationError: the variable names no proxy that can be used.
        """
        origin = "/".join(url.split("/", 3)[:3])
        if origin not in self._found:
            self._found[origin] = _proxy_for(origin, socks=self._socks)
        return self._found[origin]


def login_apart(proxy: str) -> tuple[str, tuple[str, str] | None]:
    """A proxy's address without its user name and password, and these."""
    parts = urlsplit(proxy)
    login = (unquote(parts.username), unquote(parts.password or "")) if parts.username else None
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2])), login


def _proxy_for(origin: str, *, socks: bool) -> str | None:
    from urllib.request import getproxies, proxy_bypass  # slow to import

    parts = urlsplit(origin)
    host = parts.hostname or ""
    if is_loopback(host) or proxy_bypass(host) or proxy_bypass(parts.netloc):
        return None
    proxies = getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if not proxy:
        return None
    proxy = proxy if "://" in proxy else f"http://{proxy}"
    found = urlsplit(proxy)
    if found.scheme not in ("http", "https", "socks5", "socks5h") or not found.hostname:
        raise ConfigurationError(
            f"The environment's proxy for {parts.scheme} ({parts.scheme.upper()}_PROXY or ALL_PROXY) is no http, https "
            "or socks5 address.",
            code="no_http_client",
        )
    if found.scheme.startswith("socks") and not socks:
        raise ConfigurationError(
            f"The environment's proxy for {parts.scheme} is a SOCKS proxy, which aiohttp does not speak to: set "
            "http_client (BASE44_HTTP_CLIENT) to httpx2.",
            code="no_http_client",
        )
    if found.scheme.startswith("socks") and find_spec("socksio") is None:
        raise ConfigurationError(
            f"The environment's proxy for {parts.scheme} is a SOCKS proxy, for which socksio is missing: "
            "pip install socksio.",
            code="no_http_client",
        )
    return proxy
