"""Each platform call once, as a pure value: the request to send and how to read the answer.

Paths, headers and bodies are those of the reference client, `@base44/sdk` 0.8.50 (`modules/connectors.js`,
`utils/axios-client.js`); `docs/reference-client.md` lists where this is stricter on purpose. Readers return errors
instead of raising them: a frame that holds a decoded body must not end up in a traceback.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, Generic, NamedTuple, TypeAlias, TypeVar, cast, final, get_args
from urllib.parse import quote

from ...errors import (
    AlreadyConnectedError,
    AuthenticationError,
    Base44Error,
    InvalidResponseError,
    NotConnectedError,
    NotFoundError,
    ServiceRoleUnavailableError,
    UserGoneError,
    class_for,
    parse_retry_after,
)
from ..claims import Token
from ..incoming.caller import Caller
from ..secret import Secret
from ..transport.message import PlatformRequest, PlatformResponse
from ..urls import as_browsers_read, encode_segment, is_safe_url
from ..values import ApiResponse, AppUser, ConnectionRecord, Method, Phase

T = TypeVar("T")
Outcome: TypeAlias = T | Base44Error

_CODE: Final = re.compile(r"[A-Za-z0-9_.:-]{1,100}")  # what a code or a request ID looks like: no echo of a credential
USER_AGENT: Final = "base44-web-python"


@final
class Call(NamedTuple, Generic[T]):
    """One platform call: what to send, and how a 2xx body or an error becomes a result.

    Attributes:
        not_found: what a 404 means.
        about_visitor: whether a 401 is about the visitor's token, and not about the service token.
        connector: what a 404 is about: an integration type, or a connector's ID.
    """

    request: PlatformRequest
    read_data: Callable[[Any], Outcome[T]]
    not_found: type[Base44Error] = NotFoundError
    about_visitor: bool = False
    connector: str | None = None

    def read(self, response: PlatformResponse) -> Outcome[T]:
        """The result, or the error to raise. Never raises."""
        if 200 <= response.status < 300:
            outcome = self.read_data(response.json())
            if isinstance(outcome, InvalidResponseError):
                outcome.status, outcome.request_id = response.status, response.headers.get("x-request-id")
            return outcome
        return _error(response, self)


# --- the calls


def get_connection(caller: Caller, integration_type: str) -> Call[ConnectionRecord]:
    """Token of a shared connector of an integration type."""
    path = f"external-auth/tokens/{encode_segment(integration_type)}"
    request = _service_request(caller, "GET", path)
    return Call(request, _read_connection, NotConnectedError, connector=integration_type)


def get_workspace_connection(caller: Caller, connector_id: str) -> Call[ConnectionRecord]:
    """Token of a shared connector on the workspace's own OAuth app."""
    path = f"external-auth/tokens/connectors/{encode_segment(connector_id)}"
    request = _service_request(caller, "GET", path)
    return Call(request, _read_connection, NotConnectedError, connector=connector_id)


def get_current_app_user_connection(caller: Caller, connector_id: str) -> Call[ConnectionRecord]:
    """Token of the app user's own connection."""
    user_token(caller)
    path = f"app-user-auth/connectors/{encode_segment(connector_id)}/token"
    request = _service_request(caller, "GET", path)
    return Call(request, _read_connection, NotConnectedError, about_visitor=caller.is_visitor, connector=connector_id)


def call_api(
    caller: Caller,
    integration_type: str,
    *,
    path: str,
    method: Method,
    host: str | None,
    query: Mapping[str, object] | None,
    headers: Mapping[str, str] | None,
    body: object,
) -> Call[ApiResponse]:
    """A call through the platform's proxy, for metered connectors.

    Raises:
        TypeError, ValueError: the path is empty or no `str`, the method unknown, or the body no JSON.
    """
    if not isinstance(path, str):  # pyright: ignore[reportUnnecessaryIsInstance] - callers without types
        raise TypeError(f"path must be a str, not {type(path).__name__}")
    if not path:
        raise ValueError("path must not be empty")
    if method not in get_args(Method):
        raise ValueError(f"method must be one of {', '.join(get_args(Method))} (upper case)")
    payload: dict[str, object] = {"method": method}
    if host is not None:
        payload["host"] = host
    payload |= {"path": path, "query": dict(query or {}), "headers": dict(headers or {}), "body": body}
    content = json.dumps(payload, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    request = _service_request(caller, "POST", f"connectors/{encode_segment(integration_type)}/call", content)
    return Call(request, _read_api_response, connector=integration_type)


def connect_app_user(caller: Caller, connector_id: str) -> Call[Secret]:
    """The URL that starts the provider's OAuth flow: a credential (whoever approves through it connects)."""
    path = f"app-user-auth/connectors/{encode_segment(connector_id)}/initiate"
    request = _user_request(caller, caller.user_url, "POST", path)
    return Call(request, _read_redirect_url, about_visitor=caller.is_visitor, connector=connector_id)


def disconnect_app_user(caller: Caller, connector_id: str) -> Call[None]:
    """Remove the app user's stored credentials."""
    path = f"app-user-auth/connectors/{encode_segment(connector_id)}"
    request = _user_request(caller, caller.user_url, "DELETE", path)
    return Call(request, _read_disconnected, about_visitor=caller.is_visitor, connector=connector_id)


def current_user(caller: Caller, *, may_lack_app: bool = False) -> Call[AppUser]:
    """The record of the app user whose token this is: the documented check of a token (contract of 0.8.50).

    Args:
        caller: who asks.
        may_lack_app: whether a record without `app_id` counts: the local dev server's have none (`base44` 0.1.18).
    """

    def read(data: Any) -> Outcome[AppUser]:
        return _read_user(data, caller.app_id, may_lack_app=may_lack_app)

    request = _user_request(caller, caller.server_url, "GET", "entities/User/me")
    return Call(request, read, UserGoneError, about_visitor=True)


def get_keys(url: str) -> Call[Mapping[str, Any]]:
    """The operator's JWKS (RFC 7517 §5). Nobody's credential goes with it."""

    def read(data: Any) -> Outcome[Mapping[str, Any]]:
        return _record(data) or _invalid("the JWKS is no JSON object")

    headers = {"Accept": "application/jwk-set+json, application/json", "Accept-Encoding": "identity"}
    return Call(PlatformRequest("GET", url, (*headers.items(), ("User-Agent", USER_AGENT))), read)


# --- what is sent

_ALWAYS: Final[tuple[tuple[str, str | Secret], ...]] = (
    ("Accept", "application/json"),
    ("Content-Type", "application/json"),
    # No compression: the size cap then holds for what is read and for what it becomes.
    ("Accept-Encoding", "identity"),
    ("User-Agent", USER_AGENT),
)


def _request(
    caller: Caller, server: str, method: str, path: str, credentials: dict[str, Token | Secret], content: bytes = b""
) -> PlatformRequest:
    headers: list[tuple[str, str | Secret]] = [*_ALWAYS, ("X-App-Id", caller.app_id)]
    for name, each in credentials.items():
        headers.append((name, Secret((each.secret if isinstance(each, Token) else each).bearer())))
    if caller.state is not None:
        headers.append(("Base44-State", caller.state))
    if caller.data_env is not None:
        headers.append(("X-Data-Env", caller.data_env))
    return PlatformRequest(method, f"{server}/api/apps/{caller.app_id}/{path}", tuple(headers), content)


def user_token(caller: Caller) -> Token:
    """The app user's token.

    Raises:
        AuthenticationError: nobody is signed in.
    """
    if caller.token is None:
        raise AuthenticationError(
            "There is no app user token: the visitor is not signed in, or the request came without its "
            "Authorization header.",
            code="no_token",
            about_visitor=caller.is_visitor,
        )
    return caller.token


def _user_request(caller: Caller, server: str, method: str, path: str) -> PlatformRequest:
    return _request(caller, server, method, path, {"Authorization": user_token(caller)})


def service_token(caller: Caller) -> Secret:
    """The service token.

    Raises:
        ServiceRoleUnavailableError: there is none.
    """
    if caller.service_token is None:
        raise ServiceRoleUnavailableError(
            "There is no service role for this request: set service_token (BASE44_SERVICE_TOKEN), or run behind "
            'Base44 with platform_headers="trust".',
            code="no_service_token",
        )
    return caller.service_token


def _service_request(caller: Caller, method: str, path: str, content: bytes = b"") -> PlatformRequest:
    credentials: dict[str, Token | Secret] = {"Authorization": service_token(caller)}
    # Only a JWT is an app user's: a webhook has an Authorization of its own, and nobody else is to see that.
    if caller.token is not None and caller.token.claims is not None:
        credentials["on-behalf-of"] = caller.token
    return _request(caller, caller.server_url, method, path, credentials, content)


# --- what comes back


def _error(response: PlatformResponse, call: Call[Any]) -> Base44Error:
    """An error answer as its exception; fields as the reference client's error interceptor takes them."""
    if 300 <= response.status < 400:
        return InvalidResponseError(
            "The platform answered with a redirect, which is not followed: credentials would go to another address. "
            "Check server_url (BASE44_SERVER_URL) and app_url (BASE44_APP_URL).",
            status=response.status,
            code="redirect",
        )
    data = _blanked(response.error_data(), call.request)
    body = _record(data) or {}
    nested = _record(body.get("error")) or {}
    fallback = f"Request failed with status code {response.status}"
    message = nested.get("message") or body.get("message") or body.get("detail") or fallback
    codes = (nested.get("code"), body.get("code"), response.headers.get("x-base44-connector-error"))
    code = next((str(code) if _CODE.fullmatch(str(code)) else "unreadable" for code in codes if code is not None), None)
    cls = class_for(response.status, code)
    if cls is NotFoundError:
        cls = call.not_found
    fields: dict[str, Any] = {
        "status": response.status,
        "code": code,
        "data": data,
        "request_id": identifier if _CODE.fullmatch(identifier := response.headers.get("x-request-id", "")) else None,
        "about_visitor": call.about_visitor and cls in (AuthenticationError, NotConnectedError, UserGoneError),
        "connector": call.connector,
        "retry_after": parse_retry_after(response.headers.get("retry-after")),
    }
    return cls(_text(message), **fields)


def _blanked(data: Any, request: PlatformRequest) -> Any:
    """An error's data without the credentials of the call: gateways and debug pages echo what they were sent."""
    sent = [value.reveal().removeprefix("Bearer ") for _, value in request.headers if isinstance(value, Secret)]
    forms = {form for each in sent if each for form in (each, quote(each, safe=""), each.replace("/", "\\/"))}
    try:
        return _without(data, sorted(forms, key=len, reverse=True))
    except RecursionError:
        return None


def _without(data: Any, credentials: list[str]) -> Any:
    if isinstance(data, str):
        for each in credentials:
            data = data.replace(each, "[blanked]")
        return data
    if isinstance(data, list):
        return [_without(each, credentials) for each in data]  # pyright: ignore[reportUnknownVariableType]
    if isinstance(data, dict):
        found = cast(dict[str, Any], data)
        return {_without(key, credentials): _without(value, credentials) for key, value in found.items()}
    return data


def _record(data: object) -> dict[str, Any] | None:
    return cast(dict[str, Any], data) if isinstance(data, dict) else None


def _text(message: object) -> str:
    """A message as text; a 422's list of problems becomes `loc: msg; …`, where JavaScript says `[object Object]`."""
    if isinstance(message, str):
        return message
    if isinstance(message, list):
        items = [_record(item) for item in cast(list[object], message)]
        if all(item is not None and "msg" in item for item in items):
            return "; ".join(_located(item) for item in items if item is not None)
    return json.dumps(message, ensure_ascii=False)


def _located(item: Mapping[str, Any]) -> str:
    where = item.get("loc")
    place = ".".join(str(part) for part in cast(list[object], where)) if isinstance(where, list) else ""
    return f"{place}: {item['msg']}" if place else str(item["msg"])


def _invalid(what: str) -> InvalidResponseError:
    return InvalidResponseError(
        f"The platform's answer cannot be used: {what}. Check that server_url (BASE44_SERVER_URL) is the platform; "
        "if it is, the platform has changed or is failing.",
        code="invalid_response",
    )


def _is_text_mapping(value: object) -> bool:
    record = _record(value)
    return record is not None and all(isinstance(item, str) for item in record.values())


def _read_connection(data: Any) -> Outcome[ConnectionRecord]:
    record = _record(data)
    if record is None:
        return _invalid("it is no JSON object")
    token, config, integration_type = (
        record.get(key) for key in ("access_token", "connection_config", "integration_type")
    )
    if not isinstance(token, str) or not token:
        return _invalid("access_token is missing or no string")
    if not (token.isascii() and token.isprintable()):
        return _invalid("access_token has characters that no header may carry, such as a line break")
    if config is not None and not _is_text_mapping(config):
        return _invalid("connection_config is not a mapping of strings")
    if integration_type is not None and not isinstance(integration_type, str):
        return _invalid("integration_type is no string")
    return ConnectionRecord(Secret(token), config, integration_type)


def _read_api_response(data: Any) -> Outcome[ApiResponse]:
    record = _record(data)
    if record is None:
        return _invalid("it is no JSON object")
    status, base64, content_type = (record.get(key) for key in ("status_code", "data_base64", "content_type"))
    headers: object = record.get("headers") or {}
    credits_charged = record.get("credits_charged") or 0
    if not isinstance(record.get("success"), bool) or record.get("phase") not in get_args(Phase):
        return _invalid("success or phase is missing or unknown; whether the provider executed the call is unknown")
    if status is not None and (not isinstance(status, int) or isinstance(status, bool)):
        return _invalid("status_code is no integer")
    if any(value is not None and not isinstance(value, str) for value in (base64, content_type)):
        return _invalid("data_base64 or content_type is no string")
    if not _is_text_mapping(headers) or not isinstance(credits_charged, int | float):
        return _invalid("headers or credits_charged has the wrong type")
    return ApiResponse(
        success=record["success"],
        phase=cast(Phase, record["phase"]),
        status=status,
        data=record.get("data"),
        data_base64=base64,
        content_type=content_type,
        headers=cast(dict[str, str], headers),
        credits_charged=credits_charged,
    )


def _read_redirect_url(data: Any) -> Outcome[Secret]:
    record = _record(data)
    if record is None:
        return _invalid("it is no JSON object")
    url, already = record.get("redirect_url"), record.get("already_authorized")
    if url is None and (already is True or ("redirect_url" in record and already is not False)):  # it may be absent
        return AlreadyConnectedError(
            "The app user is connected already. Disconnect first to connect another account.", code="already_connected"
        )
    if not isinstance(url, str):
        return _invalid("redirect_url is missing or no string")
    address = as_browsers_read(url)
    if not is_safe_url(address):
        return _invalid("redirect_url is no https address that a browser may be sent to")
    return Secret(address)


def _read_disconnected(data: Any) -> Outcome[None]:
    # The body's fields are known from a mock only; but a page in its place means that nothing was disconnected.
    return None if data is None or isinstance(data, dict) else _invalid("it is no JSON object")


def _read_user(data: Any, app_id: str, *, may_lack_app: bool) -> Outcome[AppUser]:
    record = _record(data)
    if record is None or not isinstance(record.get("id"), str) or not record["id"]:
        return _invalid("User/me is no record of a user")
    if may_lack_app and "app_id" not in record:
        record = {**record, "app_id": app_id}  # the route has named the app
    if record.get("app_id") != app_id:
        return AuthenticationError("The token belongs to a user of another app.", code="other_app", about_visitor=True)
    if record.get("is_service") or record.get("disabled"):
        return AuthenticationError("The token belongs to no active app user.", code="inactive_user", about_visitor=True)
    return AppUser.from_record(record)
