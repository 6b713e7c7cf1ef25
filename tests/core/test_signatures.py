"""Signed headers: what their settings need, and what is noted of a request so that it passes once."""

from __future__ import annotations

import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

import pytest

from base44_web import (
    ConfigurationError,
    Settings,
)
from base44_web._core.engine.apps import Engines
from base44_web._core.incoming.replays import RedisReplays, SqliteReplays
from tests.drivers import changed
from tests.relayed import SECRET, signed_fields


@pytest.fixture
def fields(platform: str, tmp_path: Path) -> dict[str, Any]:
    return signed_fields(platform, tmp_path)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"relay_keys": None}, "relay_keys"), ({"relay_audience": None}, "relay_audience"), ({"allowed_api_urls": None}, "allowed_api_urls"),
        ({"relay_keys": {"k": "short"}}, "32 bytes"), ({"relay_keys": {"k": 7}}, "32 bytes"), ({"relay_keys": {}}, "one key"),
        ({"relay_keys": dict.fromkeys("abc", SECRET)}, "two"), ({"relay_keys": {"a b": SECRET}}, "key ID"),
        ({"token_sources": ["header", "cookie"]}, "no relay signs"), ({"replay_store": "/nowhere/at/all"}, "replay_store"),
        ({"replay_store": "redis://127.0.0.1:9/0"}, "replay_store"),
    ],
)  # fmt: skip
def test_settings_that_are_refused(settings: Settings, wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message) as caught:
        Engines(changed(settings, **wrong).complete()).probe()
    assert SECRET not in str(caught.value)


def test_keys_from_the_environment(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BASE44_RELAY_KEYS", f"old={SECRET},new={'z' * 32}")
    given = {name: value for name, value in settings._given.items() if value is not None and name != "relay_keys"}
    found = Settings(**given).complete()
    assert sorted(found.relay_keys) == ["new", "old"]
    assert SECRET not in repr(found.relay_keys)


def test_what_is_old_is_swept(tmp_path: Path) -> None:
    import sqlite3

    store = SqliteReplays(str(tmp_path / "replays"))
    assert store.add("a", 0.01, signed=time.time())
    assert not store.add("a", 600, signed=time.time())
    time.sleep(0.05)
    store._swept = 0.0
    assert store.add("b", 600, signed=time.time())
    with sqlite3.connect(tmp_path / "replays") as connection:
        assert connection.execute("SELECT name FROM seen WHERE until > 0").fetchall() == [("b",)]
    connection.close()


def test_redis_forgets_by_itself(redis: str) -> None:
    store = RedisReplays(redis)
    assert store.add("a", 600, signed=time.time())
    assert not store.add("a", 600, signed=time.time())
    assert 590 < store._redis.ttl("base44-web:seen:a") <= 600
    store._redis.close()


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
