"""The emulator gives nothing to what is not on this machine, and is as strict as the real one where that is known."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import httpx2
import pytest

from base44_web.testing import CALENDAR_ID, Emulator, Fault, Recorded
from base44_web.testing._loopback import destination, is_loopback, is_loopback_origin, with_token

BASE = "http://127.0.0.1:4410"


DESTINATIONS: list[tuple[str, str | None]] = [
    ("/", f"{BASE}/"),
    ("/a/b?c=d#e", f"{BASE}/a/b?c=d#e"),
    ("http://localhost:5173/x", "http://localhost:5173/x"),
    ("https://app.localhost/x", "https://app.localhost/x"),
    ("http://[::1]:5173/", "http://[::1]:5173/"),
    ("http://127.9.9.9/", "http://127.9.9.9/"),
    ("", None),
    ("x", None),
    ("//evil.example/", None),
    ("/\\evil.example/", None),
    ("\\\\evil.example/", None),
    ("https://evil.example/", None),
    ("http:evil.example", None),
    ("http:///evil.example", None),
    ("http://localhost@evil.example/", None),
    ("http://localhost:5173@evil.example/", None),
    ("http://user@localhost/", None),
    ("http://localhost.evil.example/", None),
    ("http://evil.example#localhost", None),
    ("http://evil.example\\@localhost/", None),
    ("http://localhost\n.evil.example/", None),
    ("http://127.0.0.1.evil.example/", None),
    ("http://2130706433/", None),
    ("javascript:alert(1)", None),
    ("javascript://localhost/%0aalert(1)", None),
    ("data:text/html,x", None),
    ("file://localhost/etc/passwd", None),
    (" http://localhost/", None),
    ("/\t/evil.example", None),
    ("http://lоcalhost/", None),
]


def test_where_tokens_go(subtests: pytest.Subtests) -> None:
    for url, expected in DESTINATIONS:
        with subtests.test(url=url):
            assert destination(url, BASE) == expected


def test_tokens_in_addresses() -> None:
    assert (
        with_token("http://localhost/a?b=%2F&access_token=old#c", "new")
        == "http://localhost/a?b=%2F&access_token=new#c"
    )
    for origin in ("null", "", "localhost", "ftp://localhost", "http://localhost/", "http://localhost.evil.example"):
        assert not is_loopback_origin(origin)
    assert not is_loopback("")


def test_pages_send_nobody_away(emulator: Emulator, platform: str) -> None:
    user = emulator.add_user("a@test.example", full_name="<img src=x>")
    away = quote("https://evil.example/", safe="")
    for path in ("/login", "/api/apps/auth/login", "/api/apps/auth/<b>/login", "/api/apps/demo-app/auth/sso/login"):
        with httpx2.Client(base_url=platform) as client:
            refused = client.get(f"{path}?from_url={away}")
            assert refused.status_code == 400
            assert client.post(f"{path}?from_url={away}", data={"user": user.id}).status_code == 400
            assert client.get(f"{path}?from_url=/&popup_origin={away}").status_code == 400
            page = client.get(f"{path}?from_url=/").text
            assert "<img" not in page
            assert "<b>" not in page.lower()
            assert client.post(f"{path}?from_url=/x", data={"user": "nobody"}).status_code == 401
            there = client.post(f"{path}?from_url=/x", data={"user": user.id})
            assert there.headers["location"].startswith(f"{platform}/x?access_token=ey")
    assert httpx2.get(f"{platform}/api/apps/auth/logout?from_url={away}").status_code == 400
    assert httpx2.get(f"{platform}/api/apps/auth/logout?from_url=/x").headers["location"] == f"{platform}/x"


def test_other_names_for_this_machine(emulator: Emulator, platform: str) -> None:
    """A name that somebody else's DNS points here makes a page of theirs one of the emulator's own origin."""
    assert httpx2.get(f"{platform}/login", headers={"host": "evil.example"}).status_code == 421
    assert emulator.requests == []
    assert httpx2.get(f"{platform}/login", headers={"host": "app.localhost:4410"}).status_code == 200


def test_other_origins(platform: str) -> None:
    for origin, allowed in (("http://localhost:5173", True), ("https://evil.example", False), ("null", False)):
        headers = {"origin": origin, "access-control-request-headers": "x-app-id"}
        for answer in (
            httpx2.get(f"{platform}/login", headers=headers),
            httpx2.options(f"{platform}/api/x", headers=headers),
        ):
            assert ("access-control-allow-origin" in answer.headers) == allowed
            assert ("access-control-allow-credentials" in answer.headers) == allowed
            assert answer.headers["vary"] == "origin"


def test_bearer_tokens_are_strict(emulator: Emulator) -> None:
    ada = emulator.add_user("a@test.example")
    emulator.connect(ada, CALENDAR_ID)
    token, service = emulator.sign_in(ada), emulator.service_token

    def status(path: str, **headers: str) -> int:
        pairs = tuple((name.replace("_", "-"), value) for name, value in headers.items())
        return emulator.answer(Recorded("GET", f"/api/apps/{emulator.app_id}/{path}", pairs, b"")).status

    unsigned = token.rpartition(".")[0] + "."
    wrong = (token, f"bearer {token}", f"Bearer  {token}", f"Token {token}", f"Bearer {unsigned}", "Bearer ", "")
    assert status("entities/User/me", authorization=f"Bearer {token}") == 200
    for header in wrong:
        assert status("entities/User/me", authorization=header) == 401, header
    of_user = f"app-user-auth/connectors/{CALENDAR_ID}/token"
    assert status(of_user, authorization=f"Bearer {service}", on_behalf_of=f"Bearer {token}") == 200
    for header in wrong:
        assert status(of_user, authorization=f"Bearer {service}", on_behalf_of=header) == 401, header
    assert status(of_user, authorization=service, on_behalf_of=f"Bearer {token}") == 401
    assert status("external-auth/list", authorization=f"Bearer {service}") == 401
    assert status("external-auth/list", api_key=emulator.api_key) == 401  # the header is api_key
    headers = (("api_key", emulator.api_key),)
    assert (
        emulator.answer(Recorded("GET", f"/api/apps/{emulator.app_id}/external-auth/list", headers, b"")).status == 200
    )


def test_a_built_folder(emulator: Emulator, platform: str, tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("secret")
    dist = tmp_path / "dist"
    (dist / "assets").mkdir(parents=True)
    (dist / "index.html").write_text("<title>App</title>")
    (dist / "assets/app.js").write_text("1")
    (dist / "link").symlink_to(tmp_path / "secret.txt")
    emulator.host(dist)
    emulator.host(dist, at="/deep/er/")
    html = {"accept": "text/html"}
    with httpx2.Client(base_url=platform) as client:
        for prefix in ("", "/deep/er"):
            script = client.get(f"{prefix}/assets/app.js")
            assert (script.text, script.headers["content-type"]) == ("1", "text/javascript")
            for path in ("/", "/a/b/c", "/assets", "/a.b"):
                assert client.get(prefix + path, headers=html).text == "<title>App</title>"
            assert client.get(f"{prefix}/assets/gone.js", headers={"accept": "*/*"}).status_code == 404
            assert client.head(f"{prefix}/a").status_code == 200
            for path in ("/../secret.txt", "/..%2fsecret.txt", "/%2e%2e/secret.txt", "/a/%2e%2e%2f%2e%2e%2fsecret.txt",
                         "/%2fetc/passwd", "//etc/passwd", "/link", "/%00", "/..%5csecret.txt"):  # fmt: skip
                answer = client.get(prefix + path, headers=html)
                assert "secret" not in answer.text
                assert "root:" not in answer.text
        assert client.get("/api/nothing", headers=html).status_code == 404  # no page of the app's
        assert client.get("/api/apps/other-app/entities/User/me").status_code == 404
        assert client.post("/a/b").status_code == 404


def test_sockets_that_are_none(platform: str, emulator: Emulator) -> None:
    path = f"{platform}/ws-user-apps/socket.io/?EIO=4&transport="
    assert httpx2.get(path + "polling").json()["message"] == "Transport unknown"
    assert httpx2.get(path + "websocket", headers={"upgrade": "websocket"}).status_code == 400
    socket = {"upgrade": "websocket", "connection": "Upgrade", "sec-websocket-key": "x"}
    emulator.fault(Fault(drop="before"))
    with pytest.raises(httpx2.RemoteProtocolError):
        httpx2.get(path + "websocket", headers=socket)
    emulator.fault(Fault(status=503))
    assert httpx2.get(path + "websocket", headers=socket).status_code == 503
    emulator.fault(Fault(delay=0.05))
    assert httpx2.get(path + "websocket", headers=socket).status_code == 101
