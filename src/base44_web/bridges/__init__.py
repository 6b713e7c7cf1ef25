"""Connections for clients that do not take httpx2's or httpx's `auth=`: requests, Google's, Azure's.

Each function imports its library when it is called, and none is a dependency of ours. What is sent is the newest token
that there is, over https alone (http on loopback).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal, overload

from .._core.provider_auth import NewestToken
from .._core.values import Connection
from ..errors import ConfigurationError

if TYPE_CHECKING:
    from google.auth.credentials import Credentials
    from requests.auth import AuthBase

    from ._azure import AsyncAzureCredential, AzureCredential

__all__ = ["azure_credential", "google_credentials", "requests_auth"]


def requests_auth(connection: Connection, hosts: Iterable[str] | None = None) -> AuthBase:
    """What to give to requests as `auth=`, for a session or a request, and to SDKs that take a session of requests.

    It sends the newest token. After a 401 of the provider it renews the connection and sends the request once more, if
    the token changed, and if the body can be sent again: text, bytes, or a file that can be put back. Where renewing
    fails, the provider's 401 is the answer, and the log says why. A redirect to another host takes no token along.

    Args:
        connection: the connection.
        hosts: the only hosts to send the token to, such as `["api.dropboxapi.com"]`, `["*.salesforce.com"]`; by default
            any, over https.

    Raises:
        ConfigurationError: requests is not installed.
        TypeError: `hosts` is one string.
        ValueError: as a request is sent: it goes elsewhere, or not over https (http on loopback).
    """
    try:
        from ._requests import RequestsAuth
    except ModuleNotFoundError as error:
        raise _missing(error, "requests", "requests") from None
    return RequestsAuth(_newest(connection, hosts))


def google_credentials(connection: Connection, hosts: Iterable[str] | None = None) -> Credentials:
    """Credentials for Google's own libraries: google-api-python-client, gspread, google-cloud-…, `AuthorizedSession`.

    They have the newest token, and no expiry: the platform tells none. Google's transports call `refresh` after a 401,
    which renews the connection, and send the request again. Over gRPC nothing calls it.

    Args:
        connection: the connection.
        hosts: the only hosts to send the token to, such as `["*.googleapis.com"]`; by default any, over https.

    Raises:
        ConfigurationError: google-auth is not installed.
        TypeError: `hosts` is one string.
        google.auth.exceptions.RefreshError: as a request is sent: the provider said 401, and the connection cannot be
            renewed. Its `__cause__` is the `Base44Error`.
        ValueError: as a request is sent: it goes elsewhere, or not over https (http on loopback).
    """
    try:
        from ._google import GoogleCredentials
    except ModuleNotFoundError as error:
        raise _missing(error, "google.auth", "google-auth") from None
    return GoogleCredentials(_newest(connection, hosts))


@overload
def azure_credential(connection: Connection, *, awaiting: Literal[False] = False) -> AzureCredential: ...
@overload
def azure_credential(connection: Connection, *, awaiting: Literal[True]) -> AsyncAzureCredential: ...
def azure_credential(connection: Connection, *, awaiting: bool = False) -> AzureCredential | AsyncAzureCredential:
    """A `TokenCredential` for Azure's libraries and for those that kiota generates, such as Microsoft Graph's.

    It is told of a 401 only with a challenge for other claims (`claims=`): then it renews the connection. Else it looks
    for a newer one whenever it is asked for a token: in the cache, then at the platform (`connection_ttl`).
    kiota asks it for every request; azure-core after those seconds and up to a minute more, or after a 401.

    Those libraries check where a token goes: azure-core wants https; kiota https (http on loopback), and the hosts that
    it is given. Scopes are what the app user has granted, whatever is asked for.

    Args:
        connection: the connection.
        awaiting: for their async clients.

    Raises:
        ConfigurationError: azure-core is not installed.
        azure.core.exceptions.ClientAuthenticationError: as a request is sent: there is no token. Its `__cause__` is the
            `Base44Error`.
    """
    try:
        from ._azure import AsyncAzureCredential, AzureCredential
    except ModuleNotFoundError as error:
        raise _missing(error, "azure.core", "azure-core") from None
    return (AsyncAzureCredential if awaiting else AzureCredential)(_newest(connection))


def _newest(connection: Connection, hosts: Iterable[str] | None = None) -> NewestToken:
    return NewestToken(connection._record, connection._origin, hosts)


def _missing(error: ModuleNotFoundError, library: str, package: str) -> Exception:
    if error.name is None or not f"{library}.".startswith(f"{error.name}."):
        return error  # it is there, and something that it needs is not
    return ConfigurationError(f"This needs {library}, which is not installed: pip install {package}")
