"""Whose request it is, and whether a relay has signed it: known before Flask sees it, its body read first."""

from __future__ import annotations

from io import BytesIO
from typing import Any

from werkzeug.wsgi import get_input_stream

from .._core.engine.apps import Engines
from .._core.engine.engine import Engine
from .._core.incoming.signature import signed_paths
from .request import full_path, incoming_of


def find_engine(environ: dict[str, Any], engines: Engines, application_root: str) -> Engine:
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
    mount = environ.get("SCRIPT_NAME", "").encode("latin-1").decode("utf-8", "replace")
    if not mount:  # Flask's own word for a prefix that a proxy takes away, without any effect on requests
        mount = application_root.rstrip("/")
        path = mount + path
    check.check(incoming, paths=signed_paths(path, mount), query=environ.get("QUERY_STRING", ""), body=body)
    return engine


def _read(stream: Any, size: int) -> bytes:
    """So many bytes, or all: a raw stream gives fewer at a time."""
    body = bytearray()
    while len(body) < size and (chunk := stream.read(size - len(body))):
        body += chunk
    return bytes(body)
