"""The sign-in pages that the platform hosts, and the way back to the front end.

Addresses: `@base44/sdk` 0.8.50, dist/modules/auth.js: `redirectToLogin`, `loginWithProvider` (whose popup waits for a
message from its own origin), `logout`.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from urllib.parse import parse_qs

from ._faults import Recorded
from ._identity import Identity
from ._loopback import destination, is_loopback_origin, with_token
from ._pages import message_page, popup_page, sign_in_page
from ._replies import HTML, Reply, redirect
from ._state import State

_ABROAD = message_page("This address is refused", "The emulator sends tokens to pages of this machine only.")


def logout(query: Mapping[str, str], base: str) -> Reply:
    """The front end has forgotten its token already, and the emulator sets no cookies: back to where it wants."""
    back = destination(query.get("from_url", "/"), base)
    return (400, HTML, _ABROAD) if back is None else redirect(back)


class SignIn:
    """A page to pick a user on, or to give an address and a password."""

    def __init__(self, state: State, identity: Identity) -> None:
        self._state = state
        self._identity = identity

    def answer(self, request: Recorded, query: Mapping[str, str], base: str, provider: str | None = None) -> Reply:
        """`/login`, or a provider's page, which stands in for it."""
        back = destination(query.get("from_url", "/"), base)
        popup = query.get("popup_origin")
        if back is None or (popup is not None and not is_loopback_origin(popup)):
            return 400, HTML, _ABROAD
        if request.method == "GET":
            return self._page(provider)
        email = self._chosen(request, provider)
        if email is None:
            return self._page(provider, failed=True)
        token = self._identity.sign(email)
        return redirect(with_token(back, token)) if popup is None else (200, HTML, popup_page(token, popup))

    def _page(self, provider: str | None, *, failed: bool = False) -> Reply:
        named = [(each["id"], each["full_name"] or each["email"]) for each in self._state.records(20)]
        return 401 if failed else 200, HTML, sign_in_page(named, provider, failed=failed)

    def _chosen(self, request: Recorded, provider: str | None) -> str | None:
        form = {name: values[0] for name, values in parse_qs(request.body.decode("utf-8", "replace")).items()}
        if "user" in form:
            row = self._state.one("SELECT email FROM users WHERE id = ?", form["user"])
            return None if row is None else str(row["email"])
        row = self._state.user(form.get("email", ""))
        if provider is not None or row is None:
            return None
        right = secrets.compare_digest(form.get("password", "").encode(), row["password"].encode())
        return str(row["email"]) if right else None
