"""Settings of several apps: what a resolver may give."""

from __future__ import annotations

import pytest

from base44_web import (
    Arrival,
    ConfigurationError,
    Settings,
    SettingsResolver,
)
from base44_web._core.engine.apps import Engines
from base44_web._core.incoming.request import Incoming


def nobodys(arrival: Arrival) -> None:
    return None


def test_resolvers_that_are_wrong() -> None:
    with pytest.raises(ConfigurationError, match="allowed_app_ids"):
        SettingsResolver(nobodys, allowed_app_ids=["a b"])
    engines = Engines(SettingsResolver(lambda arrival: Settings()))
    with pytest.raises(ConfigurationError, match="app_id"):
        engines.find(Incoming("GET", []), "/")
    engines = Engines(SettingsResolver(lambda arrival: Settings(app_id="a")))
    found = {id(engines.find(Incoming("GET", []), "/")) for _ in range(5)}
    assert len(found) == 1  # equal settings are one app


@pytest.mark.parametrize("wsgi", [True, False])
def test_trust_under_wsgi_is_warned_of(wsgi: bool, caplog: pytest.LogCaptureFixture) -> None:
    trusting = Settings(app_id="a", platform_headers="trust", allowed_api_urls=["https://base44.app"])
    engines = Engines(SettingsResolver(lambda arrival: trusting), wsgi=wsgi)
    for _ in range(2):
        engines.find(Incoming("GET", []), "/")
    assert caplog.text.count("drop both forms") == int(wsgi)


def test_the_environment_is_one_apps(monkeypatch: pytest.MonkeyPatch) -> None:
    """A token that the environment has for one app must not go to another's."""
    for variable in ("SERVICE_TOKEN", "APP_URL", "SECRET", "APP_ID"):
        with monkeypatch.context() as patch:
            patch.setenv(f"BASE44_{variable}", "https://one.example" if variable == "APP_URL" else "s" * 40)
            fields = {} if variable == "APP_ID" else {"app_id": "app-two"}
            engines = Engines(SettingsResolver(lambda arrival, given=fields: Settings(**given)))  # type: ignore[misc]
            with pytest.raises(ConfigurationError, match=variable.lower()):
                engines.find(Incoming("GET", []), "/")
