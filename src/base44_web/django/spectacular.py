"""drf-spectacular: the bearer scheme of `AppUserAuthentication`, and what guards answer.

```python
@extend_schema(responses={200: EventSerializer(many=True), **guard_responses})
```

Loaded by the app `base44_web.django` where `drf_spectacular` is one of the project's apps, too.
"""

from __future__ import annotations

from typing import Any, Final

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse

from .._core.replies.openapi import BEARER_FORMAT, DESCRIPTION, MEANINGS, PROBLEM_TYPE, SCHEME_NAME

__all__ = ["AppUserScheme", "guard_responses"]


class AppUserScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """What `AppUserAuthentication` is in OpenAPI; drf-spectacular finds it by itself."""

    target_class = "base44_web.django.rest_framework.AppUserAuthentication"
    name = SCHEME_NAME

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:
        """The security scheme."""
        return {"type": "http", "scheme": "bearer", "bearerFormat": BEARER_FORMAT, "description": DESCRIPTION}


guard_responses: Final = {
    (status, PROBLEM_TYPE): OpenApiResponse(OpenApiTypes.OBJECT, meaning) for status, meaning in MEANINGS.items()
}
"""What guards answer, for `extend_schema(responses=…)`."""
