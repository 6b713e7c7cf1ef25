"""What guards say of themselves in an OpenAPI document, the same in every framework that writes one."""

from __future__ import annotations

from typing import Any, Final

SCHEME_NAME: Final = "Base44AppUser"
BEARER_FORMAT: Final = "JWT"
DESCRIPTION: Final = "The Base44 app user's JWT."

PROBLEM_TYPE: Final = "application/problem+json"
MEANINGS: Final[dict[int, str]] = {
    401: "Nobody is signed in, or the sign-in is no longer valid.",
    403: "Not connected: `connect_url` says where to connect.",
    503: "The platform cannot be asked at the moment.",
}
"""The statuses that guards answer with, and what they mean."""

RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    status: {"description": meaning, "content": {PROBLEM_TYPE: {"schema": {"type": "object"}}}}
    for status, meaning in MEANINGS.items()
}
"""The same as response objects."""
