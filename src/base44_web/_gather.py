"""Several calls for one answer: at the same time where there is an event loop, else one after the other."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from .errors import Base44Error

T = TypeVar("T")


async def gather_async(*calls: Callable[[], Awaitable[T]]) -> list[T | Base44Error]:
    """Each call's result or error, in order."""

    async def outcome(call: Callable[[], Awaitable[T]]) -> T | Base44Error:
        try:
            return await call()
        except Base44Error as error:
            return error

    return list(await asyncio.gather(*(outcome(call) for call in calls)))


def gather(*calls: Callable[[], T]) -> list[T | Base44Error]:
    """Each call's result, in order; up to and with the first error, for what comes after would be in vain."""
    outcomes: list[T | Base44Error] = []
    for call in calls:
        try:
            outcomes.append(call())
        except Base44Error as error:
            return [*outcomes, error]
    return outcomes
