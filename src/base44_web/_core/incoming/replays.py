"""Where signed requests are noted, so that none is taken twice: one store for all worker processes.

Own code, because it must be atomic between processes that share nothing but a file or a Redis.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import secrets
import stat
import time
from collections.abc import Generator
from enum import Enum
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, final

from ...errors import ConfigurationError
from ..secret import Secret

if TYPE_CHECKING:
    import sqlite3

logger = logging.getLogger("base44_web")


class Verdict(Enum):
    """What a store knows of a signed request."""

    NEW = "new"
    SEEN = "it was here before"
    EARLIER = "it was signed before the replay_store was made, or before the clock was put back"


class ReplayStore(Protocol):
    """Notes what it has not seen yet."""

    def open(self) -> None:
        """Make the store where it is not there yet, and warn where it may forget what it is told.

        Raises:
            Exception: it cannot be used.
        """
        ...

    def add(self, name: str, *, signed: float) -> Verdict:
        """Note a name until its signature is too old anyway. Atomic, among all who share the store.

        `EARLIER` is what was signed (seconds since 1970) at a time that the store does not remember: before it was
        made, for a store that was lost (with a container's temporary folder, or a Redis that keeps nothing) has
        forgotten; and where the clock was put back, what it has let go since.

        Raises:
            Exception: it cannot tell. The request is then refused.
        """
        ...


WINDOW: Final = 300  # seconds that a signature is good for, either way
_KEPT: Final = 2 * WINDOW + 60  # seconds from a name's arrival: it can be signed ahead
_ON_THE_WAY: Final = 2  # seconds for the request that is the first reason to make a store
_MADE: Final = "replays-made"
_LET_GO: Final = "replays-let-go"
_opened: set[str] = set()  # by this process


def _made_now(store: str, now: float) -> float:
    """What a store that is made now does not remember; a process that had it already has lost it."""
    return now if store in _opened else math.floor(now) - _ON_THE_WAY


def _verdict(is_new: bool, remembers: bool) -> Verdict:
    return Verdict.SEEN if not is_new else Verdict.NEW if remembers else Verdict.EARLIER


@final
class SqliteReplays:
    """A SQLite file, for the workers of one machine.

    It is opened for each request: a connection that is kept would have to be closed by somebody, and survive `fork()`.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._swept = 0.0

    def open(self) -> None:
        """As `ReplayStore.open`."""
        with self._connected(time.time()):
            pass

    def add(self, name: str, *, signed: float) -> Verdict:
        """As `ReplayStore.add`."""
        now = time.time()
        with self._connected(now) as connection:
            if now - self._swept > 60:
                self._swept = now
                if connection.execute("DELETE FROM seen WHERE until BETWEEN 0 AND ?", (now,)).rowcount:
                    # Gone is what came before now - _KEPT, and that was signed at most a window later.
                    self._keep_latest(connection, _LET_GO, now - _KEPT + WINDOW)
            is_new = connection.execute(_INSERT, (name, now + _KEPT)).rowcount == 1
            ((forgotten,),) = connection.execute("SELECT max(-until) FROM seen WHERE until < 0")
        return _verdict(is_new, signed >= math.floor(forgotten))

    @contextlib.contextmanager
    def _connected(self, now: float) -> Generator[sqlite3.Connection]:
        import sqlite3

        with contextlib.closing(sqlite3.connect(self._path, timeout=5, isolation_level=None)) as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS seen (name TEXT PRIMARY KEY, until REAL) WITHOUT ROWID")
            # Below zero are times that are no name's end, and are never swept.
            connection.execute(_INSERT, (_MADE, -_made_now(self._path, now)))
            _opened.add(self._path)
            # A clock that was ahead as the store was made, and was set right before any request came.
            connection.execute(
                "UPDATE seen SET until = :now WHERE until < :now AND (SELECT count(*) FROM seen) = 1",
                {"now": -math.ceil(now)},
            )
            yield connection

    @staticmethod
    def _keep_latest(connection: sqlite3.Connection, name: str, at: float) -> None:
        connection.execute(
            "INSERT INTO seen (name, until) VALUES (?, ?) ON CONFLICT DO UPDATE SET until = min(until, excluded.until)",
            (name, -at),
        )


_INSERT: Final = "INSERT OR IGNORE INTO seen (name, until) VALUES (?, ?)"


@final
class RedisReplays:
    """A Redis, for the workers of several machines. Its clock counts, which no worker's own puts back."""

    def __init__(self, url: str) -> None:
        try:
            from redis import Redis
        except ImportError:
            url = ""  # it can have a password, and this frame is shown
            raise ConfigurationError(
                'A replay_store in Redis needs the client: pip install "base44-web[redis]".'
            ) from None
        self._redis: Any = Redis.from_url(url, socket_timeout=2, socket_connect_timeout=2)  # pyright: ignore[reportUnknownMemberType]
        self._id = sha256(url.encode()).hexdigest()

    def open(self) -> None:
        """As `ReplayStore.open`."""
        (now, _) = self._redis.time()
        self._make(now)
        try:
            policy = self._redis.info("memory").get("maxmemory_policy", "noeviction")
        except Exception:  # noqa: BLE001 - a server that does not tell; what it cannot do shows in `add`
            return
        if policy != "noeviction":
            logger.warning(
                "The replay_store's Redis evicts keys (maxmemory-policy %s): signed requests could be taken twice. "
                "Give it one with noeviction.",
                policy,
                extra={"base44_event": "replay_store_evicts"},
            )

    def add(self, name: str, *, signed: float) -> Verdict:
        """As `ReplayStore.add`."""
        seen, mark = f"base44-web:seen:{name}", secrets.token_bytes(16)
        with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.get(f"base44-web:{_MADE}")
            pipeline.time()
            pipeline.set(seen, mark, nx=True, ex=_KEPT)
            pipeline.get(seen)  # the client asks again where an answer was lost: then the mark is there, and is ours
            made, (now, _), _, found = pipeline.execute()
        made = self._make(now) if made is None else float(made)
        return _verdict(found == mark, signed >= math.floor(made) and abs(now - signed) <= WINDOW)

    def _make(self, now: float) -> float:
        """When the store was made, if not now."""
        self._redis.set(f"base44-web:{_MADE}", _made_now(self._id, now), nx=True)
        _opened.add(self._id)
        return float(self._redis.get(f"base44-web:{_MADE}"))


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
