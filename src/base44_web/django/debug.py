"""What Django's error pages and mails leave out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, cast

from django.conf import settings as django_settings
from django.views.debug import SafeExceptionReporterFilter


class Base44ReporterFilter(SafeExceptionReporterFilter):
    """Django's own filter, which also hides the token's and the session's cookie, the platform's headers, offered
    subprotocols, and what of `BASE44` and `BASE44_…` is secret.

    `DEFAULT_EXCEPTION_REPORTER_FILTER = "base44_web.django.debug.Base44ReporterFilter"`
    """

    hidden_settings = re.compile(
        f"{SafeExceptionReporterFilter.hidden_settings.pattern}"
        "|BASE44_(SESSION|STATE|SERVICE|SECRET|RELAY|REPLAY|VERIFICATION|CONNECTION_STORE)"
        "|REPLAY_STORE|RELAY_KEYS|CONNECTION_STORE|WEBSOCKET_PROTOCOL|^HTTP_COOKIE$",
        re.I,
    )

    def cleanse_setting(self, key: Any, value: Any) -> Any:
        """Hide a value by its name: also the cookie that holds the token, whatever it is called."""
        if isinstance(key, str) and key == _token_cookie():
            return self.cleansed_substitute
        return super().cleanse_setting(key, value)


def _token_cookie() -> str:
    given: object = getattr(django_settings, "BASE44", {})
    name = cast(Mapping[str, object], given).get("COOKIE_NAME") if isinstance(given, Mapping) else None
    return name if isinstance(name, str) else "base44_access_token"
