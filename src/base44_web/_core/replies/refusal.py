"""`on_refusal`: an app's own format for what a visitor is refused with."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, TypeVar, final

logger = logging.getLogger("base44_web")


@final
@dataclass(frozen=True, slots=True)
class Refusal:
    """What a visitor is refused with, before it is a response. It holds no credential, and no text of an error.

    Attributes:
        status: HTTP status.
        code: which situation, such as `"not-connected"`: the end of the problem's `type`.
        title: for a person, in a few words.
        detail: the same in a sentence.
        problem: the whole problem (RFC 9457), as we would send it to a script; with `"not-connected"` also `connector`,
            `connect_url` and `status_url`, as far as they are known.
        headers: what the answer has whatever its form: they are put into yours.
        navigation: whether a person's browser goes to this page, for whom ours is a page, or leads to the connect page.
    """

    status: int
    code: str
    title: str
    detail: str
    problem: Mapping[str, str | int]
    headers: Mapping[str, str]
    navigation: bool


OnRefusal: TypeAlias = Callable[[Refusal], Any]
"""Gives a framework's response, or `None` for ours."""


class Response(Protocol):
    """A response of any framework."""

    status_code: Any

    @property
    def headers(self) -> Any: ...


R = TypeVar("R", bound=Response)


def own_answer(hook: OnRefusal | None, refusal: Refusal | None, kind: type[R]) -> R | None:
    """What the app answers in its own format; `None` where it leaves that to us, or fails to.

    Args:
        hook: the app's own.
        refusal: what it is about; `None` for what is no refusal.
        kind: the framework's response.
    """
    if hook is None or refusal is None:
        return None
    try:
        found: object = hook(refusal)
    except Exception:
        logger.exception(
            "on_refusal failed: the visitor gets the usual answer.", extra={"base44_event": "on_refusal_failed"}
        )
        return None
    if inspect.iscoroutine(found):
        found.close()
    if found is None:
        return None
    if not isinstance(found, kind):
        wanted, given = f"{kind.__module__}.{kind.__qualname__}", type(found).__name__
        logger.error(
            "on_refusal must be a plain function that gives a %s, or None: not a %s.",
            wanted,
            given,
            extra={"base44_event": "on_refusal_unusable"},
        )
        return None
    if (found.status_code or 0) < 300:  # a status that was forgotten would make a success of it
        found.status_code = refusal.status
    return found
