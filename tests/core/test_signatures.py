"""Signed headers: what their settings need, and what is noted of a request so that it passes once."""

from __future__ import annotations

import sqlite3
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from base44_web import (
    ConfigurationError,
    Settings,
)
from base44_web._core.engine.apps import Engines
from base44_web._core.incoming.replays import RedisReplays, SqliteReplays, Verdict
from base44_web.testing import Emulator
from tests.apps.calls import encode_call
from tests.drivers import Driver, changed
from tests.relayed import SECRET, said_of_ada, sign, signed_fields


@pytest.fixture
def fields(platform: str, tmp_path: Path) -> dict[str, Any]:
    return signed_fields(platform, tmp_path)


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"relay_keys": None}, "relay_keys"), ({"relay_audience": None}, "relay_audience"), ({"allowed_api_urls": None}, "allowed_api_urls"),
    ({"relay_keys": {"k": "short"}}, "32 bytes"), ({"relay_keys": {"k": 7}}, "32 bytes"), ({"relay_keys": {}}, "one key"),
    ({"relay_keys": dict.fromkeys("abc", SECRET)}, "two"), ({"relay_keys": {"a b": SECRET}}, "key ID"),
    ({"token_sources": ["header", "cookie"]}, "no relay signs"), ({"replay_store": "/nowhere/at/all"}, "replay_store"),
    ({"replay_store": "redis://127.0.0.1:9/0"}, "replay_store"),
]  # fmt: skip


def test_settings_that_are_refused(settings: Settings, subtests: pytest.Subtests) -> None:
    for wrong, message in REFUSED:
        with subtests.test(message, wrong=wrong):
            with pytest.raises(ConfigurationError, match=message) as caught:
                Engines(changed(settings, **wrong).complete()).probe()
            assert SECRET not in str(caught.value)


def test_keys_from_the_environment(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BASE44_RELAY_KEYS", f"old={SECRET},new={'z' * 32}")
    given = {name: value for name, value in settings._given.items() if value is not None and name != "relay_keys"}
    found = Settings(**given).complete()
    assert sorted(found.relay_keys) == ["new", "old"]
    assert SECRET not in repr(found.relay_keys)


def test_what_is_old_is_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1_800_000_000.0
    monkeypatch.setattr(time, "time", lambda: now)
    store = SqliteReplays(str(tmp_path / "replays"))
    assert store.add("a", signed=now) is Verdict.NEW
    now += 600
    assert store.add("a", signed=now) is not Verdict.NEW
    now += 61
    assert store.add("b", signed=now) is Verdict.NEW
    with sqlite3.connect(tmp_path / "replays") as connection:
        assert connection.execute("SELECT name FROM seen WHERE until > 0").fetchall() == [("b",)]
    connection.close()


def test_redis_forgets_by_itself(redis: str) -> None:
    store = RedisReplays(redis)
    store.open()
    assert store.add("a", signed=time.time() + 1) is Verdict.NEW
    assert store.add("a", signed=time.time() + 1) is not Verdict.NEW
    assert 640 < store._redis.ttl("base44-web:seen:a") <= 660
    store._redis.close()


def test_a_redis_that_is_asked_again_is_not_a_replay(redis: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its client does so where an answer was lost on the way."""
    from redis.client import Pipeline

    store = RedisReplays(redis)
    store.open()
    execute = Pipeline.execute

    def twice(self: Any, *words: Any, **options: Any) -> Any:
        commands = list(self.command_stack)
        execute(self, *words, **options)
        self.command_stack = commands
        return execute(self, *words, **options)

    monkeypatch.setattr(Pipeline, "execute", twice)
    assert store.add("a", signed=time.time() + 1) is Verdict.NEW
    assert store.add("a", signed=time.time() + 1) is not Verdict.NEW
    store._redis.close()


# --- clocks that are put right, or wrong


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The machine's clock: a list of one."""
    shown = [1_800_000_000.0]
    monkeypatch.setattr(time, "time", lambda: shown[0])
    return shown


@pytest.mark.parametrize("further", [0, 30, 290, -290])
def test_a_clock_that_is_put_back_lets_nothing_in_twice(clock: list[float], tmp_path: Path, further: int) -> None:
    """What came an hour ago was let go since; its signature looks fresh again."""
    store = SqliteReplays(str(tmp_path / "replays"))
    store.open()
    clock[0] += 7200
    old = clock[0]
    assert store.add("old", signed=old) is Verdict.NEW
    clock[0] += 3600
    assert store.add("new", signed=clock[0]) is Verdict.NEW
    clock[0] = old + further
    for again in (store, SqliteReplays(str(tmp_path / "replays"))):  # the second: after a restart
        assert again.add("old", signed=old) is not Verdict.NEW
    clock[0] = old + 3600 - 200
    assert store.add("as the clock is right again", signed=clock[0]) is Verdict.NEW


def test_a_clock_that_was_ahead_before_anybody_came(clock: list[float], tmp_path: Path) -> None:
    store = SqliteReplays(str(tmp_path / "replays"))
    store.open()
    clock[0] -= 3600
    assert store.add("a", signed=clock[0] + 1) is Verdict.NEW
    assert store.add("b", signed=clock[0] - 1) is not Verdict.NEW  # perhaps of a store before


def test_a_worker_whose_clock_is_put_back(clock: list[float], redis: str) -> None:
    """The server of the store has a clock of its own."""
    clock[0] = datetime.now(UTC).timestamp()
    store = RedisReplays(redis)
    store._redis.set("base44-web:replays-made", clock[0] - 7200)
    assert store.add("a", signed=clock[0]) is Verdict.NEW
    clock[0] -= 3600
    assert store.add("b", signed=clock[0]) is not Verdict.NEW
    store._redis.close()


@pytest.mark.parametrize("kind", ["sqlite", "redis"])
def test_the_request_that_is_the_reason_to_make_the_store(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """A mounted app, or a resolver's: nothing makes the store at the start."""
    now = time.time()
    if kind == "sqlite":
        first: Any = SqliteReplays(str(tmp_path / "replays"))
    else:
        first = RedisReplays(f"{request.getfixturevalue('redis')}?client_name={tmp_path.name}")  # one not opened yet
    assert first.add("first", signed=now - 1) is Verdict.NEW
    assert first.add("first", signed=now - 1) is not Verdict.NEW
    assert first.add("older", signed=now - 5) is not Verdict.NEW
    if kind == "redis":
        first._redis.close()


def test_only_headers_are_signed(settings: Settings) -> None:
    with pytest.raises(ConfigurationError, match="no relay signs"):
        changed(settings, token_sources=["header", "subprotocol"]).complete()


def test_a_password_in_the_store_is_not_shown(settings: Settings) -> None:

    for more in ({"timeout": -1}, {}):
        with pytest.raises(ConfigurationError) as caught:
            Engines(changed(settings, replay_store="redis://:canarypw@127.0.0.1:9/0", **more).complete()).probe()
        for frame, _ in traceback.walk_tb(caught.value.__traceback__):
            if "base44_web" in frame.f_code.co_filename:
                assert "canarypw" not in repr(frame.f_locals)
        assert caught.value.__cause__ is None
    with pytest.raises(ConfigurationError) as caught:
        Settings(app_id="a", relay_keys=[("k", "canarypw")])  # type: ignore[arg-type]
    for frame, _ in traceback.walk_tb(caught.value.__traceback__):
        if "base44_web" in frame.f_code.co_filename:
            assert "canarypw" not in repr(frame.f_locals)


def test_without_the_client_of_redis_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(ConfigurationError, match=r"base44-web\[redis\]"):
        RedisReplays("redis://127.0.0.1/0")


def test_the_store_by_default_is_a_file_of_ones_own(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    by_default = Engines(changed(settings, replay_store=None).complete())
    for _ in range(2):  # the second finds the folder
        by_default.probe()
    (folder,) = tmp_path.glob("base44-web-*")
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / "replays.sqlite").exists()
    # Others can write there, or somebody else was there first: they could take notes out again.
    folder.chmod(0o770)
    with pytest.raises(ConfigurationError, match="this user's alone"):
        Engines(changed(settings, replay_store=None).complete())
    folder.rename(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").chmod(0o700)
    folder.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigurationError, match="this user's alone"):
        Engines(changed(settings, replay_store=None).complete())


# --- a store that was lost, or fails


def lost_sqlite(folder: Path) -> tuple[Any, Callable[[], None]]:
    path = folder / "replays"
    return SqliteReplays(str(path)), path.unlink


def lost_redis(url: str) -> tuple[Any, Callable[[], None]]:
    store = RedisReplays(url)
    return store, store._redis.flushall


@pytest.mark.parametrize("kind", ["sqlite", "redis"])
def test_a_store_that_was_lost_lets_nothing_old_in(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """With a container's temporary folder, or a Redis that keeps nothing: it has forgotten what was here."""
    store, lose = lost_sqlite(tmp_path) if kind == "sqlite" else lost_redis(request.getfixturevalue("redis"))
    now = time.time()
    assert store.add("before", signed=now - 10) is not Verdict.NEW
    assert store.add("after", signed=now + 1) is Verdict.NEW
    assert store.add("after", signed=now + 1) is not Verdict.NEW
    lose()
    assert store.add("after", signed=now - 1) is not Verdict.NEW
    assert store.add("new", signed=time.time() + 1) is Verdict.NEW
    other = (
        SqliteReplays(str(tmp_path / "replays")) if kind == "sqlite" else RedisReplays(request.getfixturevalue("redis"))
    )
    assert other.add("new", signed=time.time() + 1) is not Verdict.NEW  # another process
    for each in (store, other):
        if kind == "redis":
            each._redis.close()


@pytest.mark.parametrize("driver_name", ["core-blocking", "core-awaiting"])
def test_what_was_signed_before_the_store_was_made(
    settings: Settings, emulator: Emulator, platform: str, driver_name: str, tmp_path: Path
) -> None:
    driver = Driver(driver_name, settings)
    headers = said_of_ada(emulator, platform)
    call = encode_call("service", "get_connection", ["slack"], {})

    def post(seconds: int) -> int:
        answer = driver.request("POST", "/run", [*sign(headers, seconds=seconds), *call])
        # A relay may sign again what was only too early.
        assert answer.headers.get("retry-after") == (None if answer.status_code == 200 else "1")
        return answer.status_code

    now = int(time.time())
    assert post(now) == 200  # which makes it
    assert post(now - 60) == 400
    (tmp_path / "replays").unlink()
    assert post(now - 1) == 400
    assert post(int(time.time()) + 1) == 200
    driver.close()


@pytest.mark.parametrize(
    ("broken", "named"),
    [("no database", "SQLITE_NOTADB"), ("a folder", "SQLITE_CANTOPEN"), ("read-only", "SQLITE_READONLY")],
)
def test_which_failure_of_a_store_it_is(
    settings: Settings, emulator: Emulator, platform: str, tmp_path: Path, broken: str, named: str,
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    path = tmp_path / "replays"
    headers = said_of_ada(emulator, platform)
    driver = Driver("core-blocking", settings)
    if broken == "no database":
        path.write_bytes(b"x" * 10_000)
    elif broken == "a folder":
        path.mkdir()
    else:
        own = sqlite3.connect
        own(path).close()
        uri = f"file:{path}?mode=ro"
        monkeypatch.setattr(sqlite3, "connect", lambda path, **options: own(uri, uri=True, **options))
    call = encode_call("service", "get_connection", ["slack"], {})
    answer = driver.request("POST", "/run", [*sign(headers), *call])
    assert answer.status_code == 503
    assert named in caplog.text
    assert str(tmp_path) not in caplog.text
    driver.close()
    with pytest.raises(ConfigurationError, match=named):
        Engines(settings).probe()
