"""Whose request it is, and whether a relay has signed it: known before Flask sees it, its body read first."""

from __future__ import annotations

from io import BytesIO
from typing import Any

from werkzeug.wsgi import get_input_stream

from .._core.engine.apps import Engines
from .._core.engine.engine import Engine
from .request import full_path, incoming_of


def find_engine(environ: dict[str, Any], engines: Engines) -> Engine:
    """The engine of a request, whose signature is checked where it must have one. Its body stays readable.

    Raises:
        Base44Error: it is of no app, or refused.
    """
    incoming, path = incoming_of(environ), full_path(environ)
    engine = engines.find(incoming, path)
    check = engine.signature_check
    if check is None or check.is_bare(incoming):
        return engine
    check.check_headers(incoming)
    body = _read(get_input_stream(environ), check.max_body + 1)
    environ["wsgi.input"] = BytesIO(body)
    environ["CONTENT_LENGTH"] = str(len(body))
    check.check(incoming, path=path, query=environ.get("QUERY_STRING", ""), body=body)
    return engine


def _read(stream: Any, size: int) -> bytes:
    """So many bytes, or all: a raw stream gives fewer at a time."""
    body = bytearray()
    while len(body) < size and (chunk := stream.read(size - len(body))):
        body += chunk
    return bytes(body)
