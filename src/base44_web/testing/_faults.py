"""Faults that a test can order, and the record of what was sent."""

from __future__ import annotations

import fnmatch
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
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


@dataclass(slots=True)
class _Ordered:
    fault: Fault
    method: str | None
    path: str
    left: int | None
    taken: bool = False

    def __str__(self) -> str:
        fault, usual = self.fault, Fault()
        told = [
            f"{each.name}={value!r}"
            for each in fields(fault)
            if (value := getattr(fault, each.name)) != getattr(usual, each.name)
        ]
        return f"Fault({', '.join(told)}) for {self.method or 'any method'} {self.path}"


class Faults:
    """The faults that were ordered, and which of them came to pass."""

    def __init__(self) -> None:
        self._ordered: list[_Ordered] = []
        self._lock = threading.Lock()

    def order(self, fault: Fault, method: str | None, path: str, times: int | None) -> None:
        """See `Emulator.fault`."""
        with self._lock:
            self._ordered.append(_Ordered(fault, method, path, times))

    def clear(self) -> None:
        """Forget them all."""
        with self._lock:
            self._ordered.clear()

    def take(self, request: Recorded) -> Fault:
        """What goes wrong with the answer to a request: nothing, most often."""
        path = request.target.partition("?")[0]
        with self._lock:
            for ordered in self._ordered:
                if fnmatch.fnmatchcase(path, ordered.path) and ordered.method in (None, request.method):
                    ordered.taken = True
                    if ordered.left is not None:
                        ordered.left -= 1
                        if ordered.left <= 0:
                            self._ordered.remove(ordered)
                    return ordered.fault
        return Fault()

    def unused(self) -> list[str]:
        """Those that no request has met."""
        with self._lock:
            return [str(ordered) for ordered in self._ordered if not ordered.taken]
