"""Base44 connectors for Python web frameworks.

The adapters are in `base44_web.starlette`, `.fastapi`, `.django` and `.flask`; this module imports none of them.
Nothing else is imported before its name is asked for (PEP 562), for who loads no more than our pytest plugin.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._core.client._async import AsyncBase44, AsyncConnectorsModule, AsyncServiceRole, AsyncUserConnectorsModule
    from ._core.client._sync import Base44, ConnectorsModule, ServiceRole, UserConnectorsModule
    from ._core.connections.memory import ConnectionCounts
    from ._core.engine.apps import Arrival, SettingsResolver
    from ._core.engine.engine import connection_counts
    from ._core.names import AppUserConnector, IntegrationType
    from ._core.provider_auth import ProviderAuth
    from ._core.replies.refusal import Refusal
    from ._core.secret import Secret
    from ._core.transport.httpx_clients import HttpxTransports
    from ._core.transport.message import PlatformRequest, PlatformResponse
    from ._core.transport.protocol import AsyncTransport, Transport, TransportFactory
    from ._core.values import ApiResponse, AppUser, Connection, ConnectionWith, ConnectorID, UnverifiedClaims
    from .errors import (
        AlreadyConnectedError,
        AuthenticationError,
        BadRequestError,
        Base44Error,
        ConfigurationError,
        ConflictError,
        CreditsExhaustedError,
        InvalidResponseError,
        MeteredConnectorError,
        MiddlewareMissingError,
        NotConnectedError,
        NotFoundError,
        PayloadTooLargeError,
        PermissionDeniedError,
        RateLimitError,
        RequestFailedError,
        RequestTimeoutError,
        ServerError,
        ServiceRoleUnavailableError,
        TransportError,
        UserGoneError,
        ValidationError,
    )
    from .settings import Settings

__all__ = [
    "AlreadyConnectedError",
    "ApiResponse",
    "AppUser",
    "AppUserConnector",
    "Arrival",
    "AsyncBase44",
    "AsyncConnectorsModule",
    "AsyncServiceRole",
    "AsyncTransport",
    "AsyncUserConnectorsModule",
    "AuthenticationError",
    "BadRequestError",
    "Base44",
    "Base44Error",
    "ConfigurationError",
    "ConflictError",
    "Connection",
    "ConnectionCounts",
    "ConnectionWith",
    "ConnectorID",
    "ConnectorsModule",
    "CreditsExhaustedError",
    "HttpxTransports",
    "IntegrationType",
    "InvalidResponseError",
    "MeteredConnectorError",
    "MiddlewareMissingError",
    "NotConnectedError",
    "NotFoundError",
    "PayloadTooLargeError",
    "PermissionDeniedError",
    "PlatformRequest",
    "PlatformResponse",
    "ProviderAuth",
    "RateLimitError",
    "Refusal",
    "RequestFailedError",
    "RequestTimeoutError",
    "Secret",
    "ServerError",
    "ServiceRole",
    "ServiceRoleUnavailableError",
    "Settings",
    "SettingsResolver",
    "Transport",
    "TransportError",
    "TransportFactory",
    "UnverifiedClaims",
    "UserConnectorsModule",
    "UserGoneError",
    "ValidationError",
    "connection_counts",
]

# Where each name is; `tests/core/test_package.py` compares this with the imports above.
_PLACES = {
    "._core.client._async": ("AsyncBase44", "AsyncConnectorsModule", "AsyncServiceRole", "AsyncUserConnectorsModule"),
    "._core.client._sync": ("Base44", "ConnectorsModule", "ServiceRole", "UserConnectorsModule"),
    "._core.connections.memory": ("ConnectionCounts",),
    "._core.engine.apps": ("Arrival", "SettingsResolver"),
    "._core.engine.engine": ("connection_counts",),
    "._core.names": ("AppUserConnector", "IntegrationType"),
    "._core.provider_auth": ("ProviderAuth",),
    "._core.replies.refusal": ("Refusal",),
    "._core.secret": ("Secret",),
    "._core.transport.httpx_clients": ("HttpxTransports",),
    "._core.transport.message": ("PlatformRequest", "PlatformResponse"),
    "._core.transport.protocol": ("AsyncTransport", "Transport", "TransportFactory"),
    "._core.values": ("ApiResponse", "AppUser", "Connection", "ConnectionWith", "ConnectorID", "UnverifiedClaims"),
    ".errors": (
        "AlreadyConnectedError",
        "AuthenticationError",
        "BadRequestError",
        "Base44Error",
        "ConfigurationError",
        "ConflictError",
        "CreditsExhaustedError",
        "InvalidResponseError",
        "MeteredConnectorError",
        "MiddlewareMissingError",
        "NotConnectedError",
        "NotFoundError",
        "PayloadTooLargeError",
        "PermissionDeniedError",
        "RateLimitError",
        "RequestFailedError",
        "RequestTimeoutError",
        "ServerError",
        "ServiceRoleUnavailableError",
        "TransportError",
        "UserGoneError",
        "ValidationError",
    ),
    ".settings": ("Settings",),
}
_PLACE_OF = {name: place for place, names in _PLACES.items() for name in names}


def __getattr__(name: str) -> object:
    place = _PLACE_OF.get(name)
    if place is None:
        if name in ("errors", "settings"):  # modules of ours that are there once the package is
            return import_module(f"{__name__}.{name}")
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(place, __name__), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
