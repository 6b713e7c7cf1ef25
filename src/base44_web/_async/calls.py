"""Calls to the platform: within one deadline, through the gate, and once more where that may help."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Hashable
from contextlib import suppress
from typing import TypeVar

from .. import _wire as wire
from .._claims import dead_reason
from .._context import Context
from .._flow import Gate, enter_async, join_async, sleep_async, wait_async
from .._identity import key_of
from .._keys import Keys
from .._message import Response
from .._retries import pause_before
from .._values import AppUser, Connection
from ..errors import AuthenticationError, Base44Error, ConfigurationError, RequestTimeoutError, ServerError

_JWKS = "jwks"
T = TypeVar("T")
logger = logging.getLogger("base44_web")


async def perform(context: Context, call: wire.Call[wire.T], *, gate: Gate | None = None) -> wire.T:
    """Make a call.

    Raises:
        Base44Error: it failed, after as many tries as it may have.
    """
    outcome = await outcome_of(context, call, gate=gate)
    if isinstance(outcome, Base44Error):
        raise outcome
    return outcome


async def outcome_of(
    context: Context, call: wire.Call[wire.T], *, gate: Gate | None = None, end: float | None = None
) -> wire.T | Base44Error:
    """Make a call; its result, or its error as a value. `end` is when it must have ended (monotonic clock)."""
    settings = context.engine.settings
    end = time.monotonic() + settings.timeout if end is None else end
    attempt = 0
    while True:
        outcome: wire.T | Base44Error
        try:
            answer = await _send(context, call, gate or context.engine.gate, end)
            outcome = call.read(answer)
        except Base44Error as error:
            outcome = error
        if not isinstance(outcome, Base44Error):
            return outcome
        left = end - time.monotonic()
        pause = pause_before(attempt, call.request.method, outcome, most=settings.max_retries, left=left)
        if pause is None:
            return outcome
        await sleep_async(pause)
        attempt += 1


async def _send(context: Context, call: wire.Call[wire.T], gate: Gate, end: float) -> Response:
    transport = await context.open_async()
    try:
        await enter_async(gate, end - time.monotonic())
        if time.monotonic() > end:
            gate.leave()
            raise TimeoutError
    except TimeoutError:
        waited = RequestTimeoutError("No call to the platform ended in time for this one to begin.", code="timeout")
    else:
        try:
            left = end - time.monotonic()
            connect_timeout = context.engine.settings.connect_timeout
            return await transport.send(call.request, timeout=left, connect_timeout=connect_timeout)
        finally:
            gate.leave()
    raise waited


async def identify(context: Context) -> AppUser:
    """The app user whose token the request carries, verified; one call for all who ask at the same time.

    Raises:
        AuthenticationError: there is no token, or it is refused.
        Base44Error: the platform cannot be asked.
    """
    caller, engine = context.caller, context.engine
    token = wire.user_token(caller)
    if engine.settings.verification == "none":
        raise ConfigurationError(
            'Nobody verifies tokens here: verification (BASE44_VERIFICATION) is "none", so nobody can be let in.'
        )
    outcome = engine.users.recall(caller)
    if outcome is None:
        reason = dead_reason(token)
        if reason is not None:
            raise AuthenticationError(reason, code="dead_token", visitor=caller.visitor)
        outcome = await _verified(context)
    if isinstance(outcome, Base44Error):
        error = outcome.again()
        error.visitor = error.visitor and caller.visitor
        raise error
    return outcome


async def app_user_connection(context: Context, connector_id: str, *, gate: Gate | None = None) -> Connection:
    """The app user's connection.

    Raises:
        Base44Error: it failed. A 401 is about the visitor, or, if the platform knows them, the service token.
    """
    caller, users = context.caller, context.engine.users
    outcome = await outcome_of(context, wire.get_current_app_user_connection(caller, connector_id), gate=gate)
    if isinstance(outcome, AuthenticationError) and isinstance(users.recall(caller), AppUser):
        outcome.visitor = False
        users.forget(caller)  # or about a user whom it refuses by now: the next request asks
    if isinstance(outcome, Base44Error):
        raise outcome
    return outcome


async def _fetch_keys(context: Context, keys: Keys, end: float) -> None:
    engine = context.engine
    flight, leads = await join_async(engine.flights, _JWKS)
    if not leads:
        with suppress(TimeoutError):
            await wait_async(flight, end - time.monotonic())
        return
    begun = False
    try:
        if keys.url is not None and keys.may_fetch():
            begun = True
            document = await outcome_of(context, wire.get_keys(keys.url), gate=engine.identity_gate, end=end)
            begun = False
            if isinstance(document, Base44Error):
                logger.warning("The JWKS could not be fetched, the old keys stay: %s", document)
                keys.failed = True
            elif keys.told(document):
                engine.users.clear()
    finally:
        if begun:
            keys.give_back()  # cancelled: nobody else must wait for that
        engine.flights.land(_JWKS, flight, keys)


async def _judge(context: Context, end: float) -> AppUser | Base44Error:
    caller, engine = context.caller, context.engine
    keys = engine.keys
    if keys is None:
        return await outcome_of(context, wire.current_user(caller), gate=engine.identity_gate, end=end)
    assert caller.token is not None
    # Whose key is there waits for no fetch of somebody else's.
    if not keys.names_key_of(caller.token) or (keys.stale and not engine.flights.flying(_JWKS)):
        await _fetch_keys(context, keys, end)
    if keys.failed and keys.key_for(caller.token) is None:
        return ServerError("The keys that tokens are verified with cannot be fetched.", status=503, code="no_keys")
    return keys.verify(caller.token, caller.app_id)


async def _verified(context: Context) -> AppUser | Base44Error:
    caller, engine = context.caller, context.engine
    end = time.monotonic() + engine.settings.timeout

    async def ask() -> AppUser | Base44Error:
        outcome = await _judge(context, end)
        engine.users.remember(caller, outcome)
        return outcome

    return await together(context, key_of(caller), ask, end=end)


async def together(
    context: Context, key: Hashable, ask: Callable[[], Awaitable[T | Base44Error]], *, end: float
) -> T | Base44Error:
    """One call for all who want the same answer at the same time.

    Args:
        context: the request's.
        key: what they want.
        ask: gives the answer, an error as a value.
        end: when it must be there (monotonic clock).
    """
    flights = context.engine.flights
    while True:
        flight, leads = await join_async(flights, key)
        outcome: T | Base44Error | None = None
        if leads:
            try:
                outcome = await ask()
                return outcome
            finally:
                # Without an outcome the leader was cancelled, and one of those who wait leads.
                flights.land(key, flight, outcome)
        try:
            outcome = await wait_async(flight, end - time.monotonic())
        except TimeoutError:
            return RequestTimeoutError("The platform did not answer in time.", code="timeout")
        if outcome is not None:
            return outcome
