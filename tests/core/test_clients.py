"""Clients without a framework."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from base44_web import (
    AsyncBase44,
    Base44,
    ConfigurationError,
    Settings,
)
from base44_web.testing import Emulator


def test_without_a_framework(emulator: Emulator) -> None:
    user = emulator.add_user("ada@test.example")
    options: dict[str, Any] = {
        "app_id": emulator.app_id, "token": emulator.sign_in(user), "service_token": emulator.service_token,
        "data_env": "dev", "transport": emulator.transport,
    }  # fmt: skip
    with Base44(**options) as base44:
        found = base44.user()
        assert found is not None
        assert found.id == user.id

    async def main() -> None:
        async with AsyncBase44(**options) as base44:
            assert (await base44.as_service_role.connectors.get_connection("slack")).access_token
            again = await base44.user()
            assert again is not None

    asyncio.run(main())
    assert {request.header("x-data-env") for request in emulator.requests} == {"dev"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "BASE44_APP_ID"),
        ({"app_id": "a", "token": "x y"}, "token"),
        ({"app_id": "a", "data_env": "staging"}, "data_env"),
        ({"app_id": "a", "settings": Settings(app_id="b")}, "settings"),
        ({"app_id": "a", "server_url": "http://base44.app"}, "BASE44_SERVER_URL"),
    ],
)
def test_without_a_framework_wrong_options(options: dict[str, Any], message: str) -> None:
    for make in (Base44, AsyncBase44):
        with pytest.raises(ConfigurationError, match=message):
            make(**options)
