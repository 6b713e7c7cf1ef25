"""CGI variables (a WSGI environ, Django's `META`) as what the core reads; PEP 3333 defines the names."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any, Final

from .request import HEADERS, STRIPPED, Incoming

TRUST_UNDER_WSGI: Final = (
    'platform_headers="trust" under WSGI: servers do not tell Base44_State from Base44-State, so the proxy before this '
    "server must drop both forms of every platform header that a visitor sends."
)
_VARIABLES = {f"HTTP_{name.upper().replace('-', '_')}": name for name in HEADERS}
_STRIPPED = frozenset(variable for variable, name in _VARIABLES.items() if name in STRIPPED)


def read_environ(environ: MutableMapping[str, Any], *, secure: bool, host: str | None = None) -> Incoming:
    """What came in. Servers join repeated headers with commas, which no single value may hold."""
    found = [(name, environ[variable]) for variable, name in _VARIABLES.items() if variable in environ]
    websocket = environ.get("HTTP_UPGRADE", "").lower() == "websocket"
    return Incoming(environ["REQUEST_METHOD"], found, secure=secure, websocket=websocket, host=host, joined=True)


def strip_environ(environ: MutableMapping[str, Any]) -> None:
    """Remove, in place, what no error page may show."""
    for variable in _STRIPPED:
        environ.pop(variable, None)
