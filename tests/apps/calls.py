"""What the drivers' apps do, whichever framework they are of: the call that a request names, made on `base44`."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from base44_web import (
    ApiResponse,
    AppUser,
    AsyncBase44,
    Base44,
    Base44Error,
    ConfigurationError,
    Connection,
    ConnectorID,
)


@dataclass(frozen=True)
class Outcome:
    """What `/run` answered."""

    result: Any = None
    error: str | None = None
    fields: dict[str, Any] = field(default_factory=dict)


def encode_call(module: str, method: str, args: Any, kwargs: Any) -> list[tuple[str, str]]:
    """The headers that name a call."""
    plain = [{"id": each} if isinstance(each, ConnectorID) else each for each in args]
    call = {"module": module, "method": method, "args": plain, "kwargs": kwargs}
    return [("x-call", json.dumps(call)), ("accept", "application/json")]


def arguments(call: dict[str, Any]) -> list[Any]:
    return [ConnectorID(each["id"]) if isinstance(each, dict) else each for each in call["args"]]


def plain(value: Any) -> Any:
    if isinstance(value, Connection):
        config = value.connection_config
        return {"access_token": value.access_token, "connection_config": None if config is None else dict(config)}
    if isinstance(value, ApiResponse):
        return dataclasses.asdict(value)
    if isinstance(value, AppUser):
        return {"id": value.id, "email": value.email}
    return value


def hook(on_refusal: Any, respond: Callable[[int, Any, dict[str, str]], Any]) -> Any:
    """An `on_refusal` of a framework, from one of none: of what it gives, a tuple is made a response."""
    if on_refusal is None:
        return None

    def answer(refusal: Any) -> Any:
        found = on_refusal(refusal)
        return respond(*found) if isinstance(found, tuple) else found

    return answer


def failed(error: Exception) -> dict[str, Any]:
    fields = {name: getattr(error, name, None) for name in ("status", "code", "message", "data", "retry_after")}
    return {"error": type(error).__name__, "fields": fields | {"text": str(error)}}


def target(base44: Any, call: dict[str, Any]) -> Any:
    match call["module"]:
        case "service":
            return base44.as_service_role.connectors
        case "user":
            return base44.connectors
    return base44


def run_sync(base44: Callable[[], Base44], call: dict[str, Any]) -> dict[str, Any]:
    try:
        if call["method"] == "token":
            token = base44().token
            return {"result": None if token is None else token.reveal()}
        method = getattr(target(base44(), call), call["method"])
        return {"result": plain(method(*arguments(call), **call["kwargs"]))}
    except (Base44Error, ConfigurationError, ValueError, TypeError) as error:
        return failed(error)


async def run_async(base44: Callable[[], AsyncBase44], call: dict[str, Any]) -> dict[str, Any]:
    try:
        if call["method"] == "token":
            token = base44().token
            return {"result": None if token is None else token.reveal()}
        method = getattr(target(base44(), call), call["method"])
        return {"result": plain(await method(*arguments(call), **call["kwargs"]))}
    except (Base44Error, ConfigurationError, ValueError, TypeError) as error:
        return failed(error)


async def escape_async(base44: AsyncBase44, call: dict[str, Any]) -> None:
    """The call, with its errors let out of the view."""
    await getattr(target(base44, call), call["method"])(*arguments(call), **call["kwargs"])


def escape_sync(base44: Base44, call: dict[str, Any]) -> None:
    getattr(target(base44, call), call["method"])(*arguments(call), **call["kwargs"])


async def guarded_async(base44: AsyncBase44) -> dict[str, Any]:
    """What a view behind `app_user_connected("calendar")` has: the guard's connection, and the same when asked again."""
    again = await base44.as_service_role.connectors.get_current_app_user_connection("calendar")
    return {
        "same": again.access_token == base44.connection("calendar").access_token,
        "access_token": again.access_token,
    }


def guarded_sync(base44: Base44) -> dict[str, Any]:
    again = base44.as_service_role.connectors.get_current_app_user_connection("calendar")
    return {
        "same": again.access_token == base44.connection("calendar").access_token,
        "access_token": again.access_token,
    }
