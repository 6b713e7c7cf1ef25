"""Where signed requests are noted, so that none is taken twice: one store for all worker processes.

Own code, because it must be atomic between processes that share nothing but a file or a Redis.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import stat
import time
from pathlib import Path
from typing import Any, Final, Protocol, final

from ...errors import ConfigurationError
from ..secret import Secret

logger = logging.getLogger("base44_web")


class ReplayStore(Protocol):
    """Notes what it has not seen yet."""

    def add(self, name: str, seconds: float, *, signed: float) -> bool:
        """Note a name for so many seconds; whether it is new. Atomic, among all who share the store.

        What was signed (seconds since 1970) before the store was made is not new: a store that was lost, with a
        container's temporary folder or a Redis that keeps nothing, has forgotten whether it was here.

        Raises:
            Exception: it cannot tell. The request is then refused.
        """
        ...


@final
class SqliteReplays:
    """A SQLite file, for the workers of one machine.

    It is opened for each request: a connection that is kept would have to be closed by somebody, and survive `fork()`.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._swept = 0.0

    def probe(self) -> None:
        """A file keeps what it was told."""

    def add(self, name: str, seconds: float, *, signed: float) -> bool:
        """As `ReplayStore.add`."""
        import sqlite3

        now = time.time()
        with contextlib.closing(sqlite3.connect(self._path, timeout=5, isolation_level=None)) as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS seen (name TEXT PRIMARY KEY, until REAL) WITHOUT ROWID")
            insert = "INSERT OR IGNORE INTO seen (name, until) VALUES (?, ?)"
            connection.execute(insert, (_MADE, -now))  # negative: never swept, and no request's end
            (made,) = connection.execute("SELECT -until FROM seen WHERE name = ?", (_MADE,)).fetchone()
            if now - self._swept > 60:
                self._swept = now
                connection.execute("DELETE FROM seen WHERE until BETWEEN 0 AND ?", (now,))
            is_new = connection.execute(insert, (name, now + seconds)).rowcount == 1
        return is_new and signed >= math.floor(made)


@final
class RedisReplays:
    """A Redis, for the workers of several machines."""

    def __init__(self, url: str) -> None:
        try:
            from redis import Redis
        except ImportError:
            url = ""  # it can have a password, and this frame is shown
            raise ConfigurationError(
                'A replay_store in Redis needs the client: pip install "base44-web[redis]".'
            ) from None
        self._redis: Any = Redis.from_url(url, socket_timeout=2, socket_connect_timeout=2)  # pyright: ignore[reportUnknownMemberType]

    def probe(self) -> None:
        """Warn where this Redis may forget what it was told."""
        try:
            policy = self._redis.info("memory").get("maxmemory_policy", "noeviction")
        except Exception:  # noqa: BLE001 - a server that does not tell; what it cannot do shows in `add`
            return
        if policy != "noeviction":
            logger.warning(
                "The replay_store's Redis evicts keys (maxmemory-policy %s): signed requests could be taken twice. "
                "Give it one with noeviction.",
                policy,
            )

    def add(self, name: str, seconds: float, *, signed: float) -> bool:
        """As `ReplayStore.add`."""
        with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.set(f"base44-web:{_MADE}", time.time(), nx=True)
            pipeline.get(f"base44-web:{_MADE}")
            pipeline.set(f"base44-web:seen:{name}", 1, nx=True, ex=math.ceil(seconds))
            _, made, is_new = pipeline.execute()
        return bool(is_new) and signed >= math.floor(float(made))


_MADE: Final = "replays-made"


def replay_store(setting: Secret | None) -> SqliteReplays | RedisReplays:
    """The store that `replay_store` names: a file, or the URL of a Redis; by default a file in the temporary folder."""
    if setting is not None:
        is_redis = setting.reveal().startswith(("redis:", "rediss:", "unix:"))
        return RedisReplays(setting.reveal()) if is_redis else SqliteReplays(setting.reveal())
    import tempfile

    folder = Path(tempfile.gettempdir()) / f"base44-web-{_user()}"
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    if hasattr(os, "getuid") and not _is_ours_alone(folder.lstat()):
        raise ConfigurationError(
            f"{folder} is no folder of this user's alone: somebody else could have requests taken twice. Remove it, or "
            "set replay_store (BASE44_REPLAY_STORE) to a file of your own."
        )
    return SqliteReplays(str(folder / "replays.sqlite"))


def _is_ours_alone(found: os.stat_result) -> bool:
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077


def _user() -> str:
    if hasattr(os, "getuid"):
        return str(os.getuid())
    import getpass

    return getpass.getuser()


def describe(error: Exception) -> str:
    """Which failure of a store it is, without its text: that can hold a password."""
    name: object = getattr(error, "sqlite_errorname", None)
    return name if isinstance(name, str) else type(error).__name__
