"""The redirect views. Adapters turn a request into an `Ask`, and the `Reply` into a response."""

from __future__ import annotations

import logging
from dataclasses import replace
from urllib.parse import quote

from ...errors import AlreadyConnectedError, Base44Error, ConfigurationError, NotConnectedError, NotFoundError
from ..claims import Token
from ..connections.statuses import status_key
from ..engine.context import Context
from ..engine.endings import connect, disconnect
from ..fields import is_bearer_token
from ..guards.admit import check
from ..incoming.bearer import MAX_TOKEN_LENGTH
from ..incoming.cookies import require_same_origin
from ..incoming.read import caller_with
from ..incoming.session import clear_cookie
from ..platform.io import IO
from ..platform.perform import fly
from ..replies.refuse import reply_to, tell
from ..replies.reply import Reply, json_reply
from ..replies.situations import NO_TOKEN_IN_BODY, NOT_SET_UP, STILL_CONNECTED
from ..secret import Secret
from ..values import AppUser
from .pages import account, already_connected, back, connect_page, other_user, to_provider
from .routes import ViewRequest, refuse_early

logger = logging.getLogger("base44_web")


async def answer(io: IO, context: Context, asked: ViewRequest) -> Reply:
    """Answer for a view. Errors are answered as a guard answers them; always in our format, which our script reads."""
    return replace(await _answer(io, context, asked), refusal=None)


async def _answer(io: IO, context: Context, asked: ViewRequest) -> Reply:
    early = refuse_early(asked)
    if early is not None:
        return early
    try:
        match asked.view.name, asked.method:
            case "connect", "GET":
                return await _connect_page(io, context, asked)
            case "connect", _:
                return await _connect(io, context, asked)
            case "status", _:
                return await _status(io, context, asked)
            case "disconnect", _:
                return await _disconnect(io, context, asked)
            case "session", _:
                return await _session(io, context, asked)
            case _:
                return _logout(context, asked)
    except (Base44Error, ConfigurationError) as error:
        reply = reply_to(error, asked.visit, guarded=True)
        assert reply is not None
        return reply


async def _look(io: IO, context: Context, asked: ViewRequest) -> tuple[AppUser, bool]:
    """Who is asking, and whether they are connected: the token route's 404 is the only "no"."""
    try:
        return await check(io, context, (asked.connector,), fresh=True), True
    except NotConnectedError:
        return await check(io, context), False


async def _connect_page(io: IO, context: Context, asked: ViewRequest) -> Reply:
    here = context.caller.user_url if context.caller.user_url.startswith("http:") else ""
    if context.caller.token is None and asked.visit.navigation:
        return connect_page(asked, None, connected=False, provider=here)
    user, connected = await _look(io, context, asked)
    if asked.visit.navigation:
        return connect_page(asked, user, connected=connected, provider=here)
    # For the page's script, where the server could not know who opened the page.
    return json_reply(200, {"account": account(user), "user": user.id, "connected": connected})


async def _connect(io: IO, context: Context, asked: ViewRequest) -> Reply:
    user = await check(io, context)
    if not asked.is_of(user):
        return other_user(asked)
    # A script's own token, in a header that no other site can send: only then a script gets to see the URL.
    script = bool(asked.visit.incoming.all("authorization")) and "json" in (asked.visit.incoming.one("accept") or "")
    try:
        connector_id = context.engine.settings.connector_id(asked.connector)
        url = await connect(io, context, connector_id)
    except AlreadyConnectedError:
        return json_reply(200, {"redirect_url": None, "connected": True}) if script else already_connected(asked)
    except NotFoundError as error:
        problem = error.message
    else:
        return json_reply(200, {"redirect_url": url.reveal()}) if script else to_provider(url)
    logger.error(
        "The platform does not know the connector %r (app_user_connectors): %r",
        asked.connector,
        problem,
        extra={"base44_event": "connector_not_set_up", "base44_connector": asked.connector},
    )
    return tell(NOT_SET_UP, asked.visit)


async def _status(io: IO, context: Context, asked: ViewRequest) -> Reply:
    user = await check(io, context)
    if not asked.is_of(user):
        return other_user(asked)
    key = status_key(context.caller, user, asked.connector)
    statuses, begun = context.engine.statuses, context.engine.platform.clock.monotonic()
    said = statuses.get(key)
    if said is None:

        async def look() -> bool | Base44Error:
            outcome: bool | Base44Error
            try:
                outcome = (await _look(io, context, asked))[1]
            except Base44Error as error:
                if error.about_visitor:
                    raise  # about this session: the user's others ask for themselves
                outcome = error.small()
            statuses.put(key, outcome, asked=begun)
            return outcome

        end = begun + context.engine.settings.timeout
        said = await fly(io, context.engine.platform, key, look, end=end)
    if isinstance(said, Base44Error):
        raise said.again()
    return json_reply(200, {"connected": said})


async def _disconnect(io: IO, context: Context, asked: ViewRequest) -> Reply:
    user = await check(io, context)
    if not asked.is_of(user):
        return other_user(asked)
    found = True
    try:
        connector_id = context.engine.settings.connector_id(asked.connector)
        await disconnect(io, context, connector_id)
    except NotFoundError:
        found = False
    finally:
        context.engine.statuses.end(status_key(context.caller, user, asked.connector))
    # Nothing was connected; or the platform means something else by its 404. Only the token route tells.
    if not found and (await _look(io, context, asked))[1]:
        logger.error(
            "The platform did not disconnect %r: it says 404, and gives its token.",
            asked.connector,
            extra={"base44_event": "still_connected", "base44_connector": asked.connector},
        )
        return tell(STILL_CONNECTED, asked.visit, {"Retry-After": "5"})
    if asked.visit.navigation:
        page, after = asked.visit.links.path("connect", asked.connector) or asked.visit.home, asked.next()
        return back(page if after == asked.visit.home else f"{page}?next={quote(after, safe='/')}")
    return json_reply(200, {"connected": False})


async def _session(io: IO, context: Context, asked: ViewRequest) -> Reply:
    require_same_origin(context.incoming, context.engine.settings)
    tokens = [Secret(token) for token in asked.form.get("token", [])]
    if len(tokens) != 1 or len(tokens[0].reveal()) > MAX_TOKEN_LENGTH or not is_bearer_token(tokens[0].reveal()):
        return tell(NO_TOKEN_IN_BODY, asked.visit)
    token = Token(tokens[0])
    caller = caller_with(context.incoming, context.engine.settings, token)
    await check(io, context.for_caller(caller))
    assert context.engine.seal is not None
    cookie = context.engine.seal.set_cookie(token, caller.app_id)
    if asked.visit.navigation:
        return back(asked.next(), cookie)
    return json_reply(200, {"signed_in": True}, {"Set-Cookie": cookie})


def _logout(context: Context, asked: ViewRequest) -> Reply:
    require_same_origin(context.incoming, context.engine.settings)
    if asked.visit.navigation:
        return back(asked.next(), clear_cookie())
    return json_reply(200, {"signed_in": False}, {"Set-Cookie": clear_cookie()})
