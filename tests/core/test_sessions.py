"""The session's cookie: sealed for one app, for a while, by keys that can be changed."""

from __future__ import annotations

import re
import sys
import time

import pytest

pytest.importorskip("cryptography")
import jwt

from base44_web import AuthenticationError, BadRequestError, ConfigurationError, PermissionDeniedError, Settings
from base44_web._core.claims import Token
from base44_web._core.incoming.cookies import require_same_origin
from base44_web._core.incoming.read import read_caller
from base44_web._core.incoming.request import Incoming, strip_scope
from base44_web._core.incoming.session import Seal, clear_cookie
from base44_web._core.secret import Secret
from tests.checks import SESSION_SECRET

SEAL = Seal((Secret(SESSION_SECRET),))
SETTINGS = Settings(app_id="app", token_sources=["header", "session"], secret=SESSION_SECRET)


def token(lifetime: float) -> Token:
    claims = {"sub": "ada", "exp": int(time.time() + lifetime)}
    return Token(Secret(jwt.encode(claims, "k" * 40, algorithm="HS256")))


def asking(cookie: str) -> Incoming:
    return Incoming("GET", [("cookie", cookie.partition(";")[0])], secure=True)


def test_a_session_is_of_one_app() -> None:
    """Apps of one server can have one secret."""
    own = read_caller(asking(SEAL.set_cookie(token(60), "app")), SETTINGS, SEAL)
    assert own.token is not None
    # Of another app on the same host: browsers send it here too, and it is nobody's business here to end it.
    assert read_caller(asking(SEAL.set_cookie(token(60), "other")), SETTINGS, SEAL).token is None


def test_a_token_that_has_ended_begins_no_session() -> None:
    with pytest.raises(BadRequestError, match="expired"):
        SEAL.set_cookie(token(-1), "app")


def test_a_session_from_elsewhere_is_told_what_to_do() -> None:
    with pytest.raises(PermissionDeniedError) as caught:
        require_same_origin(Incoming("POST", [("origin", "https://elsewhere.example")], secure=True), SETTINGS)
    error = caught.value
    assert str(error) == error.message, "the log cuts it"
    for way in ("startSession(token)", "BASE44_ALLOWED_ORIGINS", "BASE44_PUBLIC_URL", "Authorization: Bearer"):
        assert way in error.message
    found = re.search(r"-H '(.*?): (.*?)'", error.message)
    assert found is not None
    require_same_origin(Incoming("POST", [(found[1].lower(), found[2])], secure=True), SETTINGS)


def test_the_first_secret_seals_and_all_open() -> None:
    old = Secret("an older secret of more than 32 characters")
    cookie = Seal((old,)).set_cookie(token(60), "app")
    both = Seal((Secret(SESSION_SECRET), old))
    assert read_caller(asking(cookie), SETTINGS, both).token is not None
    with pytest.raises(AuthenticationError):
        read_caller(asking(cookie), SETTINGS, SEAL)
    assert "Max-Age=0" in clear_cookie()


def test_without_cryptography_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography.fernet", None)
    with pytest.raises(ConfigurationError, match=r"base44-web\[session\]"):
        Seal((Secret(SESSION_SECRET),))


def test_headers_that_are_no_list() -> None:
    """A server may give them as a tuple."""
    scope = {"headers": ((b"base44-state", b"x"), (b"accept", b"*/*"))}
    strip_scope(scope)
    assert scope["headers"] == [(b"accept", b"*/*")]
