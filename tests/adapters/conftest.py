from __future__ import annotations

import pytest

from base44_web import Settings
from base44_web.testing import Emulator
from tests.checks import Headers


@pytest.fixture
def headers(adas: Headers) -> dict[str, str]:
    return dict(adas)


@pytest.fixture
def local(emulator: Emulator) -> Settings:
    """For the emulator's own transport."""
    return Settings(app_id=emulator.app_id, service_token=emulator.service_token)
