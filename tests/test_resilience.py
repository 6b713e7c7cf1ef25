"""A platform that drops connections, fails, is slow, limits, or lies: what is tried again, when, and for how long."""

from __future__ import annotations

import asyncio
import datetime
import ssl
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from base44_web import Base44, ConfigurationError, RequestFailedError, Settings, TransportError
from base44_web._core.platform.retries import pause_before
from base44_web.errors import InvalidResponseError, RateLimitError, RequestTimeoutError, ServerError
from base44_web.testing import CALENDAR_ID, Emulator, Fault
from tests.drivers import Driver, encode_call


@pytest.fixture
def settings(emulator: Emulator, platform: str) -> Settings:
    return Settings(
        app_id=emulator.app_id,
        server_url=platform,
        service_token=emulator.service_token,
        app_user_connectors={"calendar": CALENDAR_ID},
        max_retries=2,
        timeout=3,
    )


PASSING = {
    "a dropped connection": Fault(drop="before"),
    "dropped in the middle": Fault(drop="during"),
    "500": Fault(status=500),
    "502": Fault(status=502, body=b"<html>Bad gateway"),
    "503": Fault(status=503),
    "503 with Retry-After": Fault(status=503, headers={"Retry-After": "0"}),
    "504": Fault(status=504),
    "429": Fault(status=429),
    "no HTTP": Fault(raw=b"?"),
}


@pytest.mark.parametrize("name", PASSING)
def test_one_failure_is_survived_unnoticed(driver: Driver, emulator: Emulator, name: str) -> None:
    ada = emulator.add_user("ada@test.example")
    token = emulator.connect(ada, CALENDAR_ID)
    headers = [("authorization", f"Bearer {emulator.sign_in(ada)}")]
    for path in ("*/User/me", "*/token"):
        emulator.fault(PASSING[name], path=path, times=1)
    answer = driver.request("GET", "/guarded", headers)
    assert answer.status_code == 200, answer.text
    assert answer.json()["access_token"] == token


@pytest.mark.parametrize("fault", [Fault(drop="before"), Fault(status=503), Fault(status=429)])
def test_what_may_have_happened_is_not_repeated(driver: Driver, emulator: Emulator, fault: Fault) -> None:
    headers = {"authorization": f"Bearer {emulator.sign_in(emulator.add_user('ada@test.example'))}"}
    for module, method, args in (
        ("user", "connect_app_user", [CALENDAR_ID]),
        ("user", "disconnect_app_user", [CALENDAR_ID]),
    ):
        emulator.requests.clear()
        emulator.fault(fault, times=1)
        assert driver.perform(module, method, args, {}, headers).error is not None
        assert len(emulator.requests) == 1
    emulator.fault(fault, times=1)
    emulator.requests.clear()
    assert driver.call("service", "call_api", "x", path="/2/users/me").error is not None
    assert len(emulator.requests) == 1


def test_what_never_left_is_repeated(settings: Settings) -> None:
    """Nobody listens at first."""
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    late = Emulator.demo()
    patient = Settings(**{**settings._given, "server_url": f"http://127.0.0.1:{port}", "max_retries": 10, "timeout": 8})

    def appear() -> None:
        time.sleep(0.4)
        with late.serve(port=port):
            done.wait(10)

    done = threading.Event()
    thread = threading.Thread(target=appear)
    thread.start()
    try:
        given_token = late.sign_in(late.add_user("ada@test.example"))
        with Base44(settings=patient, token=given_token) as base44:
            assert "/provider/consent" in base44.connectors.connect_app_user(CALENDAR_ID)
    finally:
        done.set()
        thread.join(10)
        late.close()
    assert sum(request.target.endswith("/initiate") for request in late.requests) == 1


@pytest.mark.parametrize("retries", [0, 1, 2])
def test_as_often_as_set(settings: Settings, emulator: Emulator, retries: int) -> None:
    emulator.fault(Fault(status=500), times=None)
    with Base44(settings=Settings(**{**settings._given, "max_retries": retries})) as base44, pytest.raises(ServerError):
        base44.as_service_role.connectors.get_connection("slack")
    assert len(emulator.requests) == retries + 1


def test_the_deadline_is_for_all_tries(driver: Driver, emulator: Emulator) -> None:
    emulator.fault(Fault(status=500, delay=1.6), times=None)
    began = time.monotonic()
    assert driver.call("service", "get_connection", "slack").error == "RequestTimeoutError"
    assert 2.5 < time.monotonic() - began < 4.5
    assert len(emulator.requests) == 2


def test_pauses() -> None:
    left = {"most": 9, "left": 60.0}
    for attempt in range(8):
        pause = pause_before(attempt, "GET", ServerError("", status=503), **left)
        assert pause is not None
        assert min(0.1 * 2**attempt, 2) / 2 <= pause <= min(0.1 * 2**attempt, 2)
    assert pause_before(0, "GET", RateLimitError("", retry_after=3.0), **left) == 3.0
    assert pause_before(0, "GET", RateLimitError("", retry_after=6.0), **left) is None
    assert pause_before(0, "GET", ServerError("", retry_after=3.0), most=9, left=2.0) is None
    assert pause_before(9, "GET", ServerError(""), **left) is None
    assert pause_before(0, "POST", ServerError(""), **left) is None
    assert pause_before(0, "DELETE", RequestFailedError("", code="connection_lost"), **left) is None
    assert pause_before(0, "POST", RequestFailedError("", code="connect_failed"), **left) is not None
    assert pause_before(0, "POST", RequestTimeoutError("", code="connect_timeout"), **left) is not None
    assert pause_before(0, "GET", RequestTimeoutError("", code="timeout"), **left) is None
    assert pause_before(0, "GET", RequestFailedError("", code="overloaded"), **left) is None
    assert pause_before(0, "GET", InvalidResponseError(""), **left) is None
    assert pause_before(0, "GET", ServerError("", status=501), **left) is None


@pytest.mark.parametrize("value", ["nan", "inf", "-1", "1e9", "9" * 40, "soon", "", "0x1"])
def test_nonsense_in_retry_after(settings: Settings, emulator: Emulator, value: str) -> None:
    emulator.fault(Fault(status=429, headers={"Retry-After": value}), times=1)
    with Base44(settings=settings) as base44:
        assert base44.as_service_role.connectors.get_connection("slack").access_token
    assert len(emulator.requests) == 2


def test_a_slow_platform_does_not_pile_up_requests(settings: Settings, emulator: Emulator) -> None:
    from base44_web._core.platform import perform as _engine

    emulator.fault(Fault(delay=20), times=None)
    driver = Driver("starlette-async", Settings(**{**settings._given, "timeout": 8}))
    count = _engine._CALLS + _engine._WAITING + 20
    call = encode_call("service", "get_connection", ["slack"], {})

    async def main() -> list[Any]:
        tasks = [asyncio.create_task(driver.send("POST", "/run", call)) for _ in range(count)]
        while sum(task.done() for task in tasks) < 20:
            await asyncio.sleep(0.05)
        early = [task.result().json() for task in tasks if task.done()]
        assert len(emulator.requests) <= _engine._CALLS
        await asyncio.gather(*tasks)
        assert {task.result().json()["error"] for task in tasks} <= {"RequestTimeoutError", "RequestFailedError"}
        return early

    assert driver._runner is not None
    early = driver._runner.run(main())
    assert [answer["fields"]["code"] for answer in early] == ["overloaded"] * 20
    driver.close()


# --- TLS


@pytest.fixture
def tls(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A platform whose certificate an authority of its own has signed."""
    pytest.importorskip("cryptography")
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(7)
        .not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    pem = tmp_path / "certificate.pem"
    pem.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    secret = tmp_path / "key.pem"
    secret.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = b'{"access_token": "over TLS", "integration_type": "slack"}'
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: Any) -> None:
            """Quiet."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem, secret)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"https://localhost:{server.server_port}", pem
    server.shutdown()
    thread.join(10)
    server.server_close()


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_an_authority_of_ones_own(tls: tuple[str, Path], kind: str) -> None:
    from base44_web import AsyncBase44

    url, pem = tls

    async def ask(settings: Settings) -> str:
        async with AsyncBase44(settings=settings) as base44:
            return (await base44.as_service_role.connectors.get_connection("slack")).access_token

    def ask_blocking(settings: Settings) -> str:
        with Base44(settings=settings) as base44:
            return base44.as_service_role.connectors.get_connection("slack").access_token

    def call(settings: Settings) -> str:
        return ask_blocking(settings) if kind == "sync" else asyncio.run(ask(settings))

    fields: dict[str, Any] = {"app_id": "a", "service_token": "s", "server_url": url, "max_retries": 0}
    with pytest.raises(TransportError):
        call(Settings(**fields))
    assert call(Settings(**fields, ca_file=str(pem))) == "over TLS"


def test_a_ca_file_that_is_none(tmp_path: Path) -> None:
    empty = tmp_path / "empty.pem"
    empty.write_text("")
    for path in (str(tmp_path / "nowhere.pem"), str(empty), str(tmp_path)):
        with pytest.raises(ConfigurationError, match="BASE44_CA_FILE"):
            Settings(app_id="a", ca_file=path)


# --- the fault matrix: 20 kinds of failure, in every way of running


FAULTS = {
    "refused": None,
    "dropped": Fault(drop="before"),
    "dropped in the middle": Fault(drop="during"),
    "silent": Fault(delay=30),
    "dripping": Fault(drip=0.2),
    "no HTTP": Fault(raw=b"\x00\xff\x00\r\n\r\n"),
    "endless head": Fault(raw=b"HTTP/1.1 200 OK\r\nX-A: " + b"a" * 300_000),
    "400": Fault(status=400),
    "402": Fault(status=402),
    "418": Fault(status=418),
    "429": Fault(status=429, headers={"Retry-After": "30"}),
    "500": Fault(status=500, body=b"<html>" + b"x" * 1000),
    "503": Fault(status=503, headers={"Retry-After": "nan"}),
    "redirect": Fault(status=302, headers={"Location": "https://evil.example/"}),
    "empty": Fault(status=200, body=b""),
    "no JSON": Fault(status=200, body=b"<html>Sign in to the Wi-Fi"),
    "another shape": Fault(status=200, body=b'[{"access_token": 7}]'),
    "not UTF-8": Fault(status=200, body=b'{"id": "\xff\xfe"}'),
    "deeply nested": Fault(status=200, body=b"[" * 100_000),
    "too large": Fault(status=200, body=b'"' + b"a" * 2_000_000 + b'"'),
    "compressed": Fault(status=200, headers={"Content-Encoding": "gzip"}),
    "a cookie and a lie": Fault(status=200, body=b"{}", headers={"Set-Cookie": "a=b"}),
}


@pytest.mark.parametrize("name", FAULTS)
def test_fault_matrix(driver_name: str, settings: Settings, emulator: Emulator, name: str) -> None:
    """No hang, no leak, no 500, no allow."""
    fields = {**settings._given, "timeout": 0.4, "max_retries": 1}
    fault = FAULTS[name]
    if fault is None:
        fields["server_url"] = "http://127.0.0.1:9"
    ada = emulator.add_user("ada@test.example")
    provider_token = emulator.connect(ada, CALENDAR_ID)
    jwt = emulator.sign_in(ada)
    driver = Driver(driver_name, Settings(**fields))
    try:
        if fault is not None:
            emulator.fault(fault, times=None)
        for method, path in (
            ("GET", "/me"),
            ("GET", "/guarded"),
            ("DELETE", "/base44/disconnect/calendar"),
            ("POST", "/base44/connect/calendar"),
            ("GET", "/base44/status/calendar"),
        ):
            send = driver.send_view if path.startswith("/base44") else driver.request
            began = time.monotonic()
            answer = send(method, path, [("authorization", f"Bearer {jwt}")])
            assert time.monotonic() - began < 8
            assert answer.status_code == 503, (path, answer.status_code, answer.text)
            for secret in (jwt, provider_token, emulator.service_token, "evil"):
                assert secret not in answer.text + str(answer.headers)
    finally:
        driver.close()
