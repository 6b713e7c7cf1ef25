"""The connection's token in Google's libraries."""

from __future__ import annotations

import threading
from collections.abc import MutableMapping
from typing import Any, final

from google.auth.credentials import Credentials
from google.auth.exceptions import RefreshError

from .._core.provider_auth import NewestToken, Record, tell
from .._core.secret import Opaque
from ..errors import Base44Error, ConfigurationError


@final
class GoogleCredentials(Opaque, Credentials):
    """See `google_credentials`."""

    def __init__(self, newest: NewestToken) -> None:
        self._newest = newest
        # Google's transports do not say which token was refused, but refresh in the thread that sent it. Without this,
        # a second thread would have the newer token renewed, which nobody has refused.
        self._sent = threading.local()
        super().__init__()  # type: ignore[no-untyped-call]

    @property
    def token(self) -> str:
        """The newest token."""
        return self._newest.record.token.reveal()

    @token.setter
    def token(self, value: None) -> None:
        """The base class begins with `None`; a token is not set by others."""
        if value is not None:
            raise AttributeError("the token is the connection's")

    def before_request(self, request: Any, method: str, url: str, headers: MutableMapping[str, str]) -> None:
        self._newest.check(url)
        self.apply(headers)

    def apply(self, headers: MutableMapping[str, str], token: str | None = None) -> None:
        self._sent.record = used = self._newest.record
        headers["authorization"] = used.token.bearer() if token is None else f"Bearer {token}"

    def refresh(self, request: Any) -> None:
        if self._newest.origin is None:
            raise _refused("This connection was made by hand: nobody knows how to renew it.")
        used: Record = getattr(self._sent, "record", self._newest.record)
        try:
            self._newest.renew(used)
        except (Base44Error, ConfigurationError) as error:
            tell(used, error)
            raise _refused(str(error)) from error


def _refused(message: str) -> RefreshError:
    return RefreshError(message)  # type: ignore[no-untyped-call]
