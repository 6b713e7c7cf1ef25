"""`request.base44` in Flask's terms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from flask import Request as FlaskRequest
from flask import has_request_context
from flask import request as flask_request
from werkzeug.local import LocalProxy

from .._core.client._sync import Base44
from .._core.engine.context import Context
from .._core.incoming.environ import read_environ, strip_environ
from .._core.incoming.request import Incoming
from ..errors import MiddlewareMissingError


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


def context_of_request() -> Context:
    """The context of the current request. Raises as `get_base44`."""
    return get_base44()._context


def incoming_of(environ: dict[str, Any]) -> Incoming:
    """What came in."""
    return read_environ(environ, secure=environ["wsgi.url_scheme"] == "https")


def strip_platform_headers(environ: dict[str, Any]) -> Incoming:
    """What came in, and what no error page may show removed."""
    incoming = incoming_of(environ)
    strip_environ(environ)
    return incoming


def full_path(environ: dict[str, Any]) -> str:
    """A request's decoded path, with the mount: what a relay signs, and what an answer leads back to."""
    path: str = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
    return path.encode("latin-1").decode("utf-8", "replace")
