"""The redirect views. Adapters turn a request into an `Ask`, and the `Reply` into a response."""

from __future__ import annotations

import logging
import time
from urllib.parse import quote

from .._context import Context
from .._fields import is_bearer_token
from .._identity import status_key
from .._incoming import MAX_TOKEN_LENGTH, caller_with, require_same_origin
from .._replies import Reply, json_reply, refuse, told
from .._secret import Secret
from .._session import clear_cookie
from .._values import AppUser
from .._views import (
    NO_TOKEN_IN_BODY,
    NOT_SET_UP,
    STILL_CONNECTED,
    Ask,
    account,
    already_connected,
    back,
    connect_page,
    other_user,
    refuse_early,
    to_provider,
)
from ..errors import AlreadyConnectedError, Base44Error, NotConnectedError, NotFoundError
from .calls import together
from .client import Base44
from .guard import admit

logger = logging.getLogger("base44_web")


def answer(context: Context, ask: Ask) -> Reply:
    """Answer for a view. Errors are answered as a guard answers them."""
    early = refuse_early(ask)
    if early is not None:
        return early
    try:
        match ask.view.name, ask.method:
            case "connect", "GET":
                return _connect_page(context, ask)
            case "connect", _:
                return _connect(context, ask)
            case "status", _:
                return _status(context, ask)
            case "disconnect", _:
                return _disconnect(context, ask)
            case "session", _:
                return _session(context, ask)
            case _:
                return _logout(context, ask)
    except Base44Error as error:
        reply = refuse(error, ask.visit, guarded=True)
        assert reply is not None
        return reply


def _look(context: Context, ask: Ask) -> tuple[AppUser, bool]:
    """Who is asking, and whether they are connected: the token route's 404 is the only "no"."""
    try:
        return admit(context, (ask.connector,)), True
    except NotConnectedError:
        return admit(context), False


def _connect_page(context: Context, ask: Ask) -> Reply:
    here = context.caller.user_url if context.caller.user_url.startswith("http:") else ""
    if context.caller.token is None and ask.visit.navigation:
        return connect_page(ask, None, connected=False, provider=here)
    user, connected = _look(context, ask)
    if ask.visit.navigation:
        return connect_page(ask, user, connected=connected, provider=here)
    # For the page's script, where the server could not know who opened the page.
    return json_reply(200, {"account": account(user), "user": user.id, "connected": connected})


def _connect(context: Context, ask: Ask) -> Reply:
    user = admit(context)
    if not ask.is_of(user):
        return other_user(ask)
    # A script's own token, in a header that no other site can send: only then a script gets to see the URL.
    script = bool(ask.visit.incoming.all("authorization")) and "json" in (ask.visit.incoming.one("accept") or "")
    try:
        url = Secret(Base44._for(context).connectors.connect_app_user(ask.connector))
    except AlreadyConnectedError:
        return json_reply(200, {"redirect_url": None, "connected": True}) if script else already_connected(ask)
    except NotFoundError as error:
        problem = error.message
    else:
        return json_reply(200, {"redirect_url": url.reveal()}) if script else to_provider(url)
    logger.error("The platform does not know the connector %r (app_user_connectors): %r", ask.connector, problem)
    return told(NOT_SET_UP, ask.visit)


def _status(context: Context, ask: Ask) -> Reply:
    user = admit(context)
    if not ask.is_of(user):
        return other_user(ask)
    key = status_key(context.caller, user, ask.connector)
    statuses, asked = context.engine.statuses, time.monotonic()
    said = statuses.recall(key)
    if said is None:

        def look() -> bool | Base44Error:
            outcome: bool | Base44Error
            try:
                outcome = (_look(context, ask))[1]
            except Base44Error as error:
                outcome = error.again()
            statuses.remember(key, outcome, asked=asked)
            return outcome

        said = together(context, key, look, end=asked + context.engine.settings.timeout)
    if isinstance(said, Base44Error):
        raise said.again()
    return json_reply(200, {"connected": said})


def _disconnect(context: Context, ask: Ask) -> Reply:
    user = admit(context)
    if not ask.is_of(user):
        return other_user(ask)
    found = True
    try:
        Base44._for(context).connectors.disconnect_app_user(ask.connector)
    except NotFoundError:
        found = False
    finally:
        context.engine.statuses.forget(status_key(context.caller, user, ask.connector))
    # Nothing was connected; or the platform means something else by its 404. Only the token route tells.
    if not found and (_look(context, ask))[1]:
        logger.error("The platform did not disconnect %r: it says 404, and gives its token.", ask.connector)
        return told(STILL_CONNECTED, ask.visit, {"Retry-After": "5"})
    if ask.visit.navigation:
        page, after = ask.visit.links.path("connect", ask.connector) or ask.visit.home, ask.next()
        return back(page if after == ask.visit.home else f"{page}?next={quote(after, safe='/')}")
    return json_reply(200, {"connected": False})


def _session(context: Context, ask: Ask) -> Reply:
    require_same_origin(context.incoming, context.engine.settings)
    tokens = [Secret(token) for token in ask.form.get("token", [])]
    if len(tokens) != 1 or len(tokens[0].reveal()) > MAX_TOKEN_LENGTH or not is_bearer_token(tokens[0].reveal()):
        return told(NO_TOKEN_IN_BODY, ask.visit)
    caller = caller_with(context.incoming, context.engine.settings, tokens[0])
    admit(context.for_caller(caller))
    assert context.engine.seal is not None
    cookie = context.engine.seal.set_cookie(tokens[0], caller.app_id)
    if ask.visit.navigation:
        return back(ask.next(), cookie)
    return json_reply(200, {"signed_in": True}, {"Set-Cookie": cookie})


def _logout(context: Context, ask: Ask) -> Reply:
    require_same_origin(context.incoming, context.engine.settings)
    if ask.visit.navigation:
        return back(ask.next(), clear_cookie())
    return json_reply(200, {"signed_in": False}, {"Set-Cookie": clear_cookie()})
