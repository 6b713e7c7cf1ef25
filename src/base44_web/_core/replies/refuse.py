"""What a visitor is answered for an error: decided once, as a value."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import cast
from urllib.parse import quote

from ...errors import Base44Error, ConfigurationError, NotConnectedError, ServiceRoleUnavailableError
from ..incoming.session import clear_cookie
from ..seldom import Seldom, how_often
from .assets import VERSION
from .reply import Page, Reply, page_reply, private_headers, problem, refusal_of
from .situations import BAD_REQUEST, NOT_CONNECTED, TOO_LARGE, Situation, situation_of
from .visit import Visit, relative

logger = logging.getLogger("base44_web")

_RETRY_AFTER = (1, 5, 60)  # seconds: least, usual, most


_FAILING = Seldom(1)
_UNUSABLE = Seldom(1)


def reply_to(error: Base44Error | ConfigurationError, visit: Visit, *, guarded: bool) -> Reply | None:
    """The answer to a visitor for an error; `None` where the error is the app's own business.

    Args:
        error: what a guard or a view raised.
        visit: the request.
        guarded: whether a guard raised it. A guard answers every error, and none with the view; of those that escape
            from a view only what is about this visitor is answered.
    """
    situation, more = described(error, visit)
    if situation is NOT_CONNECTED:
        _note_refused(situation, error)
        return _not_connected(more, visit)
    if isinstance(error, ConfigurationError | ServiceRoleUnavailableError):
        if not guarded:
            return None
        times = _UNUSABLE.happened(str(error))
        if times:
            logger.error(
                "A guard cannot let anybody pass%s: %s",
                how_often(times),
                error,
                extra={"base44_event": "guard_unusable", "base44_error": type(error).__name__, "base44_times": times},
            )
        return tell(situation, visit)
    if error.about_visitor:
        # A session that cannot be opened would hide every other token for as long as the browser keeps it.
        ended = {"Set-Cookie": clear_cookie()} if error.code == "session_ended" else None
        _note_refused(situation, error)
        return tell(situation, visit, ended)
    if not guarded:
        return None
    times = _FAILING.happened()
    if times:
        logger.warning(
            "A guard could not ask the platform%s: %s",
            how_often(times),
            error,
            extra={"base44_event": "platform_failing", "base44_error": type(error).__name__, "base44_times": times},
        )
    return tell(situation, visit, {"Retry-After": str(_retry_after(error))})


def _note_refused(situation: Situation, error: Exception) -> None:
    logger.info(
        "A request is refused, %s: %s",
        situation.slug,
        error,
        extra={"base44_event": "refused", "base44_situation": situation.slug},
    )


def described(error: Base44Error | ConfigurationError, visit: Visit) -> tuple[Situation, dict[str, str]]:
    """What an error means for this visitor, and what a script has beside that to go on with."""
    situation = situation_of(error)
    if not isinstance(error, NotConnectedError) or situation is not NOT_CONNECTED or error.connector is None:
        return situation, {}
    connector = visit.settings.connector_name(error.connector)
    connect = visit.links.path("connect", connector) if connector else None
    status = visit.links.path("status", connector) if connector else None
    more = {"connector": connector or error.connector, "connect_url": connect, "status_url": status}
    return situation, {key: value for key, value in more.items() if value is not None}


def about_visitor(error: BaseException, whose: bytes | None) -> Base44Error | None:
    """The error about this visitor that the app let escape: itself, or one in a group, if all in it are such errors.

    Args:
        error: what escaped.
        whose: the digest of this visitor's token, as `Context.whose`.
    """
    if isinstance(error, BaseExceptionGroup):
        found = [about_visitor(each, whose) for each in cast(BaseExceptionGroup[BaseException], error).exceptions]
        # Tasks that are cancelled because of the first leave none; an error of the app's own is not to be hidden.
        return next(iter(found), None) if all(each is not None for each in found) else None
    if isinstance(error, Base44Error) and error.about_visitor and error._whose in (None, whose):
        return error
    return None


def early_reply(error: Base44Error | ConfigurationError) -> Reply:
    """The answer to a request that reaches no view: nothing is known of it yet that a page could show."""
    situation = situation_of(error)
    if isinstance(error, ConfigurationError):
        return problem(situation)
    if situation in (BAD_REQUEST, TOO_LARGE):  # who sends such a request is told what is wrong with it
        situation = replace(situation, text=error.message)
    again = {} if error.retry_after is None else {"Retry-After": str(_retry_after(error))}
    return problem(situation, again)


def _retry_after(error: Base44Error) -> int:
    least, usual, most = _RETRY_AFTER
    asked = error.retry_after
    return usual if asked is None else min(max(math.ceil(asked), least), most)


def _not_connected(more: Mapping[str, str], visit: Visit) -> Reply:
    reply = tell(NOT_CONNECTED, visit, more=more)
    connect = more.get("connect_url")
    if visit.navigation and connect is not None:
        after = quote(visit.after, safe="/")
        to = f"{connect}?next={after}" if after else connect
        return Reply(303, {**private_headers(), "Location": to}, refusal=reply.refusal)
    return reply


def tell(
    situation: Situation, visit: Visit, headers: Mapping[str, str] | None = None, more: Mapping[str, str] | None = None
) -> Reply:
    """A situation as a page for a person, or as a problem for a script."""
    if visit.navigation:
        extra = {**situation.headers, **(headers or {})}
        sign_in = sign_in_link(visit) if situation.status == 401 else ""
        reply = message_page(situation.status, situation.title, situation.text, visit, extra, sign_in=sign_in)
    else:
        reply = problem(situation, headers, more)
    return replace(reply, refusal=refusal_of(situation, headers, more, navigation=visit.navigation))


def sign_in_link(visit: Visit) -> str:
    """Where to sign in, and to come back from; `""` where no `sign_in_url` is set."""
    url = visit.settings.sign_in_url or ""
    if not url.startswith("/"):
        return url  # another site has its own way to send people back
    after = f"{'&' if '?' in url else '?'}next={quote(visit.after, safe='/')}" if visit.after else ""
    return relative(visit.here, url + after)


def message_page(
    status: int, title: str, text: str, visit: Visit, headers: Mapping[str, str] | None = None, *, sign_in: str = ""
) -> Reply:
    """A page that says one thing."""
    app_name = visit.settings.app_name or ""
    values = {"title": title, "text": text, "app_name": app_name, "sign_in": sign_in, "style": asset(visit, "style")}
    return page_reply(status, Page("message", values), headers)


def asset(visit: Visit, view: str) -> str:
    """The address of our script or style sheet, of this very version, or nothing where the views are not mounted."""
    path = visit.links.path(view)
    if path is None:
        return ""
    # Where the operator says where the views are, they may be another app's.
    own = visit.forms or visit.settings.connect_path is None
    return f"{relative(visit.here, path) if own else path}?v={VERSION}"
