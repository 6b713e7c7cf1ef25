"""The platform's own request headers, where they are trusted."""

from __future__ import annotations

import logging
import re

from ...errors import BadRequestError
from ..claims import Token
from ..config import Settings
from ..fields import is_app_id
from ..seldom import Seldom, how_often
from ..urls import parse_origin
from .bearer import checked, parse_bearer
from .caller import Caller, DataEnv, bad_request, configured_caller
from .request import API_URL, APP_ID, DATA_ENV, SERVICE, STATE, Incoming

_STATE = re.compile(r"[ -~]+")
_OTHER_APP = Seldom(60)
logger = logging.getLogger("base44_web")


def trusted_caller(incoming: Incoming, settings: Settings, token: Token | None) -> Caller:
    """A caller whom trusted platform headers describe; app, server and service token are theirs, as a set.

    Raises:
        BadRequestError: the headers make no sense or contradict the settings.
    """
    for name in (APP_ID, API_URL, SERVICE, STATE):
        if len(incoming.all(name)) > 1:
            raise bad_request(f"The request has more than one {name} header.", code="duplicate_header")
    state = next((value for value in incoming.all(STATE) if value.reveal()), None)
    if incoming.joined and any("," in value.reveal() for value in incoming.all(STATE)):
        raise bad_request(
            "The request has more than one Base44-State header, or one with a comma, which WSGI cannot tell apart.",
            code="duplicate_header",
        )
    if state is not None and not _STATE.fullmatch(state.reveal()):
        raise bad_request("The Base44-State header has characters that cannot be sent on.", code="bad_state")
    env = incoming.one(DATA_ENV)
    data_env: DataEnv | None = "dev" if env == "dev" else "prod" if env == "prod" else None
    if not any(incoming.all(name) for name in (APP_ID, API_URL, SERVICE)):
        return configured_caller(settings, token, state=state, data_env=data_env)
    app_id = _header_app_id(incoming.one(APP_ID), settings)
    services = incoming.all(SERVICE)
    return Caller(
        app_id=app_id,
        server_url=_header_server(incoming.one(API_URL), settings),
        user_url=settings.app_url or _header_server(incoming.one(API_URL), settings),
        token=token,
        service_token=checked(
            parse_bearer(services, "Base44-Service-Authorization") if services else None,
            BadRequestError,
            "malformed_service_authorization",
        ),
        state=state,
        data_env=data_env,
    )


def _header_app_id(value: str | None, settings: Settings) -> str:
    if not value:
        raise bad_request("The request has platform headers, but no Base44-App-Id.", code="app_id_missing")
    if not is_app_id(value):
        raise bad_request("The Base44-App-Id header is not an app ID.", code="app_id_mismatch")
    if value != settings.app_id and (settings.app_id is not None or value not in settings.allowed_app_ids):
        _note_other_app(value, settings)
        raise bad_request(
            "The Base44-App-Id header names another app than this server is set up for "
            "(app_id, BASE44_APP_ID; or allowed_app_ids, BASE44_ALLOWED_APP_IDS).",
            code="app_id_mismatch",
        )
    return value


def _note_other_app(value: str, settings: Settings) -> None:
    """For the operator: where every request is refused so, it is not the visitors who are wrong."""
    times = _OTHER_APP.happened()
    if times:
        logger.warning(
            "A request's Base44-App-Id is %r, and this server is %s's%s. If every request "
            "is refused, check app_id (BASE44_APP_ID) or allowed_app_ids.",
            value,
            settings.app_id or ", ".join(settings.allowed_app_ids),
            how_often(times),
            extra={"base44_event": "app_id_mismatch", "base44_times": times},
        )


def _header_server(value: str | None, settings: Settings) -> str:
    if not value:
        return settings.server_url
    try:
        origin = parse_origin(value)
    except ValueError:
        origin = None
    if origin is None or origin not in settings.allowed_api_urls:
        raise bad_request(
            "The Base44-Api-Url header names a server that is not among allowed_api_urls (BASE44_ALLOWED_API_URLS).",
            code="api_url_not_allowed",
        )
    return origin
