"""Fixtures for tests of apps that use `base44_web`, as the pytest plugin `base44`; docs/testing.md shows them.

Nothing heavy is imported before a test asks for a fixture: pytest starts as quickly as without.
"""

from __future__ import annotations

import os
import sys
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, cast

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from .testing import Base44User, Emulator
    from .testing._stage import Stage

_NAMES = "BASE44_APP_USER_CONNECTORS"
_OPTIONS = ("connectors", "connected", "mode", "user")
_emulators = pytest.StashKey["Emulator"]()
_stages = pytest.StashKey["Stage"]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addini(
        "base44_early",
        "have the emulator's BASE44_* in the environment from the start, for apps that read it as they are imported",
        "bool",
        default=False,
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        'base44(connectors={"calendar": "69e6…"}, connected=["calendar"], mode="platform", user={"role": "admin"}): '
        "for the fixtures base44_emulator and base44_user: what names of connectors mean, what the user has connected, "
        "how the emulator answers (or as the local dev server does, 'dev'), and fields of the user's record.",
    )
    if config.getini("base44_early"):
        stage = config.stash[_stages] = _stage().__enter__()
        config.add_cleanup(lambda: stage.__exit__(None, None, None))
        patch = pytest.MonkeyPatch()
        config.add_cleanup(patch.undo)
        _set_environment(patch, stage, None)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None]:
    yield
    emulator = item.stash.get(_emulators, None)
    unused = [] if emulator is None else emulator.unused_faults()
    if unused:
        pytest.fail(
            f"The test ordered what no request has met: {'; '.join(unused)}. Does the path match "
            "(base44_emulator.requests has what was asked for)? clear_faults() takes it back.",
            pytrace=False,
        )


@pytest.fixture(scope="session")
def base44_server(pytestconfig: pytest.Config) -> Iterator[Stage]:
    """The emulator over HTTP, at one address (`url`) for the whole run; a test's own emulator answers there."""
    early = pytestconfig.stash.get(_stages, None)
    with _stage() if early is None else nullcontext(early) as stage:
        yield stage


@pytest.fixture
def base44_emulator(base44_server: Stage, request: pytest.FixtureRequest) -> Iterator[Emulator]:
    """An emulator of this test's own (`base44_web.testing.Emulator.demo()`).

    While the test runs, `BASE44_*` in the environment, and Django's `BASE44`, lead there. A `Fault` that the test
    orders and that no request meets fails it.
    """
    item, django = _item(request), _djangos()
    options = _options(item)
    with base44_server.playing(options.get("mode", "platform")) as emulator, pytest.MonkeyPatch.context() as patch:
        connectors = options.get("connectors") or django.get("APP_USER_CONNECTORS")
        names = _set_environment(patch, base44_server, connectors)
        for connector_id in names.values():
            emulator.add_app_user_connector(connector_id)
        item.stash[_emulators] = emulator
        with _override(django, {**base44_server.values(), "app_user_connectors": names}):
            yield emulator


@pytest.fixture
def base44_user(base44_emulator: Emulator, request: pytest.FixtureRequest) -> Base44User:
    """An app user who is signed in: `.headers`, `.connect("calendar")`, `.disconnect(…)`, `.token`, `.user`."""
    from .testing._stage import Base44User, connectors_of

    options = _options(_item(request))
    record = {"email": "user@example.com", "full_name": "Una User", **options.get("user", {})}
    user = Base44User(base44_emulator, base44_emulator.add_user(**record), connectors_of(os.environ[_NAMES]))
    connected = options.get("connected", ())
    for connector in [connected] if isinstance(connected, str) else connected:
        user.connect(connector)
    return user


def _stage() -> Stage:
    from .testing._stage import Stage

    return Stage()


def _item(request: pytest.FixtureRequest) -> pytest.Item:
    return cast(pytest.Item, request.node)  # pyright: ignore[reportUnknownMemberType]


def _options(item: pytest.Item) -> dict[str, Any]:
    """What the marks of a test say; the nearest counts."""
    found: dict[str, Any] = {}
    for mark in reversed(list(item.iter_markers("base44"))):
        unknown = [*map(repr, mark.args), *(name for name in mark.kwargs if name not in _OPTIONS)]
        if unknown:
            takes = f"The mark base44 takes {', '.join(_OPTIONS)}, by name: not {', '.join(unknown)}."
            pytest.fail(takes, pytrace=False)
        found |= mark.kwargs
    return found


def _set_environment(patch: pytest.MonkeyPatch, stage: Stage, connectors: object) -> dict[str, str]:
    """Have the environment lead to the emulator; returns the connectors that the app is to know."""
    from .testing._stage import connectors_of

    for name, value in stage.variables().items():
        patch.setenv(name, value)
    patch.delenv("BASE44_APP_URL", raising=False)  # people would be connected there
    names = connectors_of(connectors or os.environ.get(_NAMES))
    patch.setenv(_NAMES, ",".join(f"{name}={connector}" for name, connector in names.items()))
    return names


def _djangos() -> dict[str, Any]:
    """The setting `BASE44` of a Django project, if this is one."""
    conf = sys.modules.get("django.conf")
    return dict(getattr(conf.settings, "BASE44", {})) if conf is not None and conf.settings.configured else {}


def _override(given: dict[str, Any], values: dict[str, Any]) -> AbstractContextManager[Any]:
    """What a Django project says of itself in its settings would win over the environment."""
    if not given or "RESOLVER" in given:
        return nullcontext()
    from django.test.utils import override_settings

    own = {name.upper(): value for name, value in values.items()}
    return override_settings(BASE44={**given, **own, "APP_URL": None})
