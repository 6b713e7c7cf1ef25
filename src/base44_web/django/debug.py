"""What Django's error pages and mails leave out."""

from __future__ import annotations

import re

from django.views.debug import SafeExceptionReporterFilter


class Base44ReporterFilter(SafeExceptionReporterFilter):
    """Django's own filter, which also hides the session's cookie, the platform's state and offered subprotocols.

    `DEFAULT_EXCEPTION_REPORTER_FILTER = "base44_web.django.debug.Base44ReporterFilter"`
    """

    hidden_settings = re.compile(
        f"{SafeExceptionReporterFilter.hidden_settings.pattern}|BASE44_(SESSION|STATE|SERVICE)|WEBSOCKET_PROTOCOL", re.I
    )
