"""What the emulator remembers, in SQLite: in memory, or in a file that survives a restart."""

from __future__ import annotations

import json
import secrets
import sqlite3
import threading
import time
from collections.abc import Mapping
from typing import Any

_SCHEMA = """
CREATE TABLE IF NOT EXISTS settings (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS users (id TEXT PRIMARY KEY, email TEXT UNIQUE NOT NULL, password TEXT NOT NULL,
    record TEXT NOT NULL, events TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS connectors (kind TEXT NOT NULL, id TEXT NOT NULL, integration_type TEXT NOT NULL,
    config TEXT, PRIMARY KEY (kind, id));
CREATE TABLE IF NOT EXISTS connections (id TEXT PRIMARY KEY, kind TEXT NOT NULL, connector TEXT NOT NULL,
    owner TEXT NOT NULL, token TEXT UNIQUE NOT NULL, UNIQUE (kind, connector, owner));
CREATE TABLE IF NOT EXISTS flows (state TEXT PRIMARY KEY, connector TEXT NOT NULL, owner TEXT NOT NULL,
    code TEXT, expires REAL NOT NULL);
CREATE TABLE IF NOT EXISTS registrations (email TEXT PRIMARY KEY, password TEXT NOT NULL, code TEXT, expires REAL);
CREATE TABLE IF NOT EXISTS resets (email TEXT PRIMARY KEY, token TEXT NOT NULL, expires REAL NOT NULL);
"""
_CONNECTION = "SELECT * FROM connections WHERE kind = ? AND connector = ? AND owner = ?"


class State:
    """Users, connectors, connections and OAuth flows under way. Every method may be called from any thread."""

    def __init__(self, path: str = ":memory:") -> None:
        self._lock = threading.RLock()
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._db.row_factory = sqlite3.Row
        self._db.executescript(_SCHEMA)

    def close(self) -> None:
        with self._lock:
            self._db.close()

    def one(self, query: str, *values: object) -> sqlite3.Row | None:
        """The first row of a query, or `None`; also the way to run any other statement."""
        with self._lock:
            row: sqlite3.Row | None = self._db.execute(query, values).fetchone()
            return row

    def all(self, query: str, *values: object) -> list[sqlite3.Row]:
        with self._lock:
            return self._db.execute(query, values).fetchall()

    def setting(self, name: str, default: str) -> str:
        """A value kept from the first time it was asked for."""
        self.one("INSERT OR IGNORE INTO settings VALUES (?, ?)", name, default)
        return str(self._found("SELECT value FROM settings WHERE name = ?", name)["value"])

    def change_setting(self, name: str, value: str) -> None:
        self.one("INSERT OR REPLACE INTO settings VALUES (?, ?)", name, value)

    def add_user(self, email: str, password: str, record: Mapping[str, Any], events: list[dict[str, Any]]) -> None:
        self.one(
            "INSERT OR REPLACE INTO users VALUES (?, ?, ?, ?, ?)",
            record["id"], email, password, json.dumps(dict(record)), json.dumps(events),
        )  # fmt: skip

    def user(self, email: str) -> sqlite3.Row | None:
        return self.one("SELECT * FROM users WHERE email = ?", email)

    def records(self, most: int = -1) -> list[dict[str, Any]]:
        """The users' records, as they came."""
        rows = self.all("SELECT record FROM users ORDER BY rowid LIMIT ?", most)
        return [json.loads(row["record"]) for row in rows]

    def change_user(self, record: Mapping[str, Any]) -> None:
        self.one("UPDATE users SET record = ? WHERE id = ?", json.dumps(dict(record)), record["id"])

    def remove_user(self, identifier: str) -> None:
        self.one("DELETE FROM connections WHERE kind = 'app_user' AND owner = ?", identifier)
        self.one("DELETE FROM users WHERE id = ?", identifier)

    def add_connector(
        self, kind: str, identifier: str, integration_type: str, config: Mapping[str, str] | None
    ) -> None:
        self.one(
            "INSERT OR REPLACE INTO connectors VALUES (?, ?, ?, ?)",
            kind, identifier, integration_type, None if config is None else json.dumps(dict(config)),
        )  # fmt: skip

    def connector(self, kind: str, identifier: str) -> sqlite3.Row | None:
        return self.one("SELECT * FROM connectors WHERE kind = ? AND id = ?", kind, identifier)

    def connect(self, kind: str, connector: str, owner: str = "") -> sqlite3.Row:
        """Make a connection with a fresh token, in place of one that was there."""
        self.one(
            "INSERT OR REPLACE INTO connections VALUES (?, ?, ?, ?, ?)",
            secrets.token_hex(12), kind, connector, owner, _provider_token(),
        )  # fmt: skip
        return self._found(_CONNECTION, kind, connector, owner)

    def connection(self, kind: str, connector: str, owner: str = "") -> sqlite3.Row | None:
        return self.one(
            "SELECT connections.*, integration_type, config FROM connections JOIN connectors "
            "ON connectors.kind = connections.kind AND connectors.id = connector "
            "WHERE connections.kind = ? AND connector = ? AND owner = ?",
            kind, connector, owner,
        )  # fmt: skip

    def replace_token(self, kind: str, connector: str, owner: str = "") -> str:
        """Let a connection's token die, and make another."""
        self.one(
            "UPDATE connections SET token = ? WHERE kind = ? AND connector = ? AND owner = ?",
            _provider_token(), kind, connector, owner,
        )  # fmt: skip
        return str(self._found(_CONNECTION, kind, connector, owner)["token"])

    def disconnect(self, kind: str, connector: str, owner: str = "") -> None:
        self.one("DELETE FROM connections WHERE kind = ? AND connector = ? AND owner = ?", kind, connector, owner)

    def start_flow(self, connector: str, owner: str, seconds: float) -> str:
        """A new OAuth flow; its state is the credential in the link."""
        state = secrets.token_urlsafe(24)
        self.one("INSERT INTO flows VALUES (?, ?, ?, NULL, ?)", state, connector, owner, time.time() + seconds)
        return state

    def flow(self, state: str) -> sqlite3.Row | None:
        return self.one("SELECT * FROM flows WHERE state = ? AND expires > ?", state, time.time())

    def approve_flow(self, state: str) -> str:
        code = secrets.token_urlsafe(16)
        self.one("UPDATE flows SET code = ? WHERE state = ?", code, state)
        return code

    def finish_flow(self, state: str) -> sqlite3.Row | None:
        """Take the flow out; only one caller gets it."""
        with self._lock:
            flow = self.flow(state)
            self.one("DELETE FROM flows WHERE state = ?", state)
            return flow

    def _found(self, query: str, *values: object) -> sqlite3.Row:
        row = self.one(query, *values)
        assert row is not None
        return row


def _provider_token() -> str:
    return f"provider-{secrets.token_urlsafe(24)}"
