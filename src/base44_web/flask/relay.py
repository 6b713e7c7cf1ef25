"""Relayed requests under WSGI: checked before Flask sees them, their body read first."""

from __future__ import annotations

from io import BytesIO
from typing import Any, Final, cast

from flask import Flask, Response
from werkzeug.wsgi import get_input_stream

from .._core.engine.apps import Engines
from .._core.incoming.signature import signed_paths
from .._core.replies.refuse import early_reply
from ..errors import Base44Error
from .request import full_path, incoming_of

ENGINE: Final = "base44_web.engine"


def find_engines(app: Flask, engines: Engines) -> None:
    """Wrap `wsgi_app`: a request of no app known, or one that is refused, reaches nothing of Flask."""
    inner = app.wsgi_app

    def wsgi_app(environ: Any, start_response: Any) -> Any:
        try:
            refused = _refusal(app, environ, engines)
        except Base44Error as error:
            if not error.about_visitor:
                raise
            refused = error
        if refused is None:
            return inner(environ, start_response)
        reply = early_reply(refused)
        return Response(reply.body, reply.status, dict(reply.headers))(environ, start_response)

    app.wsgi_app = wsgi_app  # type: ignore[method-assign]


def _refusal(app: Flask, environ: dict[str, Any], engines: Engines) -> Base44Error | None:
    """Find the request's engine, and say why the request is refused, if so. Its body stays readable."""
    incoming, path = incoming_of(environ), full_path(environ)
    engine = environ[ENGINE] = engines.find(incoming, path)
    check = engine.signature_check
    if check is None or check.is_bare(incoming):
        return None
    body = _read(get_input_stream(environ), check.max_body + 1)
    environ["wsgi.input"] = BytesIO(body)
    environ["CONTENT_LENGTH"] = str(len(body))
    mount = environ.get("SCRIPT_NAME", "").encode("latin-1").decode("utf-8", "replace")
    if not mount:  # Flask's own word for a prefix that a proxy takes away, without any effect on requests
        mount = cast(str, app.config["APPLICATION_ROOT"]).rstrip("/")
        path = mount + path
    return check.check(incoming, paths=signed_paths(path, mount), query=environ.get("QUERY_STRING", ""), body=body)


def _read(stream: Any, size: int) -> bytes:
    """So many bytes, or all: a raw stream gives fewer at a time."""
    body = bytearray()
    while len(body) < size and (chunk := stream.read(size - len(body))):
        body += chunk
    return bytes(body)
