"""A transport of sentry-sdk that writes what it would send into a file."""

from __future__ import annotations

import json
import os
from typing import Any

from sentry_sdk.integrations import Integration
from sentry_sdk.transport import Transport


class FileTransport(Transport):
    def capture_envelope(self, envelope: Any) -> None:
        with open(os.environ["TEST_SENTRY"], "a") as file:
            for item in envelope.items:
                if item.payload.json is not None:
                    file.write(json.dumps(item.payload.json) + "\n")


def integrations(framework: str) -> list[Integration]:
    """Those of one framework: to enable what is installed would import every other, in each process."""
    match framework:
        case "flask":
            from sentry_sdk.integrations.flask import FlaskIntegration

            return [FlaskIntegration()]
        case "django":
            from sentry_sdk.integrations.django import DjangoIntegration

            return [DjangoIntegration()]
    from sentry_sdk.integrations.starlette import StarletteIntegration

    if framework == "starlette":
        return [StarletteIntegration()]
    from sentry_sdk.integrations.fastapi import FastApiIntegration

    return [StarletteIntegration(), FastApiIntegration()]
