"""What the platform does, and the error it gives: class name, code."""

from __future__ import annotations

import json

from base44_web.testing import Fault

CANARY = "canary-c4n4ry-token"

FAULTS: dict[str, tuple[Fault, str, str | None]] = {
    "dripping": (Fault(drip=0.02), "RequestTimeoutError", "timeout"),
    "dripping body": (Fault(body=b" " * 4000, drip=0.001), "RequestTimeoutError", "timeout"),
    "slow": (Fault(delay=2), "RequestTimeoutError", "timeout"),
    "drops before": (Fault(drop="before"), "RequestFailedError", "connection_lost"),
    "drops during": (Fault(drop="during"), "RequestFailedError", "connection_lost"),
    "no http": (Fault(raw=b"SSH-2.0-x\r\n"), "RequestFailedError", "connection_lost"),
    "html": (Fault(body=b"<!doctype html><title>hi</title>"), "InvalidResponseError", "invalid_response"),
    "empty": (Fault(body=b""), "InvalidResponseError", "invalid_response"),
    "deep": (Fault(body=b"[" * 200_000), "InvalidResponseError", "invalid_response"),
    "deep closed": (Fault(body=b"[" * 100_000 + b"]" * 100_000), "InvalidResponseError", "invalid_response"),
    "list": (Fault(body=b"[]"), "InvalidResponseError", "invalid_response"),
    "null": (Fault(body=b"null"), "InvalidResponseError", "invalid_response"),
    "nan": (Fault(body=b'{"access_token": "a", "x": NaN}'), "InvalidResponseError", "invalid_response"),
    "huge number": (Fault(body=b'{"x": ' + b"9" * 10_000 + b"}"), "InvalidResponseError", "invalid_response"),
    "not utf-8": (Fault(body=b'{"access_token": "\xff"}'), "InvalidResponseError", "invalid_response"),
    "no token": (Fault(body=b'{"integration_type": "slack"}'), "InvalidResponseError", "invalid_response"),
    "token is a number": (Fault(body=b'{"access_token": 7}'), "InvalidResponseError", "invalid_response"),
    "token is empty": (Fault(body=b'{"access_token": ""}'), "InvalidResponseError", "invalid_response"),
    "token with line break": (
        Fault(body=json.dumps({"access_token": f"{CANARY}\nX: y"}).encode()), "InvalidResponseError", "invalid_response",
    ),
    "token not ascii": (Fault(body='{"access_token": "é"}'.encode()), "InvalidResponseError", "invalid_response"),
    "config is a list": (
        Fault(body=json.dumps({"access_token": CANARY, "connection_config": ["a"]}).encode()),
        "InvalidResponseError", "invalid_response",
    ),
    "config of numbers": (
        Fault(body=json.dumps({"access_token": CANARY, "connection_config": {"a": 1}}).encode()),
        "InvalidResponseError", "invalid_response",
    ),
    "compressed": (Fault(headers={"Content-Encoding": "gzip"}), "InvalidResponseError", "invalid_response"),
    "oversized": (
        Fault(body=json.dumps({"access_token": CANARY, "more": "x" * 1024 * 1024}).encode()),
        "InvalidResponseError", "invalid_response",
    ),
    "redirect": (Fault(status=302, headers={"Location": "http://127.0.0.1:9/"}), "InvalidResponseError", "redirect"),
    "bad redirect": (Fault(status=302, headers={"Location": "http://[::1"}), None, None),  # type: ignore[dict-item]
    "unavailable": (Fault(status=503, body=b"<html>"), "ServerError", None),
    "rate limited": (Fault(status=429, headers={"Retry-After": "soon"}), "RateLimitError", None),
}  # fmt: skip
