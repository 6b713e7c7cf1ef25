"""The scope of a middleware within another."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from typing import TYPE_CHECKING, Any, Self, final

from .scope import KEY, Scope, ScopeState

if TYPE_CHECKING:
    _Dictionary = dict[str, Any]
else:

    class _Dictionary(MutableMapping, dict):
        """A `dict` whose methods all use the few that a class of it has."""

        __slots__ = ()


@final
class NestedScope(_Dictionary):
    """The scope of a middleware within another: its own `base44`, and for all else the outer scope itself.

    No copy: what is further out (metrics, access logs) reads the route and the endpoint from its own scope as the app
    ends, and what it takes out of there, or puts in, is for the app to see. A `dict`, as the ASGI specification wants.
    """

    __slots__ = ("_outer", "_own")

    def __init__(self, outer: Scope, state: ScopeState) -> None:
        self._outer = outer
        self._own: dict[str, Any] = {KEY: state}

    def _of(self, key: str) -> Scope:
        return self._own if key == KEY else self._outer

    def __getitem__(self, key: str) -> Any:
        return self._of(key)[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self._of(key)[key] = value

    def __delitem__(self, key: str) -> None:
        del self._of(key)[key]

    def __iter__(self) -> Iterator[str]:
        yield from (key for key in self._outer if key != KEY)
        yield from self._own

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def copy(self) -> dict[str, Any]:
        """As a dictionary's: what becomes of the copy does not show here."""
        return dict(self)

    def __reduce__(self) -> tuple[type[dict[str, Any]], tuple[dict[str, Any]]]:
        return dict, (dict(self),)

    def __or__(self, other: Any) -> Any:
        return dict(self) | other

    def __ror__(self, other: Any) -> Any:
        return other | dict(self)

    def __ior__(self, other: Any) -> Self:  # type: ignore[override]
        self.update(other)
        return self

    def __repr__(self) -> str:
        return repr(dict(self))
