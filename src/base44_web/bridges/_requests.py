"""The connection's token in requests."""

from __future__ import annotations

from functools import partial
from typing import Any, final

from requests import PreparedRequest, Response
from requests.auth import AuthBase
from requests.cookies import extract_cookies_to_jar

from .._core.provider_auth import NewestToken, Record
from .._core.secret import Opaque


@final
class RequestsAuth(Opaque, AuthBase):
    """See `requests_auth`. Safe among threads: what belongs to one request is in its hook."""

    def __init__(self, newest: NewestToken) -> None:
        self._newest = newest

    def __call__(self, r: PreparedRequest) -> PreparedRequest:
        used = self._newest.authorize(r)
        r.register_hook("response", partial(self._answered, used=used, position=_position(r.body)))
        return r

    def _answered(self, response: Response, *, used: Record, position: int | None, **options: Any) -> Response:
        if not self._newest.is_refused(used, response) or not self._newest.is_renewed(used):
            return response
        if not _put_back(response.request.body, position):
            return response
        # As requests' own HTTPDigestAuth: the connection goes back to the pool, cookies and history are kept.
        _ = response.content
        response.close()
        again = response.request.copy()
        jar: Any = again._cookies
        extract_cookies_to_jar(jar, response.request, response.raw)
        again.prepare_cookies(jar)
        self._newest.authorize(again)
        second: Response = response.connection.send(again, **options)
        second.history.append(response)
        second.request = again
        return second


def _position(body: Any) -> int | None:
    """Where a file is that will be sent from there."""
    try:
        found: int = body.tell()
    except (AttributeError, OSError):  # no file, or one that cannot be put back
        return None
    return found


def _put_back(body: Any, position: int | None) -> bool:
    if body is None or isinstance(body, str | bytes):
        return True
    if position is None:
        return False  # a generator, whose items are gone
    try:
        body.seek(position)
    except (AttributeError, OSError, ValueError):
        return False
    return True
