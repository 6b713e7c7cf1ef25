"""A token in a cookie: read exactly, and believed only with proof of where the request comes from."""

from __future__ import annotations

import contextlib
import itertools

import pytest

from base44_web import (
    AuthenticationError,
    ConfigurationError,
    PermissionDeniedError,
    Settings,
)
from base44_web._core.incoming.cookies import require_same_origin
from base44_web._core.incoming.read import read_caller
from base44_web._core.incoming.request import Incoming

NAME = "base44_access_token"


SETTINGS = Settings(
    app_id="a", token_sources=["header", "cookie"], allowed_origins=["https://app.example", "http://localhost:5173"]
)


TOKEN = "aaa.bbb.ccc"


def token(
    *headers: tuple[str, str],
    method: str = "GET",
    secure: bool = False,
    websocket: bool = False,
    settings: Settings = SETTINGS,
) -> str | None:
    incoming = Incoming(method, [("host", "site.example"), *headers], secure=secure, websocket=websocket)
    found = read_caller(incoming, settings).token
    return None if found is None else found.secret.reveal()


FOUND = [
    f"{NAME}={TOKEN}", f"a=b; {NAME}={TOKEN}", f"{NAME} = {TOKEN} ;x", f"\t{NAME}={TOKEN}\t", f"x;;{NAME}={TOKEN};",
]  # fmt: skip


def test_found(subtests: pytest.Subtests) -> None:
    for cookie in FOUND:
        with subtests.test(cookie=cookie):
            assert token(("cookie", cookie)) == TOKEN


def test_found_in_one_of_several_headers() -> None:
    assert token(("cookie", "a=b"), ("cookie", f"{NAME}={TOKEN}")) == TOKEN  # HTTP/2 splits them, RFC 9113 §8.2.3


OTHER_NAMES = [
    f"\x85{NAME}={TOKEN}", f"\xa0{NAME}={TOKEN}", f"{NAME}\x85={TOKEN}", f"{NAME.upper()}={TOKEN}",
    f"{NAME}X={TOKEN}", f"X{NAME}={TOKEN}", f"__Host-{NAME}={TOKEN}", NAME, f'"{NAME}"={TOKEN}',
    f"\x0b{NAME}={TOKEN}", f"\x1c{NAME}={TOKEN}", f"a=1,{NAME}={TOKEN}",
]  # fmt: skip


def test_names_are_exact(subtests: pytest.Subtests) -> None:
    for cookie in OTHER_NAMES:
        with subtests.test(cookie=cookie):
            assert token(("cookie", cookie)) is None


MALFORMED = [
    f"{NAME}={TOKEN}; {NAME}={TOKEN}", f"{NAME}={TOKEN}; {NAME}=other", f"{NAME}={TOKEN},{NAME}=x", f"{NAME}=",
    f'{NAME}="{TOKEN}"', f"{NAME}=a%20b", f"{NAME}=a b", f"{NAME}={TOKEN}\xa0", f"{NAME}={'a' * 8193}",
]  # fmt: skip


def test_malformed_is_an_error(subtests: pytest.Subtests) -> None:
    for cookie in MALFORMED:
        with subtests.test(cookie=cookie):
            with pytest.raises(AuthenticationError) as caught:
                token(("cookie", cookie))
            assert caught.value.code == "malformed_cookie"
            assert TOKEN not in str(caught.value)


def test_two_headers_with_the_same_cookie_are_an_error() -> None:
    with pytest.raises(AuthenticationError):
        token(("cookie", f"{NAME}={TOKEN}"), ("cookie", f"{NAME}={TOKEN}"))


def test_off_by_default() -> None:
    assert token(("cookie", f"{NAME}={TOKEN}"), settings=Settings(app_id="a")) is None


def test_the_header_wins_and_a_wrong_one_never_falls_through() -> None:
    assert token(("cookie", f"{NAME}={TOKEN}"), ("authorization", "Bearer other")) == "other"
    with pytest.raises(AuthenticationError):
        token(("cookie", f"{NAME}={TOKEN}"), ("authorization", "Basic Zm9v"))


def test_over_https_the_name_must_be_host_bound() -> None:
    with pytest.raises(ConfigurationError, match="BASE44_COOKIE_NAME"):
        token(("cookie", f"{NAME}={TOKEN}"), secure=True)
    bound = Settings(app_id="a", token_sources=["header", "cookie"], cookie_name="__Host-token")
    assert token(("cookie", f"__Host-token={TOKEN}"), secure=True, settings=bound) == TOKEN


SITE, ORIGIN, MODE = "sec-fetch-site", "origin", "sec-fetch-mode"


PROOFS = [
    [(SITE, "same-origin")], [(SITE, "same-origin"), (ORIGIN, "null")], [(ORIGIN, "http://site.example")],
    [(ORIGIN, "https://site.example")], [(ORIGIN, "https://site.example:443")], [(ORIGIN, "https://app.example")],
    [(ORIGIN, "https://app.example"), (SITE, "cross-site")], [(ORIGIN, "http://localhost:5173"), (SITE, "same-site")],
]  # fmt: skip


def test_unsafe_methods_with_proof(subtests: pytest.Subtests) -> None:
    for proof in PROOFS:
        with subtests.test(proof=proof):
            for method in ("POST", "PUT", "PATCH", "DELETE", "ANYTHING", "get"):
                assert token(("cookie", f"{NAME}={TOKEN}"), *proof, method=method) == TOKEN


NO_PROOFS: list[list[tuple[str, str]]] = [
    [],
    [(SITE, "cross-site")], [(SITE, "same-site")], [(SITE, "none")],
    [(SITE, "same-origin"), (SITE, "same-origin")],
    [(SITE, "cross-site"), (ORIGIN, "http://site.example")],
    [(ORIGIN, "null")], [(ORIGIN, "https://evil.example")], [(ORIGIN, "https://site.example.evil.example")],
    [(ORIGIN, "https://site.example:8443")], [(ORIGIN, "https://x@site.example")], [(ORIGIN, "site.example")],
    [(ORIGIN, "https://app.example"), (ORIGIN, "https://evil.example")], [(ORIGIN, "https://app.example:444")],
    [(ORIGIN, "HTTPS://APP.EXAMPLE.evil")], [(ORIGIN, "")], [(ORIGIN, "file://")], [(ORIGIN, "http://[")],
    [(ORIGIN, "https://a]b")], [(ORIGIN, "https://site.example:x")],
]  # fmt: skip


def test_unsafe_methods_without_proof(subtests: pytest.Subtests) -> None:
    for proof in NO_PROOFS:
        with subtests.test(proof=proof):
            with pytest.raises(PermissionDeniedError) as caught:
                token(("cookie", f"{NAME}={TOKEN}"), *proof, method="POST")
            assert (caught.value.status, caught.value.code) == (403, "cross_origin_cookie")


FETCHES: list[tuple[list[tuple[str, str]], bool]] = [
    ([], True), ([(SITE, "same-origin")], True), ([(SITE, "none")], True),
    ([(SITE, "cross-site"), (MODE, "navigate")], True), ([(SITE, "same-site"), (MODE, "navigate")], True),
    ([(SITE, "cross-site"), (MODE, "no-cors")], False), ([(SITE, "same-site"), (MODE, "cors")], False),
    ([(SITE, "cross-site")], False),
    ([(SITE, "cross-site"), (MODE, "cors"), (ORIGIN, "https://app.example")], True),
]  # fmt: skip


def test_safe_methods(subtests: pytest.Subtests) -> None:
    for fetch, counts in FETCHES:
        with subtests.test(fetch=fetch):
            for method in ("GET", "HEAD", "OPTIONS"):
                assert token(("cookie", f"{NAME}={TOKEN}"), *fetch, method=method) == (TOKEN if counts else None)


def test_a_websocket_needs_an_allowed_origin() -> None:
    cookie = ("cookie", f"{NAME}={TOKEN}")
    for origin in ("https://site.example", "https://app.example"):
        assert token(cookie, (ORIGIN, origin), websocket=True) == TOKEN
    for origins in ([], [(ORIGIN, "null")], [(ORIGIN, "https://evil.example")]):
        with pytest.raises(PermissionDeniedError):
            token(cookie, *origins, websocket=True)


def test_a_cookie_that_browsers_set_over_https_alone() -> None:
    """Whatever scheme this server sees behind a proxy: a page of `http://site` is not the site. On loopback it is."""
    bound = Settings(app_id="a", token_sources=["header", "cookie"], cookie_name="__Host-token")
    cookie = ("cookie", f"__Host-token={TOKEN}")
    for origin, host, speaks in (
        ("https://site.example", "site.example", True), ("http://site.example", "site.example", False),
        ("http://localhost:8000", "localhost:8000", True), ("http://127.0.0.1", "127.0.0.1", True),
        ("http://localhost.evil.example", "localhost.evil.example", False),
    ):  # fmt: skip
        for secure, websocket in itertools.product((False, True), (False, True)):
            headers = [("host", host), (ORIGIN, origin), cookie]
            incoming = Incoming("POST", headers, secure=secure, websocket=websocket)
            if speaks:
                found = read_caller(incoming, bound).token
                assert found is not None
            else:
                with pytest.raises(PermissionDeniedError):
                    read_caller(incoming, bound)


def test_who_begins_a_session() -> None:
    """Its cookie is one of those."""
    for origin, host, secure, begins in (
        ("https://site.example", "site.example", False, True), ("http://site.example", "site.example", False, False),
        ("http://site.example", "site.example", True, False), ("http://localhost:1", "localhost:1", False, True),
        ("https://evil.example", "site.example", False, False), (None, "site.example", False, False),
    ):  # fmt: skip
        headers = [("host", host), *([(ORIGIN, origin)] if origin else [])]
        incoming = Incoming("POST", headers, secure=secure)
        with contextlib.nullcontext() if begins else pytest.raises(PermissionDeniedError):
            require_same_origin(incoming, SETTINGS)


def test_an_address_that_the_operator_gives() -> None:
    """Behind a proxy that hides it, this server's own origin is what it says; and no other is."""
    settings = Settings(app_id="a", token_sources=["header", "cookie"], public_url="https://public.example")
    cookie = ("cookie", f"{NAME}={TOKEN}")
    for origin, speaks in (
        ("https://public.example", True), ("http://public.example", False), ("https://site.example", False),
        ("http://site.example", False), ("https://public.example:8443", False), ("null", False),
    ):  # fmt: skip
        for websocket in (False, True):
            incoming = Incoming("POST", [("host", "site.example"), (ORIGIN, origin), cookie], websocket=websocket)
            if speaks:
                assert read_caller(incoming, settings).token is not None
            else:
                with pytest.raises(PermissionDeniedError):
                    read_caller(incoming, settings)
