"""A real nginx, with TLS and HTTP/2, in front of real servers: the lines that `docs/deployment.md` gives."""

from __future__ import annotations

import datetime
import os
import re
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from base44_web import AppUser
from base44_web.testing import CALENDAR_ID, Emulator
from tests.checks import NAVIGATION, SESSION_SECRET, shows
from tests.conftest import playwright_or_skip
from tests.serving import PATIENCE, ROOT, app_environment, eventually, free_port, needs, serving

SITES = [("uvicorn", "starlette-async"), ("uvicorn", "django-asgi-async"), ("gunicorn", "django-wsgi-sync"),
         ("gunicorn", "flask-sync")]  # fmt: skip


def documented_file(**ours: str) -> str:
    """The file of the docs, with what a reader is told to put in."""
    text = (ROOT / "docs" / "deployment.md").read_text()
    (block,) = re.findall(r"```nginx\n(.*?)```", text, re.DOTALL)
    for name, value in ours.items():
        block, count = re.subn(rf"\b{name} [^;]+?(?=;| ssl)", f"{name} {value}", block)
        assert count == 1, name
    return block


def certificate(folder: Path) -> None:
    x509 = pytest.importorskip("cryptography.x509")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "site.example")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1).not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("site.example")]), critical=False)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    octets = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    (folder / "key.pem").write_bytes(octets)


@contextmanager
def nginx(folder: Path, upstream: str) -> Iterator[int]:
    """Its port; the upstream at `/`, by the documented file."""
    program = shutil.which("nginx") or "/usr/sbin/nginx"
    if not os.path.exists(program):
        if os.environ.get("CI"):
            pytest.fail("nginx is not installed: apt-get install nginx-light")
        pytest.skip("nginx is not installed")
    certificate(folder)
    port = free_port()
    (folder / "api.conf").write_text(
        documented_file(
            listen=f"127.0.0.1:{port}",
            server_name="site.example",
            ssl_certificate=f"{folder}/cert.pem",
            ssl_certificate_key=f"{folder}/key.pem",
            proxy_pass=upstream,
        )
    )
    paths = "".join(f"{name}_temp_path {folder};\n" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    (folder / "nginx.conf").write_text(
        f"""daemon off; pid {folder}/pid; error_log {folder}/error.log; worker_processes 1; events {{}}
        http {{ {paths} access_log off; include {folder}/api.conf; }}"""
    )
    process = subprocess.Popen([program, "-p", str(folder), "-c", "nginx.conf"], stderr=subprocess.DEVNULL)

    def listens() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    try:
        assert eventually(lambda: process.poll() is not None or listens())
        assert process.poll() is None, (folder / "error.log").read_text()
        yield port
    finally:
        process.terminate()
        process.wait(PATIENCE)


@pytest.fixture(params=SITES, ids=["-".join(each) for each in SITES])
def site(request: Any, emulator: Emulator, platform: str, tmp_path: Path) -> Iterator[tuple[str, int, str]]:
    """The origin, nginx's port, and where the driver's views begin."""
    server, driver = request.param
    needs(server, driver)
    more = {"BASE44_TOKEN_SOURCES": "header,session", "BASE44_SECRET": SESSION_SECRET}
    environment = app_environment(emulator, platform, driver) | more
    prefix = f"/{driver.rpartition('-')[2]}" if driver.startswith("django") else ""
    with serving(server, environment, tmp_path / "output") as (url, _), nginx(tmp_path, url) as port:
        yield f"https://site.example:{port}", port, prefix


@contextmanager
def browser_like(port: int, folder: Path) -> Iterator[httpx2.Client]:
    """A client that speaks HTTP/2 and finds the site on loopback."""
    context = ssl.create_default_context(cafile=str(folder / "cert.pem"))
    client = httpx2.Client(verify=context, http2=True, timeout=PATIENCE, base_url=f"https://127.0.0.1:{port}")
    client.headers["Host"] = f"site.example:{port}"
    with client:
        yield client


def test_sessions_and_guards(site: tuple[str, int, str], emulator: Emulator, ada: AppUser, tmp_path: Path) -> None:
    origin, port, prefix = site
    emulator.connect(ada, CALENDAR_ID)
    sni = {"extensions": {"sni_hostname": "site.example"}}
    token = {"token": emulator.sign_in(ada)}
    with browser_like(port, tmp_path) as client:
        for wrong in (origin.replace("https:", "http:"), "https://evil.example", "null"):
            assert client.post("/base44/session", data=token, headers={"Origin": wrong}, **sni).status_code == 403
        begun = client.post("/base44/session", data=token, headers={"Origin": origin}, **sni)
        assert (begun.status_code, begun.http_version) == (200, "HTTP/2")
        cookie = {"Cookie": begun.headers["set-cookie"].partition(";")[0]}
        client.cookies.clear()
        assert client.get(f"{prefix}/guarded", headers=cookie, **sni).status_code == 200
        assert client.post(f"{prefix}/me", headers={**cookie, "Origin": origin}, **sni).json()["email"] == ada.email
        insecure = {**cookie, "Origin": origin.replace("https:", "http:")}
        assert client.post(f"{prefix}/me", headers=insecure, **sni).status_code == 403
        page = client.get("/base44/connect/calendar", headers={**cookie, **dict(NAVIGATION)}, **sni)
        assert page.status_code == 200
        assert "127.0.0.1" not in page.text


@pytest.mark.parametrize("site", [SITES[0]], indirect=True, ids=["uvicorn"])
def test_in_a_browser(site: tuple[str, int, str], emulator: Emulator, ada: AppUser, tmp_path: Path) -> None:
    """Over https a browser keeps the session's cookie, and sends it to the page that it opens next."""
    from tests.conftest import HEADLESS, OPTIONS

    origin, _, _ = site
    options = [*OPTIONS, "--host-resolver-rules=MAP site.example 127.0.0.1"]
    with playwright_or_skip().sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=HEADLESS, args=options)
        page = browser.new_context(ignore_https_errors=True).new_page()
        page.goto(f"{origin}/base44/connect/calendar")
        script = "token => fetch('/base44/session', {method: 'POST', body: new URLSearchParams({token})})"
        page.evaluate(f"async token => (await ({script})(token)).status", emulator.sign_in(ada))
        page.goto(f"{origin}/base44/connect/calendar")
        assert ada.email is not None
        shows(page, ada.email)
        browser.close()
