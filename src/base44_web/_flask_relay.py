"""Relayed requests under WSGI: judged before Flask sees them, their body read first."""

from __future__ import annotations

from io import BytesIO
from typing import Any, Final

from flask import Flask, Response
from werkzeug.wsgi import get_input_stream

from ._flask_request import incoming_of
from ._replies import Reply
from ._resolver import Engines

ENGINE: Final = "base44_web.engine"


def judge_requests(app: Flask, engines: Engines) -> None:
    """Wrap `wsgi_app`: a request of no app known, or one that is refused, reaches nothing of Flask."""
    inner = app.wsgi_app

    def wsgi_app(environ: Any, start_response: Any) -> Any:
        incoming = incoming_of(environ)
        path = (
            (environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")).encode("latin-1").decode("utf-8", "replace")
        )
        engine = engines.find(incoming, path)
        if isinstance(engine, Reply):
            return _plain(engine)(environ, start_response)
        environ[ENGINE], relay = engine, engine.relay
        if relay is None or relay.is_bare(incoming):
            return inner(environ, start_response)
        body = _read(get_input_stream(environ), relay.max_body + 1)
        refused = relay.check(incoming, path=path, query=environ.get("QUERY_STRING", ""), body=body)
        if refused is not None:
            return _plain(refused)(environ, start_response)
        environ["wsgi.input"] = BytesIO(body)
        environ["CONTENT_LENGTH"] = str(len(body))
        return inner(environ, start_response)

    app.wsgi_app = wsgi_app  # type: ignore[method-assign]


def _read(stream: Any, size: int) -> bytes:
    """So many bytes, or all: a raw stream gives fewer at a time."""
    body = bytearray()
    while len(body) < size and (chunk := stream.read(size - len(body))):
        body += chunk
    return bytes(body)


def _plain(reply: Reply) -> Response:
    return Response(reply.body, reply.status, dict(reply.headers))
