"""No answer to a visitor shows a credential."""

from __future__ import annotations

import pytest

from base44_web.testing import Emulator
from tests.canaries import FAULTS, TOKEN, canary_settings, clean
from tests.drivers import CORE, ONE_EACH, Driver


@pytest.mark.drivers(*CORE, *ONE_EACH)
def test_answers_to_visitors(driver_name: str, platform: str, emulator: Emulator) -> None:
    driver = Driver(driver_name, canary_settings(platform))
    headers = [("authorization", f"Bearer {TOKEN}")]
    for fault in FAULTS:
        if fault.delay:
            continue
        emulator.fault(fault, times=None)
        for accept in ("application/json", "text/html"):
            for method, path in (("GET", "/guarded"), ("GET", "/me")):
                answer = driver.request(method, path, [*headers, ("accept", accept)])
                assert answer.status_code in (401, 503)
                clean(answer.text + str(answer.headers))
            for method, path in (("GET", "status"), ("POST", "connect"), ("POST", "disconnect"), ("GET", "connect")):
                answer = driver.send_view(method, f"/base44/{path}/calendar", [*headers, ("accept", accept)])
                clean(answer.text + str(answer.headers))
        emulator.clear_faults()
    driver.close()
