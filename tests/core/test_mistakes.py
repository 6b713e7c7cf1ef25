"""A beginner's mistakes with settings and clients, a row each: what one did, and the sentence that one sees."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest

from base44_web import (
    AsyncBase44,
    Base44,
    Base44Error,
    ConfigurationError,
    Connection,
    ConnectorID,
    HttpxTransports,
    Secret,
    ServiceRoleUnavailableError,
    Settings,
)
from base44_web._core.installed import OLDEST, release_of
from base44_web.testing import CALENDAR_ID, Emulator
from tests.checks import Headers, check_problem
from tests.conftest import Clock
from tests.drivers import CORE, ONE_EACH, environment
from tests.serving import PATIENCE

ROOT = Path(__file__).parent.parent.parent


def with_client(do: Callable[[Base44], Any], **fields: Any) -> Callable[[], Any]:
    def done() -> None:
        with Base44(settings=Settings(**{"app_id": "a", "service_token": "t", **fields}), token="a.b.c") as base44:
            do(base44)

    return done


NAMES = {"app_user_connectors": {"calendar": CALENDAR_ID}}
MADE: Connection = Connection(Secret("t"), None, "slack")
MISTAKES: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "no app ID": (lambda: Base44(), ConfigurationError, "app_id (BASE44_APP_ID) is not set"),
    "a field that is none": (lambda: Settings(appid="a"), TypeError, "Settings has no field appid"),  # type: ignore[call-arg]
    "http": (lambda: Settings(server_url="http://base44.app"), ConfigurationError, "must be https"),
    "a path": (lambda: Settings(server_url="https://base44.app/api"), ConfigurationError, "must be an origin"),
    "a scheme in the token": (lambda: Settings(service_token="Bearer x"), ConfigurationError, "no spaces"),
    "names in a list": (
        lambda: Settings(app_user_connectors=["calendar"]),  # type: ignore[arg-type]
        ConfigurationError,
        "calendar=69e6…",
    ),
    "a session without a secret": (
        lambda: Settings(app_id="a", token_sources=["header", "session"]).complete(),
        ConfigurationError,
        "secrets.token_urlsafe(32)",
    ),
    "keys without algorithms": (
        with_client(lambda base44: None, verification="keys", verification_key="x" * 32),
        ConfigurationError,
        "needs algorithms (BASE44_ALGORITHMS)",
    ),
    "a class for a transport": (
        lambda: Base44(app_id="a", transport=HttpxTransports),  # type: ignore[arg-type]
        ConfigurationError,
        "call it",
    ),
    "with in place of async with": (
        lambda: AsyncBase44(app_id="a").__enter__(),  # type: ignore[attr-defined]
        AttributeError,
        "__enter__",
    ),
    "no service token": (
        with_client(lambda base44: base44.as_service_role, service_token=None),
        ServiceRoleUnavailableError,
        "set service_token (BASE44_SERVICE_TOKEN)",
    ),
    "a typo in a name": (
        with_client(lambda base44: base44.connectors.connect_app_user("calender"), **NAMES),
        ConfigurationError,
        "Did you mean 'calendar'?",
    ),
    "an ID that is not configured": (
        with_client(lambda base44: base44.connectors.connect_app_user("70a1"), **NAMES),
        ConfigurationError,
        "write ConnectorID('70a1') if that is an ID",
    ),
    "no connector": (with_client(lambda base44: base44.connectors.connect_app_user("")), ValueError, "empty"),
    "None for a connector": (
        with_client(lambda base44: base44.connectors.connect_app_user(None)),  # type: ignore[arg-type]
        TypeError,
        "connector must be a str",
    ),
    "no guard, a connection": (
        with_client(lambda base44: base44.connection("calendar")), LookupError, "add app_user_connected('calendar')"),
    "no guard, a user": (with_client(lambda base44: base44.app_user), LookupError, "add app_user_required"),
    "a platform that is not there": (
        with_client(
            lambda base44: base44.as_service_role.connectors.get_connection("slack"),
            server_url="http://127.0.0.1:9", max_retries=0,
        ),
        Base44Error,
        "Check the network, and server_url (BASE44_SERVER_URL)",
    ),
    "a token over http": (
        lambda: httpx2.get("http://example.com", auth=MADE.auth()), ValueError, "over https alone"),
    "one host": (lambda: MADE.auth(hosts="a.example"), TypeError, "hosts is a list"),
    "a connection in JSON": (lambda: __import__("json").dumps(MADE), TypeError, "Connection is not JSON serializable"),
}  # fmt: skip


def test_what_one_sees(subtests: pytest.Subtests) -> None:
    for name, (do, error, says) in MISTAKES.items():
        with subtests.test(name), pytest.raises(error, match=re.escape(says)):
            do()


def test_names_are_checked_once_there_are_some() -> None:
    """Without any, as in the reference client, whatever comes is an ID."""
    assert Settings(app_id="a").connector_id("calender") == "calender"
    named = Settings(app_id="a", **NAMES)
    for connector in ("calendar", CALENDAR_ID, ConnectorID(CALENDAR_ID)):
        assert named.connector_id(connector) == named.guarded_id(connector) == CALENDAR_ID
    assert named.connector_id(ConnectorID("70a1")) == named.guarded_id(ConnectorID("70a1")) == "70a1"
    for settings, check in ((named, named.connector_id), (named, named.guarded_id), (None, Settings().guarded_id)):
        with pytest.raises(ConfigurationError, match="BASE44_APP_USER_CONNECTORS") as caught:
            check("70a1")
        assert ("which has nothing" in caught.value.message) is (settings is None)


def test_mistyped_names_in_the_environment(caplog: pytest.LogCaptureFixture) -> None:
    wrong = {
        "BASE44_APPID": "a",
        "BASE44_SERVICE_TOKN": "t",
        "BASE44_API_URL": "u",
        "BASE44_API_KEY": "k",
        "BASE44_X": "",
    }
    with environment(**wrong, BASE44_APP_ID="a"):
        Settings.load()
    assert [record.getMessage() for record in caplog.records] == [
        "BASE44_APPID in the environment is no setting: did you mean BASE44_APP_ID?",
        "BASE44_SERVICE_TOKN in the environment is no setting: did you mean BASE44_SERVICE_TOKEN?",
    ]


@pytest.mark.drivers(*CORE, *ONE_EACH)
def test_a_wrong_app_id_is_the_operators_mistake(
    make: Any, emulator: Emulator, adas: Headers, caplog: pytest.LogCaptureFixture
) -> None:
    check_problem(make(app_id="another").request("GET", "/me", adas), 401, "invalid-token")
    (told,) = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert "knows no app 'another'" in told
    assert "check app_id (BASE44_APP_ID)" in told


def test_whom_a_guard_let_in(emulator: Emulator, settings: Settings, adas: Headers, clock: Clock) -> None:
    """For as long as the request goes on, and not after `forget`."""
    from base44_web._core.engine.context import Context
    from base44_web._core.engine.engine import Engine
    from base44_web._core.guards.admit import admit, at_once
    from base44_web._core.incoming.request import Incoming
    from base44_web._core.platform.io import BLOCKING, run

    engine = Engine(settings)
    first, second = (Context(engine, Incoming("GET", adas, secure=True)) for _ in range(2))
    assert run(admit(BLOCKING, first)) is Base44._for(first).app_user
    assert at_once(second, ()) is Base44._for(second).app_user
    clock.forward(3600)
    assert AsyncBase44._for(first).app_user.email == "ada@test.example"
    Base44._for(first).forget()
    with pytest.raises(LookupError, match="app_user_required"):
        _ = Base44._for(first).app_user


BLOCKED = """
import sys
for name in {blocked!r}:
    sys.modules[name] = None
import importlib.util
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *more: None if name in {blocked!r} else find(name, *more)
try:
    {code}
except Exception as error:
    print(type(error).__name__, error)
"""
EXTRAS = [
    (["h11"], "from base44_web.testing import Emulator; Emulator().serve()", 'needs h11, which is not installed: pip install "base44-web[testing]"'),
    (["jwt"], "import base44_web.testing", 'base44_web.testing needs jwt, which is not installed: pip install "base44-web[testing]"'),
    (["cryptography"], "from base44_web import *; Base44(settings=Settings(app_id='a', token_sources=['header', 'session'], secret='x' * 32))",
     'needs cryptography: pip install "base44-web[session]"'),
    (["jwt"], "from base44_web import *; Base44(settings=Settings(app_id='a', verification='keys', verification_key='x' * 32, algorithms=['HS256']))",
     'needs PyJWT: pip install "base44-web[keys]"'),
    (["cryptography"], "from base44_web import *; Base44(settings=Settings(app_id='a', verification='keys', verification_key='https://a.example/keys', algorithms=['ES256'], audience='a'))",
     'Public keys need cryptography: pip install "base44-web[keys]"'),
    (["redis"], "from base44_web._core.incoming.replays import RedisReplays; RedisReplays('redis://localhost')",
     'pip install "base44-web[redis]"'),
]  # fmt: skip


def test_extras_that_are_missing_are_named(subtests: pytest.Subtests) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    for blocked, code, says in EXTRAS:
        with subtests.test(f"{blocked} {says}"):
            program = BLOCKED.format(blocked=blocked, code=code)
            done = subprocess.run(
                [sys.executable, "-c", program], capture_output=True, text=True, timeout=PATIENCE, env=environment, check=True
            )  # fmt: skip
            assert says in done.stdout, done.stdout
            assert "No module named" not in done.stdout


def test_the_versions_that_adapters_need_are_those_of_the_extras() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    wanted = {}
    packages = (f"{name}/__init__.py" for name in ("starlette", "django", "flask", "quart", "litestar"))
    for path in ("fastapi.py", *packages):
        (name,) = re.findall(r'^need\("(\w+)"\)$', (ROOT / "src" / "base44_web" / path).read_text(), re.M)
        requirement = re.fullmatch(r"(\w+)(?:\[\w+\])?>=([0-9.]+)", extras[name][0])
        assert requirement is not None
        assert requirement[1] == name
        wanted[name] = release_of(requirement[2])
    assert wanted == OLDEST
