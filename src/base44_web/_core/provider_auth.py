"""A connection's token as what HTTP clients take for `auth=`: sent where it may go, and renewed after a 401."""

from __future__ import annotations

import functools
import logging
from collections.abc import AsyncGenerator, Generator, Iterable
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from urllib.parse import urlsplit

from ..errors import Base44Error
from .secret import Opaque, Secret
from .urls import is_loopback

if TYPE_CHECKING:
    from httpx2 import Auth
else:
    Auth = object

logger = logging.getLogger("base44_web")


class Request(Protocol):
    """A request of httpx2, httpx or requests."""

    @property
    def headers(self) -> Any: ...


R = TypeVar("R", bound=Request)


class Record(Protocol):
    """What is known of a connection."""

    @property
    def token(self) -> Secret: ...
    @property
    def integration_type(self) -> str | None: ...


C = TypeVar("C", bound=Record)


class Origin(Protocol[C]):
    """Where a connection came from, and a newer one can be had.

    Each raises `Base44Error` where it cannot be renewed.
    """

    def renew(self, used: C) -> C: ...
    async def renew_awaiting(self, used: C) -> C: ...


def authorize(request: R, secret: Secret, hosts: tuple[str, ...] | None = None) -> R:
    """Put a provider's token into a request.

    Raises:
        ValueError: the request does not go over https (http on loopback), or to none of `hosts`.
    """
    parts = urlsplit(str(getattr(request, "url", "")))
    host = parts.hostname or ""
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(host)):
        raise ValueError(
            f"A provider's token is sent over https alone (http on loopback), and this request goes to "
            f"{parts.scheme}://{host}."
        )
    if hosts is not None and not any(_is_host(host, each) for each in hosts):
        raise ValueError(f"This connection's token goes to {', '.join(hosts)}, and the request to {host}.")
    request.headers["Authorization"] = secret.bearer()
    return request


def _is_host(host: str, pattern: str) -> bool:
    return host.endswith(pattern[1:]) if pattern.startswith("*.") else host == pattern


class ProviderAuth(Opaque, Auth):
    """`auth=` for httpx2 and httpx, blocking and awaiting: sends the newest token, and survives a 401.

    After a 401 the connection is renewed, and the request sent once more, if the token changed and the body can be sent
    again. Where that fails, the provider's 401 is the answer, and the log says why.
    """

    def __init__(self, record: Any, origin: Origin[Any] | None, hosts: Iterable[str] | None) -> None:
        if isinstance(hosts, str):
            raise TypeError('hosts is a list of host names, such as ["www.googleapis.com"], not one string')
        self._newest: Record = record
        self._origin = origin
        self._hosts = None if hosts is None else tuple(host.lower() for host in hosts)

    def __call__(self, request: R) -> R:
        """Authorize one request, which then does not survive a 401: what other clients take for `auth=`."""
        return authorize(request, self._newest.token, self._hosts)

    def sync_auth_flow(self, request: Any) -> Generator[Any, Any, None]:
        used = self._newest
        response = yield self(request)
        if response.status_code == 401 and self._origin is not None:
            try:
                renewed = self._origin.renew(used)
            except Base44Error as error:
                _tell(used, error)
            else:
                if self._is_worth_another(request, used, renewed):
                    yield self(request)

    async def async_auth_flow(self, request: Any) -> AsyncGenerator[Any, Any]:
        used = self._newest
        response = yield self(request)
        if response.status_code == 401 and self._origin is not None:
            try:
                renewed = await self._origin.renew_awaiting(used)
            except Base44Error as error:
                _tell(used, error)
            else:
                if self._is_worth_another(request, used, renewed):
                    yield self(request)

    def _is_worth_another(self, request: Any, used: Record, renewed: Record) -> bool:
        if renewed.token == used.token:
            return False
        self._newest = renewed
        try:
            request.content  # noqa: B018 - a body that was streamed is gone, and says so
        except Exception:  # noqa: BLE001 - each library has its own kind
            return False
        return True


def _tell(record: Record, error: Base44Error) -> None:
    logger.warning(
        "The provider refuses the token of a connection (%s), and it cannot be renewed: %s",
        record.integration_type,
        error,
    )


def auth_for(record: C, origin: Origin[C] | None, hosts: Iterable[str] | None) -> ProviderAuth:
    """See `Connection.auth`."""
    return _kind()(record, origin, hosts)


@functools.cache
def _kind() -> type[ProviderAuth]:
    # Each library knows only its own base class; neither is imported before somebody wants this.
    bases = [import_module(name).Auth for name in ("httpx2", "httpx") if find_spec(name) is not None]
    return type("ProviderAuth", (ProviderAuth, *bases), {"__module__": __name__})
