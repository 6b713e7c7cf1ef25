"""Faults that a test can order, and the record of what was sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True)
class Fault:
    """How an answer goes wrong. What is not given stays as the emulator would answer.

    Args:
        status: answer this status; a redirect is `Fault(status=302, headers={"Location": …})`.
        body: answer this body, as it is.
        headers: answer these headers too, such as `Set-Cookie`, `Retry-After` or `Content-Encoding`.
        delay: seconds to wait before the answer.
        drip: seconds between any two bytes of the answer, its head included.
        drop: close the connection `"before"` the answer, or in the middle (`"during"`) of it.
        raw: answer these octets, which need not be HTTP.
    """

    status: int | None = None
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    delay: float = 0.0
    drip: float = 0.0
    drop: Literal["before", "during"] | None = None
    raw: bytes | None = None


@dataclass(frozen=True, slots=True)
class Recorded:
    """A request the emulator was sent. Its repr shows no header and no body.

    Attributes:
        method: upper case.
        target: the path and query, exactly as on the wire.
        headers: pairs of lower-case name and value, in order.
        body: the octets.
    """

    method: str
    target: str
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    body: bytes = field(repr=False)

    def header(self, name: str) -> str | None:
        """The values of a header joined with commas, or `None`."""
        values = [value for key, value in self.headers if key == name.lower()]
        return ", ".join(values) if values else None


@dataclass(frozen=True, slots=True)
class Answer:
    """What the emulator answers."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes = field(repr=False)
    fault: Fault = Fault()
