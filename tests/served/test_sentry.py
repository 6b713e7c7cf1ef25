"""What an error reporter sends is free of credentials."""

from __future__ import annotations

import json
from pathlib import Path

import httpx2
import pytest

from base44_web.testing import Emulator, Fault
from tests.apps.calls import encode_call
from tests.canaries import (
    BODY,
    CALLS,
    SERVICE,
    STATE,
    TOKEN,
    clean,
)
from tests.serving import PATIENCE, app_environment, serving


@pytest.mark.parametrize(
    ("server", "driver"),
    [("uvicorn", "starlette-async"), ("uvicorn", "fastapi-sync"), ("uvicorn", "django-asgi-async"), ("gunicorn", "flask-sync"),
     ("gunicorn", "django-wsgi-sync")],
)  # fmt: skip
def test_sentry(server: str, driver: str, emulator: Emulator, platform: str, tmp_path: Path) -> None:
    for module in ("sentry_sdk", server, driver.partition("-")[0]):
        pytest.importorskip(module)
    events = tmp_path / "events"
    environment = app_environment(emulator, platform, driver) | {
        "TEST_SENTRY": str(events), "BASE44_SERVICE_TOKEN": SERVICE, "BASE44_TIMEOUT": "1", "BASE44_MAX_RETRIES": "0",
        "BASE44_PLATFORM_HEADERS": "trust", "BASE44_ALLOWED_API_URLS": platform,
    }  # fmt: skip
    headers = [
        ("authorization", f"Bearer {TOKEN}"), ("base44-app-id", emulator.app_id), ("base44-api-url", platform),
        ("base44-service-authorization", f"Bearer {SERVICE}"), ("base44-state", STATE),
    ]  # fmt: skip
    prefix = f"/{driver.rpartition('-')[2]}" if driver.startswith("django") else ""
    with serving(server, environment, tmp_path / "output") as (url, _):
        # Every call with every fault is `tests/core/test_secrets.py`'s; here, what the reporter makes of some.
        wrong, lost, slow = Fault(status=200, body=BODY), Fault(drop="during", body=BODY), Fault(delay=600)
        for fault, call in (
            (wrong, CALLS[0]),
            (wrong, CALLS[1]),
            (wrong, CALLS[2]),
            (lost, CALLS[0]),
            (slow, CALLS[1]),
        ):
            emulator.fault(fault, times=None)
            headers_of_call = encode_call(call[0], call[1], call[2], {})
            httpx2.post(f"{url}{prefix}/escape", headers=[*headers, *headers_of_call], timeout=PATIENCE)
            emulator.clear_faults()
    found = [json.loads(line) for line in events.read_text().splitlines()]
    ours = 0
    for event in found:
        clean(event.get("logentry", ""))
        clean(event.get("breadcrumbs", ""))
        clean(event.get("request", ""))
        for value in event.get("exception", {}).get("values", []):
            clean(value["value"])
            for frame in value["stacktrace"]["frames"]:
                if (frame.get("module") or "").startswith("base44_web"):
                    ours += 1
                    clean(json.dumps(frame.get("vars", {})))
    assert ours > 10  # there was something to look at
