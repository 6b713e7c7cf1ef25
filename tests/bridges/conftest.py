"""What every bridge is tested with: a shared connection, the providers, and what the platform is asked."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from base44_web import Base44, Connection, Settings
from base44_web.testing import Emulator

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Many of the libraries leave it to the collector to close their connections."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.filterwarnings("ignore::ResourceWarning"))


@pytest.fixture(autouse=True)
def nothing_is_left_to_others() -> Iterator[None]:
    yield
    gc.collect()


@pytest.fixture
def internet(emulator: Emulator) -> Iterator[Any]:
    pytest.importorskip("cryptography")
    from tests.bridges.internet import Internet

    with Internet(emulator) as internet:
        yield internet


@pytest.fixture
def base44(settings: Settings) -> Iterator[Base44]:
    with Base44(settings=settings) as base44:
        yield base44


@pytest.fixture
def connection(base44: Base44, emulator: Emulator) -> Connection:
    emulator.share("anything")
    return base44.as_service_role.connectors.get_connection("anything")


@pytest.fixture
def asked(emulator: Emulator, connection: Connection) -> Callable[[], int]:
    """How often the platform was asked since the connection was had."""
    before = len(emulator.requests)
    return lambda: len(emulator.requests) - before
