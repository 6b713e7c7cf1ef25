"""A response as a value, the same for every framework; adapters convert it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, final

from ..secret import Opaque
from .refusal import Refusal
from .situations import Situation

VARY: Final = "Accept, Authorization, Cookie, Origin, Sec-Fetch-Mode, Sec-Fetch-Site"


@dataclass(frozen=True, slots=True)
class Page:
    """A page to render: the name of its template and what goes into it, all of it text."""

    name: str
    values: Mapping[str, str]


@final
@dataclass(frozen=True, slots=True, repr=False)
class Reply(Opaque):
    """A response, the same for every framework. Its headers can hold a credential (`Location`).

    With a `refusal`, the app may answer in its own format.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes = b""
    page: Page | None = None
    refusal: Refusal | None = None


def problem(
    situation: Situation, headers: Mapping[str, str] | None = None, more: Mapping[str, str] | None = None
) -> Reply:
    """A situation as problem details (RFC 9457)."""
    extra = {"Content-Type": "application/problem+json", **situation.headers, **(headers or {})}
    return json_reply(situation.status, problem_document(situation, more), extra)


def problem_document(situation: Situation, more: Mapping[str, str] | None = None) -> dict[str, str | int]:
    """What problem details say; `type` is `urn:base44-web:` and the slug."""
    return {
        "type": f"urn:base44-web:{situation.slug}",
        "title": situation.title,
        "status": situation.status,
        "detail": situation.text,
        **(more or {}),
    }


def refusal_of(
    situation: Situation, headers: Mapping[str, str] | None, more: Mapping[str, str] | None, *, navigation: bool
) -> Refusal:
    """A situation as the app's own `on_refusal` sees it."""
    kept = {**private_headers(), **situation.headers, **(headers or {})}
    document = problem_document(situation, more)
    return Refusal(situation.status, situation.slug, situation.title, situation.text, document, kept, navigation)


def json_reply(status: int, document: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Reply:
    """A JSON answer that nobody keeps."""
    content = json.dumps(document, ensure_ascii=False).encode("utf-8", "replace")  # half a surrogate becomes a "?"
    return Reply(status, {**private_headers(), "Content-Type": "application/json", **(headers or {})}, content)


def page_reply(status: int, page: Page, headers: Mapping[str, str] | None = None, *, provider: str = "") -> Reply:
    """A page, with headers under which it runs no script but ours, and nobody frames it.

    Args:
        status: HTTP status.
        page: the page.
        headers: more headers.
        provider: where its form may lead beyond https: the emulator, on loopback.
    """
    policy = (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        f"form-action 'self' https:{provider and f' {provider}'}; frame-ancestors 'none'; base-uri 'none'"
    )
    protection = {
        "Content-Type": "text/html; charset=utf-8",
        "Content-Security-Policy": policy,
        # no-referrer would make the form's Origin null.
        "Referrer-Policy": "same-origin",
        "Cross-Origin-Opener-Policy": "same-origin-allow-popups",
        "Cross-Origin-Resource-Policy": "same-origin",
        "X-Frame-Options": "DENY",
        "X-Content-Type-Options": "nosniff",
    }
    return Reply(status, {**private_headers(), **protection, **(headers or {})}, page=page)


def private_headers() -> dict[str, str]:
    """Headers of every answer that depends on who asks."""
    return {"Cache-Control": "no-store", "Vary": VARY}


def with_private(value: str | None) -> str:
    """A `Cache-Control` header that keeps shared caches out, unless it says for whom the answer is."""
    names = [name.strip() for name in (value or "").split(",") if name.strip()]
    known = {name.partition("=")[0].lower() for name in names}
    return ", ".join(names if known & {"private", "public", "no-store"} else [*names, "private"])


def kept_headers(refusal: Refusal, vary: str | None) -> dict[str, str]:
    """What an app's own answer to a refusal has to have, beside what its own `Vary` names."""
    return {**refusal.headers, "Vary": with_vary(vary, refusal.headers["Vary"])}


def with_vary(value: str | None, also: str = "Authorization, Cookie") -> str:
    """A `Vary` header that also names what tells visitors apart."""
    names = [name.strip() for name in (value or "").split(",") if name.strip()]
    if "*" in names:
        return "*"
    known = {name.lower() for name in names}
    return ", ".join([*names, *(name for name in also.split(", ") if name.lower() not in known)])
