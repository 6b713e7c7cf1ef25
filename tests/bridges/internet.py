"""The providers' own addresses, over TLS on this machine: real libraries run unchanged, and reach nothing else.

Their names lead to one local server, whose certificate the libraries are told to trust. It takes the tokens that the
emulator's platform gives, as long as they live.
"""

from __future__ import annotations

import base64
import gzip
import json
import os
import socket
import ssl
import tempfile
import threading
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple, Self
from unittest.mock import patch
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from base44_web.testing import Emulator

ANSWERS: dict[str, Any] = {
    "GET www.googleapis.com/calendar/v3/calendars/primary/events": {"items": [{"summary": "Stand-up"}]},
    "GET sheets.googleapis.com/v4/spreadsheets/budget": {
        "spreadsheetId": "budget",
        "properties": {"title": "Budget"},
        "sheets": [{"properties": {"sheetId": 0, "title": "Sheet1", "index": 0, "gridProperties": {}}}],
    },
    "POST www.googleapis.com/upload": {"uploaded": True},
    "GET example.my.salesforce.com/services/data/v59.0/query/": {"totalSize": 1, "records": [{"Name": "Ada"}]},
    "GET api.github.com/user": {"login": "ada", "id": 1, "type": "User", "url": "https://api.github.com/users/ada"},
    "GET api.notion.com/v1/users/me": {"object": "user", "name": "Ada"},
    "GET graph.microsoft.com/v1.0/me": {"displayName": "Ada"},
    "GET management.azure.com/subscriptions": {"value": [{"displayName": "Ada"}]},
    "POST slack.com/api/auth.test": {"ok": True, "team": "Example"},
    "GET api.hubapi.com/crm/v3/objects/contacts": {"results": [{"id": "1", "properties": {"firstname": "Ada"}}]},
    "GET api.airtable.com/v0/meta/whoami": {"id": "usrAda"},
    "GET example.cloud.databricks.com/api/2.0/preview/scim/v2/Me": {"userName": "ada"},
    "POST api.dropboxapi.com/2/users/get_space_usage": {
        "used": 7,
        "allocation": {".tag": "individual", "allocated": 10},
    },
    "GET gitlab.com/api/v4/user": {"id": 1, "username": "ada"},
    "POST api.linear.app/graphql": {"data": {"viewer": {"name": "Ada"}}},
    "GET discord.com/api/v10/users/@me": {"id": "1", "username": "ada"},
    "POST example.snowflakecomputing.com/session/v1/login-request": {
        "success": True,
        "data": {"token": "session", "masterToken": "master", "sessionId": 1, "parameters": [], "sessionInfo": {}},
    },
    "POST example.snowflakecomputing.com/queries/v1/query-request": {
        "success": True,
        "data": {
            "queryId": "1",
            "queryResultFormat": "json",
            "rowtype": [{"name": "N", "type": "fixed", "scale": 0, "precision": 9, "nullable": False}],
            "rowset": [["7"]],
            "total": 1,
            "returned": 1,
            "statementTypeId": 4096,
            "parameters": [],
        },
    },
    "POST example.snowflakecomputing.com/telemetry/send": {"success": True},
    "POST example.snowflakecomputing.com/session": {"success": True},
    "GET elsewhere.example/": {},
}  # fmt: skip
HOSTS = sorted({key.split()[1].partition("/")[0] for key in ANSWERS})
_STAND_IN = "127.99.0.1"
_CHALLENGE = base64.b64encode(b'{"access_token":{"nbf":{"essential":true}}}').decode()


class Sent(NamedTuple):
    """What the providers were sent."""

    method: str
    url: str
    token: str
    body: bytes
    cookie: str


class Internet:
    """While its `with` block lasts, the providers are on this machine, and no other host has an address.

    Attributes:
        sent: all requests, oldest first.
        refuses: whether every token is refused.
        redirects: paths, and where they lead.
        headers: what every answer has beside the usual.
        plain_port: where Snowflake is without TLS, for its client looks up addresses and trusts in its own way.
    """

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator
        self._stack = ExitStack()
        self.sent: list[Sent] = []
        self.refuses = False
        self.redirects: dict[str, str] = {}
        self.headers: dict[str, str] = {}

    def __enter__(self) -> Self:
        context, authority = _certificate()
        port, self.plain_port = self._serve(context), self._serve(None)
        clean = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
        trusted = dict.fromkeys(("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "HTTPLIB2_CA_CERTS"), authority)
        self._stack.enter_context(patch.dict(os.environ, {**clean, **trusted}, clear=True))
        self._stack.enter_context(patch.object(socket, "getaddrinfo", _addresses()))
        self._stack.enter_context(patch.object(socket.socket, "connect", _connect(port)))
        return self

    def _serve(self, context: ssl.SSLContext | None) -> int:
        server = self._stack.enter_context(_Server(self, context))
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        self._stack.callback(thread.join)
        self._stack.callback(server.shutdown)
        return server.server_port

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    def answer(self, method: str, host: str, target: str, token: str) -> tuple[int, dict[str, str], Any]:
        path = urlsplit(target).path
        if path in self.redirects:
            return 307, {"Location": self.redirects[path]}, {}
        if host == "example.snowflakecomputing.com" and not token:  # after its sign-in it has tokens of its own
            return 200, {}, ANSWERS.get(f"{method} {host}{path}", {"success": True})
        live = self._emulator._state.one("SELECT 1 FROM connections WHERE token = ?", token)
        if self.refuses or live is None:
            if host == "slack.com":
                return 200, {}, {"ok": False, "error": "token_expired"}
            challenge = f'Bearer realm="", error="insufficient_claims", claims="{_CHALLENGE}"'
            error = {"message": "Bad credentials", "code": "unauthorized", "object": "error", "status": 401}
            if host == "example.my.salesforce.com":
                return 401, {}, [{"errorCode": "INVALID_SESSION_ID", "message": "Session expired or invalid"}]
            if host == "example.snowflakecomputing.com":
                return 200, {}, {"success": False, "code": "390303", "message": "Invalid OAuth access token."}
            if host == "api.dropboxapi.com":
                return 401, {}, {"error_summary": "expired_access_token/", "error": {".tag": "expired_access_token"}}
            if host.endswith("googleapis.com"):
                return 401, {}, {"error": {"code": 401, "message": "Invalid Credentials", "status": "UNAUTHENTICATED"}}
            return 401, {"WWW-Authenticate": challenge} if host in _CHALLENGERS else {}, error
        found = ANSWERS.get(f"{method} {host}{path}")
        return (404, {}, {"message": f"{method} {host}{path}"}) if found is None else (200, {}, found)


_CHALLENGERS = ("graph.microsoft.com", "management.azure.com")


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, internet: Internet, context: ssl.SSLContext | None) -> None:
        self.internet, self.context = internet, context
        super().__init__(("127.0.0.1", 0), _Handler)

    def finish_request(self, request: Any, client_address: Any) -> None:
        if self.context is None:
            super().finish_request(request, client_address)
            return
        try:
            with self.context.wrap_socket(request, server_side=True) as secure:
                super().finish_request(secure, client_address)
        except OSError:
            pass  # who does not trust the certificate, or went away

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def _answer(self) -> None:
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        internet = self.server.internet  # type: ignore[attr-defined]
        host = self.headers["Host"].partition(":")[0]
        token = self.headers.get("Authorization", "").rpartition(" ")[2]
        if host == "127.0.0.1":
            host = "example.snowflakecomputing.com"
            token = json.loads(body or b"{}").get("data", {}).get("TOKEN", "") if "login-request" in self.path else ""
        cookie = self.headers.get("Cookie", "")
        internet.sent.append(Sent(self.command, f"https://{host}{self.path}", token, body, cookie))
        status, headers, found = internet.answer(self.command, host, self.path, token)
        content = json.dumps(found).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **headers, **internet.headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _answer

    def log_message(self, *args: object) -> None:
        pass


def _addresses() -> Callable[..., Any]:
    real = socket.getaddrinfo

    def addresses(host: Any, *args: Any, **options: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if name in HOSTS:
            return real(_STAND_IN, *args, **options)
        if name in (None, "localhost", "127.0.0.1", "::1", _STAND_IN):
            return real(host, *args, **options)
        raise socket.gaierror(f"{name} is not on this machine")

    return addresses


def _connect(port: int) -> Callable[..., Any]:
    # Some libraries connect to the first address and the port that they have in mind, httplib2 to a name.
    real = socket.socket.connect

    def connect(self: socket.socket, address: Any) -> None:
        ours = isinstance(address, tuple) and (address[0] == _STAND_IN or address[0] in HOSTS)
        real(self, ("127.0.0.1", port) if ours else address)

    return connect


@cache
def _certificate() -> tuple[ssl.SSLContext, str]:
    """One for all hosts, and the file of who signed it."""
    folder = Path(tempfile.mkdtemp())
    now, days = datetime.now(UTC), timedelta(days=2)

    def sign(name: str, key: Any, issuer: str, issuer_key: Any, extensions: list[Any]) -> x509.Certificate:
        names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, each)]) for each in (name, issuer)]
        builder = x509.CertificateBuilder().subject_name(names[0]).issuer_name(names[1]).public_key(key.public_key())
        builder = builder.serial_number(x509.random_serial_number()).not_valid_before(now - days)
        builder = builder.not_valid_after(now + days)
        own = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        its = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key())
        for extension, critical in [(own, False), (its, False), *extensions]:
            builder = builder.add_extension(extension, critical)
        return builder.sign(issuer_key, hashes.SHA256())

    def usage(**named: bool) -> x509.KeyUsage:
        every = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
                 "key_cert_sign", "crl_sign", "encipher_only", "decipher_only")  # fmt: skip
        return x509.KeyUsage(**{**dict.fromkeys(every, False), **named})

    authority_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    signs = [(x509.BasicConstraints(ca=True, path_length=0), True), (usage(key_cert_sign=True), True)]
    authority = sign("tests", authority_key, "tests", authority_key, signs)
    serves = [
        (x509.BasicConstraints(ca=False, path_length=None), True), (usage(digital_signature=True), True),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False),
        (x509.SubjectAlternativeName([x509.DNSName(host) for host in HOSTS]), False),
    ]  # fmt: skip
    certificate = sign("providers", key, "tests", authority_key, serves)
    pem = serialization.Encoding.PEM
    plain = (pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "authority.pem").write_bytes(authority.public_bytes(pem))
    (folder / "server.pem").write_bytes(key.private_bytes(*plain) + certificate.public_bytes(pem))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "server.pem")
    return context, str(folder / "authority.pem")
