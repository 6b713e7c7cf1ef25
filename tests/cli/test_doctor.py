"""`base44-web doctor`, its checks and its manners."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from base44_web import Settings
from base44_web._core.checks.finding import CHECKS
from base44_web._core.variables import OF_OTHERS
from base44_web.cli import main
from base44_web.testing import CALENDAR_ID, Emulator, Fault
from tests.canaries import CANARY, clean
from tests.drivers import environment
from tests.serving import PATIENCE, ROOT, free_port

GOOD = {
    "BASE44_APP_ID": "demo-app",
    "BASE44_SERVICE_TOKEN": "service",
    "BASE44_APP_USER_CONNECTORS": f"calendar={CALENDAR_ID}",
    "BASE44_APP_URL": "https://my-app.base44.app",
}
SIGNED = {
    "BASE44_PLATFORM_HEADERS": "signed",
    "BASE44_RELAY_KEYS": f"k1={'k' * 40}",
    "BASE44_RELAY_AUDIENCE": "https://api.example.com",
    "BASE44_ALLOWED_API_URLS": "https://base44.app",
}
SESSION = {"BASE44_TOKEN_SOURCES": "header,session", "BASE44_SECRET": "s" * 40}
KEYS = {"BASE44_VERIFICATION": "keys", "BASE44_VERIFICATION_KEY": "v" * 40, "BASE44_ALGORITHMS": "HS256"}

# What is set beyond GOOD (`None`: taken away), and what is found.
ROWS: dict[str, tuple[dict[str, str | None], list[str]]] = {
    "all well": ({}, []),
    "no app ID": ({"BASE44_APP_ID": None}, ["E001"]),
    "http beyond loopback": ({"BASE44_SERVER_URL": "http://base44.app"}, ["E001"]),
    "a setting that does not parse": ({"BASE44_TIMEOUT": "soon"}, ["E001"]),
    "settings that contradict each other": ({**SIGNED, "BASE44_RELAY_KEYS": None}, ["E001"]),
    "a session without a secret": ({**SESSION, "BASE44_SECRET": None}, ["E001"]),
    "a session with a secret": (SESSION, []),
    "connectors and no app_url": ({"BASE44_APP_URL": None}, ["W003"]),
    "no app_url, but no connectors": ({"BASE44_APP_URL": None, "BASE44_APP_USER_CONNECTORS": None}, []),
    "no app_url against a platform here": ({"BASE44_APP_URL": None, "BASE44_SERVER_URL": "http://localhost:1"}, []),
    "a typo": ({"BASE44_APP_URI": "https://x.base44.app"}, ["W005"]),
    "names of Base44's tool": (dict.fromkeys(OF_OTHERS, "x"), []),
    "a secret that is short, and unused": ({"BASE44_SECRET": "short"}, ["W009"]),
    "nobody verifies": ({"BASE44_VERIFICATION": "none"}, ["W010"]),
    "development elsewhere": ({"BASE44_DEVELOPMENT": "1"}, ["W011"]),
    "development here": ({"BASE44_DEVELOPMENT": "1", "BASE44_SERVER_URL": "http://[::1]:4400"}, ["I002"]),
    "no service role": ({"BASE44_SERVICE_TOKEN": None}, ["I001"]),
    "signed, noted in a file": ({**SIGNED, "BASE44_SERVICE_TOKEN": None}, ["I004"]),
    "signed, a Redis over TLS": ({**SIGNED, "BASE44_REPLAY_STORE": "rediss://redis.example"}, []),
    "signed, a Redis here": ({**SIGNED, "BASE44_REPLAY_STORE": "redis://127.0.0.1:1"}, []),
    "signed, a plain Redis": ({**SIGNED, "BASE44_REPLAY_STORE": "redis://redis.example"}, ["W012"]),
    "a plain Redis that is not used": ({"BASE44_REPLAY_STORE": "redis://redis.example"}, []),
    "keys": (KEYS, ["I005"]),
}  # fmt: skip


def doctor(capsys: pytest.CaptureFixture[str], *arguments: str, **variables: str | None) -> tuple[int, list[str], str]:
    """The exit status, the codes found in order, and all that was printed."""
    with environment(**{name: value for name, value in variables.items() if value is not None}):
        status = main(["doctor", "--json", *arguments])
    printed = capsys.readouterr()
    found = json.loads(printed.out) if status != 2 else []
    return status, [each["id"].removeprefix("base44_web.") for each in found], printed.out + printed.err


@pytest.fixture(autouse=True)
def elsewhere_than_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])


def test_settings(capsys: pytest.CaptureFixture[str], subtests: pytest.Subtests) -> None:
    for name, (more, expected) in ROWS.items():
        with subtests.test(name):
            status, found, _ = doctor(capsys, **{**GOOD, **more})
            assert found == expected
            assert status == int(any(code[0] != "I" for code in expected))


def test_a_connection_store_beyond_this_machine(capsys: pytest.CaptureFixture[str]) -> None:
    if "connection_store" not in Settings.FIELDS:
        pytest.skip("there is no such setting yet")
    given = {**GOOD, "BASE44_SECRET": "s" * 40, "BASE44_CONNECTION_STORE": f"redis://:{CANARY}@redis.example"}
    _, found, printed = doctor(capsys, **given)
    assert found == ["W012"]
    clean(printed)
    down = {**given, "BASE44_CONNECTION_STORE": f"redis://:{CANARY}@127.0.0.1:{free_port()}"}
    _, found, printed = doctor(capsys, "--online", **{**down, "BASE44_SERVER_URL": "http://127.0.0.1:1"})
    assert "E005" in found
    clean(printed)


def test_a_package_that_a_setting_needs(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("cryptography")
    assert doctor(capsys, **GOOD, **SESSION)[1] == []
    monkeypatch.setitem(sys.modules, "cryptography.fernet", None)
    _, found, printed = doctor(capsys, **GOOD, **SESSION)
    assert found == ["E001"]
    assert "base44-web[session]" in printed


def test_a_typo_is_told_the_right_name(capsys: pytest.CaptureFixture[str]) -> None:
    _, _, printed = doctor(capsys, **{**GOOD, "BASE44_APP_USER_CONECTORS": "x"})
    assert "Did you mean BASE44_APP_USER_CONNECTORS?" in printed
    _, _, printed = doctor(capsys, **{**GOOD, "BASE44_ZZZ": "x"})
    assert "Did you mean" not in printed


def test_what_a_person_reads(capsys: pytest.CaptureFixture[str]) -> None:
    with environment(**{**GOOD, "BASE44_VERIFICATION": "none", "BASE44_SERVICE_TOKEN": ""}):
        assert main(["doctor"]) == 1
        lines = capsys.readouterr().out.splitlines()
        assert lines[0].startswith("warning base44_web.W010  ")
        assert lines[1].startswith("        Fix: ")
        assert lines[2].startswith("info    base44_web.I001  ")
        assert lines[-1] == "1 to mend."
        assert main(["doctor", "--ignore", "W010", "--ignore", "base44_web.I001"]) == 0
    assert capsys.readouterr().out == "Nothing to mend.\n"


# --- the project around

APP_FILES = {
    '{"id": "demo-app"}': [],
    '{"id": "another"}': ["W004"],
    "// links it\n{ id: 'another', /* and */ }": ["W004"],
    '{"name": "id: \'x\'", "nested": {"id": "x"}, "id": "another",}': ["W004"],
    '{"nested": {"id": "another"}}': [],
    '{"id": 7}': [],
    "{": [],
}


def test_the_app_id_of_the_project(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, subtests: pytest.Subtests
) -> None:
    below = tmp_path / "server" / "deep"
    below.mkdir(parents=True)
    (tmp_path / "base44").mkdir()
    (tmp_path / "base44" / "config.jsonc").write_text('{"name": "x"}')
    for content, expected in APP_FILES.items():
        with subtests.test(content):
            (tmp_path / "base44" / ".app.jsonc").write_text(content)
            assert doctor(capsys, **GOOD)[1] == expected
            assert doctor(capsys, "--project", str(below), **GOOD)[1] == expected


# --- an app

HEAD = """
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.routing import Mount, Route
from base44_web import Settings
from base44_web.starlette import Base44Middleware, app_user_connected, connect_routes

class PageCache:
    def __init__(self, app): self.app = app

@app_user_connected("calendar")
async def view(request): return Response()

async def plain(request): return Response()

OURS, CORS = Middleware(Base44Middleware), Middleware(CORSMiddleware, allow_origins=["*"])
VIEWS = Mount("/base44", routes=connect_routes())
GUARDED = Route("/x", view)
"""
STARLETTE = {
    "all well": ("app = Starlette(routes=[GUARDED, VIEWS], middleware=[CORS, OURS])", []),
    "a factory": ("def app(): return Starlette(routes=[GUARDED, VIEWS], middleware=[OURS])", []),
    "with middleware around it": ("app = CORSMiddleware(Base44Middleware(Starlette(routes=[GUARDED, VIEWS])))", []),
    "mounted": ("inner = Starlette(routes=[GUARDED, VIEWS], middleware=[OURS])\napp = Starlette(routes=[Mount('/api', app=inner)])", []),
    "mounted, by hand, in an app with middleware": (
        "inner = Base44Middleware(Starlette(routes=[GUARDED]))\napp = CORSMiddleware(Starlette(routes=[Mount('/api', inner)]))",
        ["W006"],
    ),
    "no middleware": ("app = Starlette(routes=[Route('/x', plain)])", ["W001"]),
    "no views": ("app = Starlette(routes=[GUARDED], middleware=[OURS])", ["W006"]),
    "no views, and no need": ("app = Starlette(routes=[Route('/x', plain)], middleware=[OURS])", []),
    "pages of its own": (
        "app = Starlette(routes=[GUARDED], middleware=[Middleware(Base44Middleware, settings=Settings(connect_path='/c'))])",
        [],
    ),
    "CORS below": ("app = Starlette(routes=[VIEWS], middleware=[OURS, CORS])", ["W008"]),
    "a cache below": ("app = Starlette(routes=[VIEWS], middleware=[OURS, Middleware(PageCache)])", ["W007"]),
    "a cache below, by hand": ("app = Base44Middleware(PageCache(Starlette(routes=[VIEWS])))", ["W007"]),
    "a cache around": ("app = PageCache(Base44Middleware(Starlette(routes=[VIEWS])))", []),
    "a wrong setting in code": (
        "app = Starlette(routes=[VIEWS], middleware=[Middleware(Base44Middleware, settings=Settings(timeout=-1))])",
        ["E001"],
    ),
    "a typo in a guard": ("app = Starlette(routes=[Route('/x', app_user_connected('calender')(plain)), VIEWS], middleware=[OURS])", ["E001"]),
    "a guard above its route": ("app_user_connected('calendar')(plain)\napp = Starlette(routes=[Route('/x', plain), VIEWS], middleware=[OURS])", ["E001"]),
}  # fmt: skip
FLASK = {
    "all well": ("Base44Extension(app)", []),
    "a factory": ("Base44Extension(app)\nthe_app = app\ndef app(): return the_app", []),
    "no extension": ("", ["W001"]),
    "no views": ("app.config['BASE44_URL_PREFIX'] = None\nBase44Extension(app)\napp.get('/x')(guard(view))", ["W006"]),
    "a typo in a guard": ("Base44Extension(app)\napp.get('/x')(app_user_connected('calender')(view))", ["E001"]),
    "a wrong setting": ("app.config['BASE44_TIMEOUT'] = 'soon'\nBase44Extension(app)", ["E001"]),
    "its own key": (
        "app.secret_key = 'f' * 40\napp.config['BASE44_TOKEN_SOURCES'] = ['header', 'session']\nBase44Extension(app)",
        ["I003"],
    ),
    "with middleware around it": (
        "from werkzeug.middleware.proxy_fix import ProxyFix\nBase44Extension(app)\napp = ProxyFix(app)",
        [],
    ),
}
FLASK_HEAD = """
from flask import Flask
from base44_web.flask import Base44Extension, app_user_connected
app, guard = Flask("site"), app_user_connected("calendar")
def view(): return ""
"""


@pytest.mark.parametrize("framework", ["starlette", "flask"])
def test_an_app(framework: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, subtests: pytest.Subtests) -> None:
    pytest.importorskip(framework)
    head, table = (HEAD, STARLETTE) if framework == "starlette" else (FLASK_HEAD, FLASK)
    for number, (name, (code, expected)) in enumerate(table.items()):
        with subtests.test(name):
            module = f"{framework}_app_{number}"
            (tmp_path / f"{module}.py").write_text(f"print('hello')\n{head}{code}\n")
            status, found, printed = doctor(capsys, "--app", f"{module}:app", **GOOD)
            assert found == expected, printed
            assert status == int(any(code[0] != "I" for code in expected))


def test_a_fastapi_app(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    pytest.importorskip("fastapi")
    (tmp_path / "fast.py").write_text(
        "from typing import Annotated\nfrom fastapi import FastAPI\nfrom base44_web import Connection\n"
        "from base44_web.fastapi import AppUserConnection, Base44Middleware, connect_router\n"
        "def made(views):\n    app = FastAPI()\n    app.add_middleware(Base44Middleware)\n"
        "    if views: app.include_router(connect_router(), prefix='/base44')\n"
        "    @app.get('/x')\n    async def x(connection: Annotated[Connection, AppUserConnection('calendar')]): ...\n"
        "    return app\ngood, bad = made(True), made(False)\n"
    )
    assert doctor(capsys, "--app", "fast:good", **GOOD)[:2] == (0, [])
    assert doctor(capsys, "--app", "fast:bad", **GOOD)[:2] == (1, ["W006"])


GUARDS = {
    "starlette": (HEAD, "app = Starlette(routes=[Route('/x', shop)], middleware=[OURS])"),
    "flask": (FLASK_HEAD, "Base44Extension(app)\napp.get('/x')(shop)"),
    "fastapi": (
        "from typing import Annotated\nfrom fastapi import FastAPI\nfrom base44_web import Connection\n"
        "from base44_web.fastapi import AppUserConnection, Base44Middleware\n",
        "app = FastAPI()\napp.add_middleware(Base44Middleware)\napp.get('/x')(shop)",
    ),
}


def test_the_line_of_a_wrong_guard(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, subtests: pytest.Subtests
) -> None:
    """A typo in a guard, and a guard above its route: what to change is not in the settings."""
    for framework, (head, code) in GUARDS.items():
        pytest.importorskip(framework)
        typo, above = "@app_user_connected('calender')\ndef shop(request): ...", None
        if framework == "fastapi":
            typo = "def shop(given: Annotated[Connection, AppUserConnection('calender')]): ..."
        else:
            above = "def shop(request): ...\napp_user_connected('calendar')(shop)"
        for kind, view in {"typo": typo, "above": above}.items():
            if view is None:
                continue
            with subtests.test(f"{framework} {kind}"):
                module = f"{framework}_{kind}"
                file = tmp_path / f"{module}.py"
                file.write_text(f"{head}{view}\n{code}\n")
                line = len(head.splitlines()) + 1
                _, _, printed = doctor(capsys, "--app", f"{module}:app", "--ignore", "W006", **GOOD)
                (finding,) = json.loads(printed)
                assert finding["fix"] == f"Change {file}, line {line} ({module}.shop)."
                assert (f"The guard of {module}.shop: " if kind == "typo" else "The guard of 'shop' ") in finding[
                    "what"
                ]
                assert ("Did you mean 'calendar'?" in finding["what"]) is (kind == "typo")


DJANGO = {
    "all well": ("", []),
    "no middleware": ("MIDDLEWARE = []", ["W001"]),
    "CORS below": ("MIDDLEWARE = [*MIDDLEWARE, 'shop.settings.CorsMiddleware']", ["W008"]),
    "no app_url": ("del BASE44['APP_URL']", ["W003"]),
    "no views": ("ROOT_URLCONF = 'shop.bare'", ["W006"]),
    "a wrong setting": ("BASE44['TIMEOUT'] = 'soon'", ["E001"]),
    "its own key": ("BASE44['TOKEN_SOURCES'] = ['header', 'session']", ["I003", "W002"]),
}


def test_a_django_project(tmp_path: Path, subtests: pytest.Subtests) -> None:
    """In processes of their own: Django has one project in each."""
    pytest.importorskip("django")
    package = tmp_path / "shop"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "bare.py").write_text(
        "from django.http import HttpResponse\nfrom django.urls import path\n"
        "from base44_web.django import app_user_connected\n"
        "urlpatterns = [path('x', app_user_connected('calendar')(lambda request: HttpResponse()))]\n"
    )
    (package / "urls.py").write_text(
        "from django.urls import include, path\nfrom .bare import urlpatterns\n"
        "urlpatterns = [*urlpatterns, path('base44/', include('base44_web.django.urls'))]\n"
    )
    (package / "asgi.py").write_text(
        "import os\nos.environ['DJANGO_SETTINGS_MODULE'] = 'shop.settings'\n"
        "from django.core.asgi import get_asgi_application\napplication = get_asgi_application()\n"
    )
    base = f"""
        class CorsMiddleware:
            def __init__(self, get_response): self.get_response = get_response
        SECRET_KEY = "d" * 50
        ROOT_URLCONF = "shop.urls"
        INSTALLED_APPS = ["base44_web.django"]
        MIDDLEWARE = ["base44_web.django.Base44Middleware"]
        BASE44 = {{
            "APP_ID": "demo-app", "SERVICE_TOKEN": "service", "APP_URL": "https://my-app.base44.app",
            "APP_USER_CONNECTORS": {{"calendar": "{CALENDAR_ID}"}},
        }}
    """
    for number, (name, (code, expected)) in enumerate(DJANGO.items()):
        with subtests.test(name):
            (package / "settings.py").write_text(f"{textwrap.dedent(base)}\n{code}\n")
            reference = "shop.asgi:application" if number % 2 == 0 else "shop.settings"
            done = subprocess.run(
                [sys.executable, "-m", "base44_web.cli", "doctor", "--json", "--app", reference],
                cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE,
            )  # fmt: skip
            assert sorted(each["id"][-4:] for each in json.loads(done.stdout)) == expected, done.stderr
            assert done.returncode == int(any(code[0] != "I" for code in expected))


NO_APPS = {
    "nowhere:app": "ModuleNotFoundError (nowhere)",
    "broken:app": "RuntimeError in ",
    "broken_syntax:app": "SyntaxError",
    "others:missing": "AttributeError (missing)",
    "others:app": "is no app of FastAPI, Starlette, Django or Flask, but a dict",
}


def test_what_cannot_be_loaded(capsys: pytest.CaptureFixture[str], tmp_path: Path, subtests: pytest.Subtests) -> None:
    (tmp_path / "broken.py").write_text(f"raise RuntimeError('postgres://u:{CANARY}@db')")
    (tmp_path / "broken_syntax.py").write_text(f"password = '{CANARY}' '\n")
    (tmp_path / "others.py").write_text("app = {}")
    for reference, message in NO_APPS.items():
        with subtests.test(reference):
            status, _, printed = doctor(capsys, "--app", reference, **GOOD)
            assert status == 2
            assert message in printed
            clean(printed)


# --- online


@pytest.fixture
def online(emulator: Emulator, platform: str) -> dict[str, str]:
    return {
        "BASE44_APP_ID": emulator.app_id,
        "BASE44_SERVER_URL": platform,
        "BASE44_SERVICE_TOKEN": emulator.service_token,
        "BASE44_MAX_RETRIES": "0",
    }


def test_online(
    online: dict[str, str],
    emulator: Emulator,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    subtests: pytest.Subtests,
) -> None:
    ada = emulator.sign_in(emulator.users()[0])
    elsewhere = f"http://127.0.0.1:{free_port()}"
    signed = {**SIGNED, "BASE44_REPLAY_STORE": str(tmp_path / "seen.sqlite")}
    rows: dict[str, tuple[dict[str, str | None], Fault | None, list[str]]] = {
        "all well": ({}, None, []),
        "another app's ID": ({"BASE44_APP_ID": "another"}, None, ["E003"]),
        "an old service token": ({"BASE44_SERVICE_TOKEN": "old"}, None, ["E004"]),
        "an app user's token": ({"BASE44_SERVICE_TOKEN": ada}, None, ["E004"]),
        "nothing there": ({"BASE44_SERVER_URL": elsewhere}, None, ["E002"]),
        "a platform that fails": ({}, Fault(status=503), ["E002"]),
        "an address of something else": ({}, Fault(raw=b"SSH-2.0\r\n"), ["E002"]),
        "a private app": ({}, Fault(status=403), []),
        "a clock that is right": ({}, Fault(headers={"Date": formatdate(usegmt=True)}), []),
        "a clock that is behind": ({}, Fault(headers={"Date": formatdate(4e9, usegmt=True)}), ["W014"]),
        "a date that is none": ({}, Fault(headers={"Date": "soon"}), []),
        "a store": (signed, None, ["I004"]),
        "a store that is nowhere": ({**SIGNED, "BASE44_REPLAY_STORE": str(tmp_path / "no" / "x")}, None, ["I004", "E005"]),
    }  # fmt: skip
    for name, (more, fault, expected) in rows.items():
        with subtests.test(name):
            if fault is not None:
                emulator.fault(fault, path="*/public-settings/*")
            assert doctor(capsys, "--online", **{**online, **more})[1] == expected
            emulator.clear_faults()
    assert {request.method for request in emulator.requests} == {"GET"}


def test_a_redis_that_is_down(online: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("redis")
    store = f"redis://:{CANARY}@127.0.0.1:{free_port()}/0"
    _, found, printed = doctor(capsys, "--online", **{**online, **SIGNED, "BASE44_REPLAY_STORE": store})
    assert found == ["E005"]
    clean(printed)


def test_a_redis_that_is_up(online: dict[str, str], redis: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor(capsys, "--online", **{**online, **SIGNED, "BASE44_REPLAY_STORE": redis})[1] == []


# --- what is installed, what is told


def test_a_framework_that_is_too_old(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """As `pip` leaves it: its metadata, where Python finds them first."""
    metadata = tmp_path / "flask-2.3.3.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: flask\nVersion: 2.3.3\n")
    assert doctor(capsys, **GOOD)[1] == []
    sys.path.insert(0, str(tmp_path))
    _, found, printed = doctor(capsys, **GOOD)
    assert found == ["W013"]
    assert 'pip install \\"flask>=3.1.3\\"' in printed


def test_no_secret_is_told(
    online: dict[str, str], emulator: Emulator, capsys: pytest.CaptureFixture[str], subtests: pytest.Subtests
) -> None:
    secret = {
        "BASE44_SERVICE_TOKEN": CANARY,
        "BASE44_SECRET": f"{CANARY}{'s' * 30}",
        "BASE44_VERIFICATION_KEY": CANARY,
        "BASE44_RELAY_KEYS": f"k={CANARY}{'k' * 30}",
        "BASE44_REPLAY_STORE": f"redis://:{CANARY}@127.0.0.1:{free_port()}/0",
        "BASE44_MISTYPED_TOKEN": CANARY,
    }
    secret |= (
        {"BASE44_CONNECTION_STORE": f"redis://:{CANARY}@127.0.0.1:{free_port()}"}
        if "connection_store" in Settings.FIELDS
        else {}
    )
    held = {name for name, setting in Settings.FIELDS.items() if setting.wrap is not None}
    assert {f"BASE44_{name.upper()}" for name in held} <= secret.keys()  # a new secret setting belongs in here
    broken = {
        "BASE44_SERVICE_TOKEN": f"{CANARY} x",
        "BASE44_RELAY_KEYS": CANARY,
        "BASE44_VERIFICATION_KEY": f"http://{CANARY}",
    }
    for name, more in {
        "as they are": {},
        "signed": {name: value for name, value in SIGNED.items() if name != "BASE44_RELAY_KEYS"},
        **{f"{name} is wrong": {name: value} for name, value in broken.items()},
    }.items():
        for arguments in ((), ("--online",)):
            with subtests.test(name, arguments=arguments):
                body = json.dumps({"message": CANARY}).encode()
                emulator.fault(Fault(status=500, body=body, headers={"X-Leak": CANARY}), times=None)
                status, found, printed = doctor(capsys, *arguments, **{**online, **secret, **more})
                assert status == 1
                assert found
                clean(printed)


def test_the_generated_names(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a type checker is installed that answers as one does that does not see them."""
    connectors = tmp_path / "base44" / "connectors"
    connectors.mkdir(parents=True)
    (tmp_path / "base44" / "config.json").write_text('{"name": "shop"}')
    (connectors / "slack.json").write_text('{"type": "slack"}')
    (tmp_path / "pyproject.toml").touch()
    programs = tmp_path / "programs"
    programs.mkdir()
    monkeypatch.setattr(sys, "executable", str(programs / "python"))
    monkeypatch.setenv("PATH", "/nowhere")
    assert doctor(capsys, **GOOD)[1] == []  # nobody generates them
    with environment(**GOOD):
        assert main(["types"]) == 0
    capsys.readouterr()
    assert doctor(capsys, **GOOD)[1] == []
    (connectors / "notion.json").write_text('{"type": "notion"}')
    assert doctor(capsys, **GOOD)[1] == ["W015"]
    with environment(**GOOD):
        assert main(["types"]) == 0
    capsys.readouterr()
    (programs / "mypy").write_text("#!/bin/sh\n")
    (programs / "mypy").chmod(0o755)
    assert doctor(capsys, **GOOD)[1] == ["W016"]


def test_the_page_lists_every_check() -> None:
    page = (ROOT / "docs" / "command-line.md").read_text()
    listed = [line.split("|")[1].strip(" `") for line in page.splitlines() if line.startswith("| `")]
    assert [each for each in listed if each in CHECKS] == list(CHECKS)


def test_every_check_is_tried() -> None:
    here = Path(__file__).read_text()
    assert [code for code in CHECKS if here.count(f'"{code}"') == 0] == []


def test_django_and_flask_tell_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    flask = pytest.importorskip("flask")
    from base44_web.flask import Base44Extension

    with environment(**{**GOOD, "BASE44_VERIFICATION": "none"}):
        app: Any = flask.Flask("site")
        Base44Extension(app)
        done = app.test_cli_runner().invoke(args=["base44", "doctor", "--json"])
        assert done.exit_code == 1
        assert main(["doctor", "--json"]) == 1
        assert json.loads(done.output) == json.loads(capsys.readouterr().out)
        done = app.test_cli_runner().invoke(args=["base44", "doctor", "--ignore", "W010"])
        assert (done.exit_code, done.output) == (0, "Nothing to mend.\n")
