"""Relayed requests under WSGI: judged before Flask sees them, their body read first."""

from __future__ import annotations

from io import BytesIO
from typing import Any

from flask import Flask, Response
from werkzeug.wsgi import get_input_stream

from ._flask_request import incoming_of
from ._relay import Relay


def judge_requests(app: Flask, relay: Relay) -> None:
    """Wrap `wsgi_app`: a request that is refused reaches nothing of the app."""
    inner = app.wsgi_app

    def wsgi_app(environ: Any, start_response: Any) -> Any:
        incoming = incoming_of(environ)
        if relay.is_bare(incoming):
            return inner(environ, start_response)
        body = get_input_stream(environ).read(relay.max_body + 1)
        path = (
            (environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")).encode("latin-1").decode("utf-8", "replace")
        )
        refused = relay.check(incoming, path=path, query=environ.get("QUERY_STRING", ""), body=body)
        if refused is not None:
            return Response(refused.body, refused.status, dict(refused.headers))(environ, start_response)
        environ["wsgi.input"] = BytesIO(body)
        environ["CONTENT_LENGTH"] = str(len(body))
        return inner(environ, start_response)

    app.wsgi_app = wsgi_app  # type: ignore[method-assign]
