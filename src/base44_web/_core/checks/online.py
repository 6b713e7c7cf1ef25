"""What only the platform, its clock and the stores can tell. Nothing is changed there: GETs, a ping."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from typing import Any, Final

from ...errors import Base44Error, ConfigurationError
from ..config import Settings
from ..incoming.caller import configured_caller
from ..incoming.replays import describe
from ..incoming.signature import SignatureCheck
from ..platform import wire
from ..secret import Secret
from ..transport.httpx_clients import HttpxTransports
from ..transport.message import PlatformRequest, PlatformResponse
from ..transport.protocol import Transport
from .finding import Finding

_APART: Final = 60  # seconds that two clocks may differ
_NOBODYS: Final = "base44-web-doctor"  # an integration type that there is none of: no token comes back
_TIMEOUT: Final = 2.0  # seconds for a store


def check_online(settings: Settings) -> Iterator[Finding]:
    """Ask the stores and the platform."""
    yield from _check_replay_store(settings)
    yield from _check_connection_store(settings)
    if settings.app_id is not None:
        yield from _check_platform(settings, settings.app_id)


def _check_platform(settings: Settings, app_id: str) -> Iterator[Finding]:
    with contextlib.closing(HttpxTransports(ca_file=settings.ca_file).open()) as transport:
        # What the reference client's app.getPublicSettings asks (dist/modules/app.js). A private app refuses it, and a
        # refusal shows as well that there is such an app.
        url = f"{settings.server_url}/api/apps/public/prod/public-settings/by-id/{app_id}"
        headers = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": wire.USER_AGENT}
        answer = _ask(settings, transport, PlatformRequest("GET", url, (*headers.items(), ("X-App-Id", app_id))))
        if not isinstance(answer, PlatformResponse) or answer.status not in (200, 401, 403, 404):
            why = f"It answered with status {answer.status}." if isinstance(answer, PlatformResponse) else str(answer)
            yield Finding(
                "E002",
                f"{settings.server_url} does not answer as the platform. {why}",
                "Check server_url (BASE44_SERVER_URL), and that this server may connect to it (proxies, firewalls).",
            )
            return
        yield from _check_clock(answer)
        if answer.status == 404:
            yield Finding(
                "E003",
                f"The platform knows no app {app_id}.",
                "Set app_id (BASE44_APP_ID) to the ID in the editor's address: app.base44.com/apps/<id>/editor/…",
            )
        elif settings.service_token is not None:
            yield from _check_service_token(settings, transport)


def _check_service_token(settings: Settings, transport: Transport) -> Iterator[Finding]:
    answer = _ask(settings, transport, wire.get_connection(configured_caller(settings, None), _NOBODYS).request)
    if isinstance(answer, PlatformResponse) and answer.status in (401, 403):
        yield Finding(
            "E004",
            f"The platform refuses the service token (status {answer.status}).",
            "Set service_token (BASE44_SERVICE_TOKEN) to one of this app; each start of the emulator makes a new one.",
        )


def _check_clock(answer: PlatformResponse) -> Iterator[Finding]:
    try:
        ahead = time.time() - parsedate_to_datetime(answer.headers.get("date", "")).timestamp()
    except ValueError:
        return
    if abs(ahead) > _APART:
        yield Finding(
            "W014",
            f"This server's clock is {abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} the platform's: tokens "
            "and signatures expire at the wrong time.",
            "Set it by NTP.",
        )


def _ask(
    settings: Settings, transport: Transport, request: PlatformRequest
) -> PlatformResponse | Base44Error | ConfigurationError:
    """Ask once: whoever looks for what is wrong wants no second try."""
    try:
        return transport.send(request, timeout=settings.timeout, connect_timeout=settings.connect_timeout)
    except (Base44Error, ConfigurationError) as error:
        return error


def _check_replay_store(settings: Settings) -> Iterator[Finding]:
    if settings.platform_headers != "signed":
        return
    try:
        SignatureCheck(settings).probe()
    except ConfigurationError as error:
        yield Finding(
            "E005", error.message, "Start it, or set replay_store (BASE44_REPLAY_STORE) to one that all workers reach."
        )


def _check_connection_store(settings: Settings) -> Iterator[Finding]:
    store: object = getattr(settings, "connection_store", None)
    why = None if store is None else _unusable(store, settings.ca_file)
    if why is not None:
        yield Finding(
            "E005",
            f"The connection_store (BASE44_CONNECTION_STORE) cannot be used ({why}).",
            "Start it, or set connection_store to one that all servers reach.",
        )


def _unusable(store: Any, ca_file: str | None) -> str | None:
    """Which failure of a Redis it is, without its text: that can hold a password."""
    try:
        client = _client(store, ca_file) if isinstance(store, Secret) else store[0]()
        with contextlib.closing(client):
            client.ping()
    except Exception as error:  # noqa: BLE001 - whatever the store's library raises
        return describe(error)
    return None


def _client(address: Secret, ca_file: str | None) -> Any:
    from redis import Redis

    authority = {"ssl_ca_certs": ca_file} if ca_file and address.reveal().startswith("rediss:") else {}
    seconds = {"socket_timeout": _TIMEOUT, "socket_connect_timeout": _TIMEOUT}
    return Redis.from_url(address.reveal(), **seconds, **authority)  # pyright: ignore[reportUnknownMemberType]
