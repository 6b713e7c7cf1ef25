"""Verifying who is asking: by the platform, by keys, or by nobody, as `Settings.verification` says."""

from __future__ import annotations

import logging
from typing import Final, final

from ...errors import AuthenticationError, Base44Error, ConfigurationError, ServerError, UserGoneError
from ..incoming.caller import Caller
from ..platform import wire
from ..platform.io import IO
from ..platform.perform import Platform, fly, perform
from ..secret import Opaque
from ..seldom import Seldom, how_often
from ..urls import is_loopback_url
from ..values import AppUser
from .keys import Keys
from .memory import KnownTokens, token_key

_JWKS: Final = "jwks"
logger = logging.getLogger("base44_web")


@final
class Identity(Opaque):
    """Who verifies tokens for one `Settings`, and what was found out a short time ago.

    Attributes:
        platform: the way to the platform.
        known: tokens that were verified or refused.
        keys: what to verify with, where the operator gave keys.
        strangers: users of other apps. One of them is that visitor's mistake; where all are, the app ID is wrong.
    """

    __slots__ = ("keys", "known", "platform", "strangers")

    def __init__(self, platform: Platform) -> None:
        self.platform = platform
        self.known = KnownTokens(platform.settings.identity_ttl, platform.clock)
        self.keys = Keys(platform.settings, platform.clock) if platform.settings.verification == "keys" else None
        self.strangers = Seldom(60, platform.clock.monotonic)

    def after_fork(self) -> None:
        """In the child: locks may have been held."""
        self.known.after_fork()
        if self.keys is not None:
            self.keys.after_fork()


async def identify(io: IO, identity: Identity, caller: Caller, *, fresh: bool = False) -> AppUser:
    """The app user whose token the caller has, verified; one call for all who ask at the same time.

    With `fresh`, what is remembered does not count.

    Raises:
        AuthenticationError: there is no token, or it is refused.
        Base44Error: the platform cannot be asked.
    """
    token = wire.user_token(caller)
    if identity.platform.settings.verification == "none":
        raise ConfigurationError(
            'Nobody verifies tokens here: verification (BASE44_VERIFICATION) is "none", so nobody can be let in.'
        )
    outcome = None if fresh else identity.known.get(caller)
    if outcome is None:
        reason = token.dead_reason(identity.platform.clock.time())
        if reason is not None:
            raise AuthenticationError(reason, code="dead_token", about_visitor=caller.is_visitor)
        outcome = await _verified(io, identity, caller, fresh=fresh)
    if isinstance(outcome, Base44Error):
        error = outcome.again()
        error.about_visitor = error.about_visitor and caller.is_visitor
        raise error
    return outcome


async def _verified(io: IO, identity: Identity, caller: Caller, *, fresh: bool) -> AppUser | Base44Error:
    end = identity.platform.clock.monotonic() + identity.platform.settings.timeout

    async def ask() -> AppUser | Base44Error:
        known = None if fresh else identity.known.get(caller)
        if known is not None:  # by a call that has just ended
            return known
        outcome = await _decide(io, identity, caller, end)
        if isinstance(outcome, Base44Error) and outcome.code == "other_app":
            _note_stranger(identity, caller)
        identity.known.put(caller, outcome)
        return outcome

    return await fly(io, identity.platform, token_key(caller), ask, end=end)


def _note_stranger(identity: Identity, caller: Caller) -> None:
    times = identity.strangers.happened()
    if times:
        logger.warning(
            "A token is of a user of another app than %r%s. If nobody can sign in, it is "
            "the app: check app_id (BASE44_APP_ID); with the local dev server also development (BASE44_DEVELOPMENT).",
            caller.app_id,
            how_often(times),
            extra={"base44_event": "other_app", "base44_times": times},
        )


async def _decide(io: IO, identity: Identity, caller: Caller, end: float) -> AppUser | Base44Error:
    platform, keys, token = identity.platform, identity.keys, wire.user_token(caller)
    if keys is None:
        local = platform.settings.development and is_loopback_url(caller.server_url)
        limiter = platform.limiter if identity.known.was_verified(caller) else platform.unverified
        call = wire.current_user(caller, may_lack_app=local)
        outcome = await perform(io, platform, call, limiter=limiter, end=end)
        if isinstance(outcome, UserGoneError):
            logger.error(
                "The platform knows no app %r, or no such user in it (404 of User/me). If nobody can sign in, it is "
                "the app: check app_id (BASE44_APP_ID) and server_url (BASE44_SERVER_URL).",
                caller.app_id,
                extra={"base44_event": "user_unknown", "base44_error": type(outcome).__name__},
            )
        return outcome
    # Whose key is there waits for no fetch of somebody else's.
    if not keys.names_key_of(token) or (keys.stale and not platform.flights.flying(_JWKS)):
        await _fetch_keys(io, identity, keys, end)
    if keys.failed and keys.key_for(token) is None:
        return ServerError("The keys that tokens are verified with cannot be fetched.", status=503, code="no_keys")
    return keys.verify(token, caller.app_id)


async def _fetch_keys(io: IO, identity: Identity, keys: Keys, end: float) -> None:
    platform = identity.platform

    async def ask() -> Keys:
        if keys.url is not None and keys.may_fetch():
            # A deadline of its own: whoever began it may have little time left, and others wait for it too.
            document = await perform(io, platform, wire.get_keys(keys.url), limiter=platform.unverified)
            if isinstance(document, Base44Error):
                logger.warning(
                    "The JWKS could not be fetched, the old keys stay: %s",
                    document,
                    extra={"base44_event": "jwks_not_fetched", "base44_error": type(document).__name__},
                )
                keys.failed = True
            elif keys.take(document):
                identity.known.clear()
        return keys

    await fly(io, platform, _JWKS, ask, end=end, detached=True)
