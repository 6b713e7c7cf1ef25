"""Values that hold a credential without showing it."""

from __future__ import annotations

import hmac
from hashlib import sha256
from typing import Any, NoReturn, Self, final


class Opaque:
    """Base of every object that can reach a credential: no repr, no pickle, no JSON.

    A framework that meets such an object in a response, a session or a cache gets a `TypeError`,
    never the token. Copies are the object itself: a credential is shared, never doubled.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError(f"{type(self).__name__} holds credentials and cannot be pickled or serialised")

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self


@final
class Secret(Opaque):
    """A credential; `reveal()` is the only way to its text.

    Equality takes constant time, and only another `Secret` can be equal.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The credential itself, as a `str`. Use it where it is sent; do not store or log it."""
        return self._value

    def bearer(self) -> str:
        """The value of an `Authorization` header that presents this credential (RFC 6750 §2.1)."""
        return f"Bearer {self._value}"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._value.encode(), other._value.encode())

    def __hash__(self) -> int:
        return hash(sha256(self._value.encode()).digest())


def as_secret(value: Any) -> Secret | None:
    """A credential that somebody gave, as a `Secret`, whatever it is: what is wrong with it is said later."""
    return value if value is None or isinstance(value, Secret) else Secret(value)
