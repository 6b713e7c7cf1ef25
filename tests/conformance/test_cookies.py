"""A token in a cookie, in every framework."""

from __future__ import annotations

from typing import Any

import pytest

from tests.apps.calls import encode_call
from tests.drivers import CORE, ONE_EACH, Driver

pytestmark = pytest.mark.drivers(*CORE, *ONE_EACH)
NAME = "base44_access_token"


TOKEN = "aaa.bbb.ccc"


SITE, ORIGIN, MODE = "sec-fetch-site", "origin", "sec-fetch-mode"


@pytest.fixture
def cookies(make: Any) -> Any:
    return make(token_sources=["header", "cookie"])


def test_in_every_framework(cookies: Driver) -> None:
    cookie = ("cookie", f"x=y; {NAME}={TOKEN}")
    assert cookies.call("client", "token", headers=[cookie], http_method="GET").result == TOKEN
    assert cookies.call("client", "token", headers=[cookie]).fields["code"] == "cross_origin_cookie"
    assert cookies.call("client", "token", headers=[cookie, (ORIGIN, "http://testserver")]).result == TOKEN
    assert cookies.call("client", "token", headers=[cookie, (SITE, "cross-site")], http_method="GET").result is None
    twice = [("cookie", f"{NAME}={TOKEN}; {NAME}={TOKEN}")]
    assert cookies.call("client", "token", headers=twice, http_method="GET").fields["code"] == "malformed_cookie"


def test_caches_are_told(make: Any) -> None:
    """Case 24: where somebody asked who is calling, by cookie or header, and only there; what a view says itself stays."""
    cookie = [("cookie", f"{NAME}={TOKEN}")]
    for sources in (["header", "cookie"], ["header"]):
        driver = make(token_sources=sources)
        untouched = driver.request("POST", "/idle", cookie)
        for headers in (cookie, []):  # an answer to nobody depends on there being no cookie
            read = driver.request("GET", "/run", [*headers, *encode_call("client", "token", (), {})])
            assert read.status_code == 200
            assert read.headers.get("cache-control") == "private"
            assert {"Cookie", "Authorization"} <= {each.strip() for each in read.headers["vary"].split(",")}
        assert "Cookie" not in untouched.headers.get("vary", "")
        assert "cache-control" not in untouched.headers
        refused = driver.request("GET", "/me", [])
        assert refused.headers["cache-control"] == "no-store"
        assert refused.headers["vary"].count("Cookie") == 1
