"""What Django's error pages and mails leave out."""

from __future__ import annotations

import re
from typing import Any

from django.views.debug import SafeExceptionReporterFilter

from .._core.engine.engine import _engines


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
        if isinstance(key, str) and key in {engine.settings.cookie_name for engine in list(_engines)}:
            return self.cleansed_substitute
        return super().cleanse_setting(key, value)
