"""A connection's token as what HTTP clients take for `auth=`: sent where it may go, and renewed after a 401."""

from __future__ import annotations

import functools
import logging
from collections.abc import AsyncGenerator, Generator, Iterable
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, final
from urllib.parse import urlsplit

from ..errors import Base44Error, ConfigurationError
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

    Each raises `Base44Error` where there is none.

    Attributes:
        newest: what it was renewed to, if it was.
    """

    newest: C | None

    @property
    def ttl(self) -> float:
        """Seconds for which a connection may be used again without asking."""
        ...

    def renew(self, used: C) -> C: ...
    async def renew_awaiting(self, used: C) -> C: ...
    def latest(self) -> C: ...
    async def latest_awaiting(self) -> C: ...


def check_destination(url: str, hosts: tuple[str, ...] | None = None) -> None:
    """Refuse to send a provider's token where it may not go.

    Raises:
        ValueError: the URL is not https (http on loopback), or of none of `hosts`.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(host)):
        raise ValueError(
            f"A provider's token is sent over https alone (http on loopback), and this request goes to "
            f"{parts.scheme}://{host}."
        )
    if hosts is not None and not any(_is_host(host, each) for each in hosts):
        raise ValueError(f"This connection's token goes to {', '.join(hosts)}, and the request to {host}.")


def authorize(request: R, secret: Secret, hosts: tuple[str, ...] | None = None) -> R:
    """Put a provider's token into a request.

    Raises:
        ValueError: the request does not go over https (http on loopback), or to none of `hosts`.
    """
    check_destination(str(getattr(request, "url", "")), hosts)
    request.headers["Authorization"] = secret.bearer()
    return request


def _is_host(host: str, pattern: str) -> bool:
    return host.endswith(pattern[1:]) if pattern.startswith("*.") else host == pattern


@final
class NewestToken(Opaque):
    """The newest token of one connection, for all who send it. Safe among threads and event loops.

    Args:
        record: the connection.
        origin: where a newer one can be had; `None` for a connection made by hand, which is sent as it is.
        hosts: the only hosts to send it to; by default any.

    Attributes:
        record: the newest record that was had.
        origin: as given.

    Raises:
        TypeError: `hosts` is one string.
    """

    __slots__ = ("_hosts", "origin", "record")

    def __init__(self, record: Record, origin: Origin[Any] | None, hosts: Iterable[str] | None = None) -> None:
        if isinstance(hosts, str):
            raise TypeError('hosts is a list of host names, such as ["www.googleapis.com"], not one string')
        self.record = record
        self.origin = origin
        self._hosts = None if hosts is None else tuple(host.lower() for host in hosts)

    def check(self, url: str) -> None:
        """See `check_destination`."""
        check_destination(url, self._hosts)

    def authorize(self, request: Request) -> Record:
        """Put it into a request; returns which one. See `authorize`."""
        used = self.record
        authorize(request, used.token, self._hosts)
        return used

    def is_refused(self, used: Record, response: Any) -> bool:
        """Whether the provider refuses this token, in an answer of httpx2, httpx or requests.

        A host that a redirect led to was not sent it, and has no say.
        """
        sent = response.request.headers.get("Authorization")
        return response.status_code == 401 and self.origin is not None and sent == used.token.bearer()

    def renew(self, used: Record) -> bool:
        """Whether there is a newer token than one that was refused; the origin is asked, unless it was before.

        Raises:
            Base44Error: it cannot be renewed.
        """
        if self.origin is not None and self.record.token == used.token:
            self.record = self.origin.renew(self.record)
        return self.record.token != used.token

    async def renew_awaiting(self, used: Record) -> bool:
        """See `renew`."""
        if self.origin is not None and self.record.token == used.token:
            self.record = await self.origin.renew_awaiting(self.record)
        return self.record.token != used.token

    def is_renewed(self, used: Record) -> bool:
        """As `renew`; the log says why it cannot be renewed."""
        try:
            return self.renew(used)
        except (Base44Error, ConfigurationError) as error:
            tell(used, error)
            return False

    async def is_renewed_awaiting(self, used: Record) -> bool:
        """See `is_renewed`."""
        try:
            return await self.renew_awaiting(used)
        except (Base44Error, ConfigurationError) as error:
            tell(used, error)
            return False


def tell(record: Record, error: Base44Error | ConfigurationError) -> None:
    """Log why a connection cannot be renewed."""
    logger.log(
        logging.DEBUG if error.code == "renewed_already" else logging.WARNING,  # it was told as it was renewed
        "The provider refuses the token of a connection (%s), and it cannot be renewed: %s",
        record.integration_type,
        error,
        extra={
            "base44_event": "connection_not_renewed",
            "base44_error": type(error).__name__,
            "base44_integration_type": record.integration_type,
        },
    )


class ProviderAuth(Opaque, Auth):
    """`auth=` for httpx2 and httpx, blocking and awaiting: sends the newest token, and survives a 401.

    After a 401 the connection is renewed, and the request sent once more, if the token changed and the body can be sent
    again. Where that fails, the provider's 401 is the answer, and the log says why.
    """

    def __init__(self, newest: NewestToken) -> None:
        self._newest = newest

    def __call__(self, request: R) -> R:
        """Authorize one request, which then does not survive a 401: what other clients take for `auth=`."""
        self._newest.authorize(request)
        return request

    def sync_auth_flow(self, request: Any) -> Generator[Any, Any, None]:
        used = self._newest.authorize(request)
        response = yield request
        refused = self._newest.is_refused(used, response)
        if refused and self._newest.is_renewed(used) and _is_repeatable(request):
            yield self(request)

    async def async_auth_flow(self, request: Any) -> AsyncGenerator[Any, Any]:
        used = self._newest.authorize(request)
        response = yield request
        refused = self._newest.is_refused(used, response)
        if refused and await self._newest.is_renewed_awaiting(used) and _is_repeatable(request):
            yield self(request)


def _is_repeatable(request: Any) -> bool:
    try:
        request.content  # noqa: B018 - a body that was streamed is gone, and says so
    except Exception:  # noqa: BLE001 - each library has its own kind
        return False
    return True


def auth_for(record: C, origin: Origin[C] | None, hosts: Iterable[str] | None) -> ProviderAuth:
    """See `Connection.auth`."""
    return _kind()(NewestToken(record, origin, hosts))


@functools.cache
def _kind() -> type[ProviderAuth]:
    # Each library knows only its own base class; neither is imported before somebody wants this.
    bases = [import_module(name).Auth for name in ("httpx2", "httpx") if find_spec(name) is not None]
    return type("ProviderAuth", (ProviderAuth, *bases), {"__module__": __name__})
