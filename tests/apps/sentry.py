"""A transport of sentry-sdk that writes what it would send into a file."""

from __future__ import annotations

import json
import os
from typing import Any

from sentry_sdk.transport import Transport


class FileTransport(Transport):
    def capture_envelope(self, envelope: Any) -> None:
        with open(os.environ["TEST_SENTRY"], "a") as file:
            for item in envelope.items:
                if item.payload.json is not None:
                    file.write(json.dumps(item.payload.json) + "\n")
