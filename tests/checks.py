"""What answers are checked for, and headers that several suites send."""

from __future__ import annotations

import re
from typing import Any, Final, TypeAlias

import httpx2

from base44_web.testing import Emulator

Headers: TypeAlias = list[tuple[str, str]]

NAVIGATION: Final[Headers] = [
    ("sec-fetch-mode", "navigate"),
    ("sec-fetch-site", "same-origin"),
    ("accept", "text/html,*/*"),
]
FORM: Final = ("content-type", "application/x-www-form-urlencoded")
SAME: Final = ("sec-fetch-site", "same-origin")
SESSION_SECRET: Final = "a session secret of more than 32 characters"
_INVALID: Final = 'Bearer error="invalid_token"'
_CHALLENGES: Final = {"sign-in-required": "Bearer", "invalid-token": _INVALID, "bad-signature": _INVALID}


def bearer(token: str) -> Headers:
    return [("authorization", f"Bearer {token}")]


def signed_in(emulator: Emulator, email: str = "ada@test.example", **options: Any) -> Headers:
    """Headers of a user's, who is made if need be."""
    return bearer(emulator.sign_in(emulator.add_user(email), **options))


def calls(emulator: Emulator, end: str) -> int:
    """How many requests the platform had whose path ends so."""
    return sum(request.target.endswith(end) for request in emulator.requests)


def check_problem(answer: httpx2.Response, status: int, slug: str) -> dict[str, Any]:
    """A problem for a script, with the headers that it needs whatever it is."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store"
    assert {"Authorization", "Cookie", "Sec-Fetch-Mode"} <= {name.strip() for name in answer.headers["vary"].split(",")}
    assert answer.headers.get("www-authenticate") == _CHALLENGES.get(slug)
    document: dict[str, Any] = answer.json()
    assert (document["type"], document["status"]) == (f"urn:base44-web:{slug}", status)
    assert document["title"]
    assert document["detail"]
    return document


def shows(page: Any, text: str, place: str = "main") -> None:
    """A browser's page says so, at once or as soon as its script knows."""
    from playwright.sync_api import expect  # only where there is a browser

    expect(page.locator(place)).to_contain_text(text, use_inner_text=True, timeout=30_000)


def check_page(answer: httpx2.Response, status: int = 200) -> str:
    """A page under whose headers no script but ours runs, and that nobody frames or keeps."""
    assert answer.status_code == status, answer.text
    headers = answer.headers
    assert headers["content-type"] == "text/html; charset=utf-8"
    assert headers["cache-control"] == "no-store"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "same-origin"
    assert headers["cross-origin-opener-policy"] == "same-origin-allow-popups"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["x-content-type-options"] == "nosniff"
    assert "Cookie" in headers["vary"]
    policy = headers["content-security-policy"]
    for directive in ("default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "base-uri 'none'"):
        assert directive in policy
    assert "<script>" not in answer.text
    assert "style=" not in answer.text
    assert " on" not in re.sub(r">[^<]*<", "><", answer.text)
    return answer.text
