"""What the relay signs, written again from its description."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import time
from pathlib import Path
from typing import Any

from base44_web.testing import Emulator
from tests.apps.calls import encode_call
from tests.checks import (
    Headers,
)
from tests.serving import app_environment

SECRET = "a relay secret of more than 32 bytes"


AUDIENCE = "https://api.example.com"


NAMES = (
    "authorization", "base44-app-id", "base44-api-url", "base44-service-authorization", "base44-functions-version",
    "base44-state", "x-data-env", "x-base44-app-url",
)  # fmt: skip


def sign(
    headers: Headers, *, method: str = "POST", path: str = "/run", query: str = "", body: bytes = b"", key: str = "k1",
    secret: str = SECRET, audience: str = AUDIENCE, seconds: int | None = None, nonce: str | None = None, version: int = 1,
) -> Headers:  # fmt: skip
    """As `examples/relay/relay.ts` does it, written again from its description."""
    seconds = int(time.time()) if seconds is None else seconds
    nonce = nonce or secrets.token_hex(16)
    values = dict(headers)
    signed = [version, key, seconds, nonce, audience, method, path, query, hashlib.sha256(body).hexdigest()]
    signed += [values.get(name) for name in NAMES]
    octets = json.dumps(signed, separators=(",", ":"), ensure_ascii=False).encode()
    mac = hmac.new(secret.encode(), octets, "sha256").hexdigest()
    return [*headers, ("base44-relay-signature", f"v={version};k={key};t={seconds};n={nonce};s={mac}")]


def relay_environment(emulator: Emulator, platform: str, driver: str, store: str) -> dict[str, str]:
    environment = app_environment(emulator, platform, driver) | {
        "BASE44_PLATFORM_HEADERS": "signed", "BASE44_RELAY_KEYS": f"k1={SECRET}", "BASE44_RELAY_AUDIENCE": AUDIENCE,
        "BASE44_ALLOWED_API_URLS": platform, "BASE44_REPLAY_STORE": store,
    }  # fmt: skip
    del environment["BASE44_SERVICE_TOKEN"]
    return environment


CALL = encode_call("service", "get_connection", ["slack"], {})


def signed_fields(platform: str, folder: Path) -> dict[str, Any]:
    """The settings of a server that believes the relay."""
    return {
        "platform_headers": "signed", "relay_keys": {"k1": SECRET}, "relay_audience": AUDIENCE, "allowed_api_urls": [platform],
        "replay_store": str(folder / "replays"), "relay_max_body": 1000, "service_token": None,
        "token_sources": None,
    }  # fmt: skip


def said_of_ada(emulator: Emulator, platform: str) -> Headers:
    """What the platform says of a request of Ada's."""
    ada = emulator.add_user("ada@test.example")
    return [
        ("authorization", f"Bearer {emulator.sign_in(ada)}"), ("base44-app-id", emulator.app_id), ("base44-api-url", platform),
        ("base44-service-authorization", f"Bearer {emulator.service_token}"), ("base44-state", "state"), ("x-data-env", "dev"),
    ]  # fmt: skip
