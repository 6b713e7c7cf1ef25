"""What the pytest plugin does, in terms of no pytest: one address for a whole run, and an emulator for each test."""

from __future__ import annotations

import difflib
import re
import secrets
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, Self, final

from .._core.config import Settings
from .._core.engine.engine import _engines
from .._core.secret import Opaque
from .._core.values import AppUser
from ._emulator import CALENDAR_ID, Emulator
from ._faults import Answer, Recorded
from ._identity import Mode
from ._server import Server

_ID = re.compile(r"[0-9a-f]{24}")  # in real apps (contract of `@base44/sdk` 0.8.50)


@final
class Stage(Opaque):
    """Serves one emulator after the other at one address, for one app with one service token.

    An app that was made for one test is therefore good for the next.

    Attributes:
        url: the address.
    """

    def __init__(self) -> None:
        self.url: str | None = None
        self._emulator: Emulator | None = None
        self._service_token = f"service-{secrets.token_urlsafe(24)}"
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._stack.enter_context(Server(self, "127.0.0.1", 0))
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    def answer(self, request: Recorded) -> Answer:
        """Answer a request, which can come after the test that made it."""
        emulator = self._emulator
        return Answer(503, (), b"") if emulator is None else emulator.answer(request)

    @contextmanager
    def playing(self, mode: Mode = "platform") -> Generator[Emulator]:
        """An emulator of its own behind the address."""
        with Emulator.demo(mode=mode) as emulator:
            emulator.url, emulator.service_token = self.url, self._service_token
            self._emulator = emulator
            forget()
            try:
                yield emulator
            finally:
                self._emulator = None

    def values(self) -> dict[str, Any]:
        """The settings of an app against what plays here, but for its connectors."""
        return {
            "app_id": "demo-app", "server_url": self.url, "service_token": self._service_token, "connection_ttl": 0,
            "identity_ttl": 0,
        }  # fmt: skip

    def variables(self) -> dict[str, str]:
        """The same as environment variables."""
        return {f"BASE44_{name.upper()}": str(value) for name, value in self.values().items()}


def forget() -> None:
    """Forget what all apps of this process remember: the platform is another one now."""
    for engine in list(_engines):
        engine.identity.known.clear()
        for memory in (engine.connections.memory, engine.connections.renewals, engine.statuses):
            memory.after_fork()


def connectors_of(given: object) -> dict[str, str]:
    """Names of connectors, given as the setting `app_user_connectors` is; by default the demo's calendar."""
    found: Mapping[str, str] = Settings(app_user_connectors=given).app_user_connectors if given else {}  # type: ignore[arg-type]
    return dict(found) or {"calendar": CALENDAR_ID}


@final
class Base44User(Opaque):
    """An app user who is signed in, of the fixture `base44_user`.

    Args:
        emulator: where.
        user: who.
        connectors: the IDs that names mean.

    Attributes:
        user: who the platform says they are.
        token: their JWT, as their browser would send it.
    """

    def __init__(self, emulator: Emulator, user: AppUser, connectors: Mapping[str, str]) -> None:
        self._emulator = emulator
        self._connectors = connectors
        self.user = user
        self.token = emulator.sign_in(user)

    def __repr__(self) -> str:
        return f"<Base44User {self.user.email}>"

    @property
    def headers(self) -> dict[str, str]:
        """What their browser would send with each request."""
        return {"Authorization": f"Bearer {self.token}"}

    def connect(self, connector: str) -> str:
        """Connect them, as if they had consented.

        Args:
            connector: a name or an ID.

        Returns:
            The provider's access token.

        Raises:
            LookupError: it is neither.
        """
        token = self._emulator.connect(self.user, self._id(connector))
        forget()
        return token

    def disconnect(self, connector: str) -> None:
        """End their connection; its token dies. As `connect` otherwise."""
        self._emulator.disconnect(self.user, self._id(connector))
        forget()

    def _id(self, connector: str) -> str:
        known = dict(self._connectors)
        for engine in list(_engines):  # what an app was given in code
            if engine.settings.server_url == self._emulator.url:
                known |= engine.settings.app_user_connectors
        if connector in known:
            return known[connector]
        if connector in known.values() or _ID.fullmatch(connector):
            return connector
        near = difflib.get_close_matches(connector, known, 1)
        raise LookupError(
            f"There is no connector {connector!r}, only {', '.join(known)}."
            + (f" Did you mean {near[0]!r}?" if near else "")
            + ' Name those of your app: @pytest.mark.base44(connectors={"calendar": "69e6…"}); or give an ID.'
        )
