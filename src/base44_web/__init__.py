"""Base44 connectors for Python web frameworks.

The adapters are in `base44_web.starlette`, `.fastapi`, `.django` and `.flask`; this module imports none of them.
"""

from __future__ import annotations

from ._async.client import AsyncBase44, AsyncConnectorsModule, AsyncServiceRole, AsyncUserConnectorsModule
from ._message import Request, Response
from ._resolver import Arrival, SettingsResolver
from ._secret import Secret
from ._sync.client import Base44, ConnectorsModule, ServiceRole, UserConnectorsModule
from ._transport import AsyncTransport, HttpxTransports, Transport, TransportFactory
from ._values import ApiResponse, AppUser, Connection, ConnectorID, UnverifiedClaims
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
    PermissionDeniedError,
    RateLimitError,
    RequestFailedError,
    RequestTimeoutError,
    ServerError,
    ServiceRoleUnavailableError,
    TransportError,
    ValidationError,
)
from .settings import Settings

__all__ = [
    "AlreadyConnectedError",
    "ApiResponse",
    "AppUser",
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
    "ConnectorID",
    "ConnectorsModule",
    "CreditsExhaustedError",
    "HttpxTransports",
    "InvalidResponseError",
    "MeteredConnectorError",
    "MiddlewareMissingError",
    "NotConnectedError",
    "NotFoundError",
    "PermissionDeniedError",
    "RateLimitError",
    "Request",
    "RequestFailedError",
    "RequestTimeoutError",
    "Response",
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
    "ValidationError",
]
