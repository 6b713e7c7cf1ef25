"""Base44 connectors for Python web frameworks.

The adapters are in `base44_web.starlette`, `.fastapi`, `.django` and `.flask`; this module imports none of them.
"""

from __future__ import annotations

from ._core.client._async import AsyncBase44, AsyncConnectorsModule, AsyncServiceRole, AsyncUserConnectorsModule
from ._core.client._sync import Base44, ConnectorsModule, ServiceRole, UserConnectorsModule
from ._core.connections.memory import ConnectionCounts
from ._core.engine.apps import Arrival, SettingsResolver
from ._core.engine.engine import connection_counts
from ._core.names import AppUserConnector, IntegrationType
from ._core.provider_auth import ProviderAuth
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
