"""`request.base44` in Flask's terms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from flask import Request as FlaskRequest
from flask import has_request_context
from flask import request as flask_request
from werkzeug.local import LocalProxy

from ._environ import read_environ, take_out
from ._incoming import Incoming
from ._sync.client import Base44
from .errors import MiddlewareMissingError


class Request(FlaskRequest):
    """Flask's request, as the extension leaves it; for annotations."""

    if TYPE_CHECKING:
        base44: Base44
        """The client for this request's app user; `.aio` in async views."""


request = cast(Request, flask_request)
"""Flask's own `request`, typed with `base44`."""


def get_base44(request: FlaskRequest | None = None) -> Base44:
    """The client for a request's app user; by default of the current request.

    Raises:
        MiddlewareMissingError: the app has no `Base44Extension`.
        RuntimeError: outside of a request.
    """
    if request is None and not has_request_context():
        raise RuntimeError(
            "base44 belongs to a request. In a command or a worker, use base44_web.Base44 as a context manager."
        )
    try:
        return cast(Request, request or flask_request).base44
    except MiddlewareMissingError:
        raise
    except AttributeError:
        raise MiddlewareMissingError(
            "request.base44 is not there: set up base44_web.flask.Base44Extension for this app."
        ) from None


current_base44 = cast(Base44, LocalProxy(get_base44))
"""The client for the current request's app user."""


def incoming_of(environ: dict[str, Any]) -> Incoming:
    return read_environ(environ, secure=environ["wsgi.url_scheme"] == "https")


def take_out_of_environ(environ: dict[str, Any]) -> Incoming:
    incoming = incoming_of(environ)
    take_out(environ)
    return incoming
