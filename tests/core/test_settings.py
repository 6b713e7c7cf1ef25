"""Settings: precedence field by field, and every wrong value named at start-up."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from base44_web import ConfigurationError, ConnectorID, Secret, Settings
from tests.drivers import environment


def test_defaults() -> None:
    settings = Settings(app_id="app")
    assert settings.server_url == "https://base44.app"
    assert (settings.timeout, settings.connect_timeout) == (10.0, 2.0)
    assert settings.token_sources == ("header",)
    assert settings.platform_headers == "ignore"
    assert settings.cookie_name == "base44_access_token"


def test_precedence_field_by_field() -> None:
    with environment(BASE44_APP_ID="env", BASE44_TIMEOUT="1", BASE44_SERVER_URL="https://env.example"):
        given = Settings(app_id="given")
        settings = Settings.load(given, {"app_id": "framework", "timeout": 2})
        assert (settings.app_id, settings.timeout, settings.server_url) == ("given", 2.0, "https://env.example")
        assert Settings.load(None, {"timeout": 2}).app_id == "env"


def test_environment() -> None:
    with environment(
        BASE44_APP_ID="app", BASE44_SERVICE_TOKEN="service", BASE44_APP_USER_CONNECTORS=" calendar=69e6 , mail=70a1,",
        BASE44_TOKEN_SOURCES="header,cookie", BASE44_ALLOWED_ORIGINS="https://a.example, https://B.example:443/",
        BASE44_APP_URL="", BASE44_CONNECT_PATH="/base44/",
    ):  # fmt: skip
        settings = Settings()
    assert settings.service_token == Secret("service")
    assert settings.app_user_connectors == {"calendar": "69e6", "mail": "70a1"}
    assert settings.token_sources == ("header", "cookie")
    assert settings.allowed_origins == ("https://a.example", "https://b.example")
    assert settings.app_url is None
    assert settings.connect_path == "/base44"


def test_nothing_set_is_an_error_as_the_server_starts() -> None:
    assert Settings(timeout=5).app_id is None  # the framework may still give it
    for complete in (Settings().complete, Settings.load, lambda: Settings.load(Settings(timeout=5))):
        with pytest.raises(ConfigurationError, match="BASE44_APP_ID"):
            complete()


WRONG: list[tuple[str, Any]] = [
    ("app_id", "a b"), ("app_id", "../x"), ("app_id", "a\n"), ("app_id", 7),
    ("server_url", "base44.app"), ("server_url", "http://base44.app"), ("server_url", "https://base44.app/api"),
    ("server_url", "https://u:p@base44.app"), ("server_url", "https://base44.app?x"), ("server_url", "ftp://base44.app"),
    ("server_url", "https://"), ("server_url", "https://a b"), ("server_url", "https://a\\b"), ("server_url", "https://a#"),
    ("server_url", "https://a:99999"), ("server_url", "https://[::1"), ("server_url", 7), ("server_url", "https://ä.example"),
    ("app_url", "http://app.example"), ("app_url", "javascript:alert(1)"),
    ("service_token", "a b"), ("service_token", "token\n"), ("service_token", '"token"'), ("service_token", 7),
    ("app_user_connectors", "calendar"), ("app_user_connectors", {"bad name": "x"}), ("app_user_connectors", {"a" * 65: "x"}),
    ("app_user_connectors", {"a": "x/y"}), ("app_user_connectors", {"a": 7}), ("app_user_connectors", {"a": "x", "b": "x"}),
    ("app_user_connectors", 7), ("app_user_connectors", {7: "x"}),
    ("token_sources", ["cookie"]), ("token_sources", ["cookie", "header"]), ("token_sources", ["header", "query"]),
    ("token_sources", ["header", "header"]), ("token_sources", []), ("token_sources", 7), ("token_sources", [7]),
    ("cookie_name", "a b"), ("cookie_name", "a=b"), ("cookie_name", "é"),
    ("allowed_origins", ["*"]), ("allowed_origins", ["null"]), ("allowed_origins", ["http://a.example"]),
    ("connect_path", "base44"), ("connect_path", "//evil"), ("connect_path", "/a?b"), ("connect_path", "/a\\b"),
    ("connect_path", "https://a"), ("platform_headers", "yes"), ("platform_headers", True),
    ("allowed_api_urls", ["*"]), ("allowed_app_ids", ["a b"]),
    ("connector_types", {"calendar": 7}), ("connector_types", {"calendar": " "}), ("sign_in_url", "javascript:alert(1)"), ("sign_in_url", 7),
    ("app_name", " "), ("app_name", 7), ("app_name", "a\nb"),
    ("verification", "somebody"), ("http_client", "requests"), ("http_client", True), ("audience", "  "), ("audience", 7), ("development", "perhaps"), ("relay_max_body", 0),
    ("relay_max_body", 2**40), ("relay_max_body", True), ("max_retries", 11), ("max_retries", True), ("max_retries", 1.5),
    ("timeout", 0), ("timeout", -1), ("timeout", "nan"), ("timeout", "inf"), ("timeout", "soon"), ("timeout", 10**9),
    ("timeout", True), ("connect_timeout", None.__class__),
]  # fmt: skip


def test_wrong_values_name_the_setting(subtests: pytest.Subtests) -> None:
    for name, value in WRONG:
        with subtests.test(f"{name}={value!r}"):
            with pytest.raises(ConfigurationError) as caught:
                Settings(**{"app_id": "app", name: value})
            assert f"BASE44_{name.upper()}" in str(caught.value)
            assert caught.value.__cause__ is None


def test_a_wrong_token_is_not_echoed() -> None:
    with (
        environment(BASE44_APP_ID="a", BASE44_SERVICE_TOKEN="canary token"),
        pytest.raises(ConfigurationError) as caught,
    ):
        Settings()
    assert "canary" not in str(caught.value)


def test_http_is_for_loopback(subtests: pytest.Subtests) -> None:
    for url in ("http://localhost:4400", "http://127.0.0.1", "http://127.9.9.9:1", "http://[::1]:80"):
        with subtests.test(url):
            assert Settings(app_id="a", server_url=url).server_url == url.removesuffix(":80")


def test_http_is_for_nothing_else(subtests: pytest.Subtests) -> None:
    for host in ("localhost.evil.example", "127.0.0.1.evil.example", "0.0.0.0", "10.0.0.1", "0x7f000001"):
        with subtests.test(host), pytest.raises(ConfigurationError):
            Settings(app_id="a", server_url=f"http://{host}")


def test_what_belongs_together() -> None:
    trust = {"platform_headers": "trust", "allowed_api_urls": ["https://base44.app"]}
    assert Settings(**trust, allowed_app_ids=["one", "two"]).app_id is None  # type: ignore[arg-type]
    for wrong in (
        {"allowed_app_ids": ["one"]},
        trust,
        {**trust, "allowed_app_ids": ["one"], "service_token": "s"},
        {**trust, "allowed_app_ids": ["one"], "app_url": "https://one.base44.app"},
        {**trust, "allowed_app_ids": ["one"], "app_id": "two"},
    ):
        with pytest.raises(ConfigurationError):
            Settings(**wrong).complete()  # type: ignore[arg-type]


def test_unknown_framework_key() -> None:
    with pytest.raises(ConfigurationError, match="aap_id"):
        Settings.load(None, {"aap_id": "x"})


def test_immutable_opaque_and_equal_by_value() -> None:
    settings = Settings(app_id="app", service_token="canary")
    with pytest.raises(AttributeError):
        settings.app_id = "other"
    with pytest.raises(TypeError):
        pickle.dumps(settings)
    assert "canary" not in repr(settings)
    assert copy.deepcopy(settings) is settings
    assert settings == Settings(app_id="app", service_token="canary")
    assert hash(settings) == hash(Settings(app_id="app", service_token="canary"))
    assert settings != Settings(app_id="app", service_token="other")
    with pytest.raises(TypeError):
        settings.app_user_connectors["a"] = "b"  # type: ignore[index]


def test_names_and_ids() -> None:
    settings = Settings(app_id="app", app_user_connectors={"calendar": "69e6"})
    assert settings.connector_id("calendar") == "69e6"
    assert settings.connector_id("69e6") == "69e6"
    assert settings.connector_id(ConnectorID("calendar")) == "calendar"


def test_trust_needs_a_list_of_servers() -> None:
    with pytest.raises(ConfigurationError, match="BASE44_ALLOWED_API_URLS"):
        Settings(app_id="app", platform_headers="trust").complete()


def test_a_field_that_there_is_not() -> None:
    with pytest.raises(TypeError, match="aap_id"):
        Settings(aap_id="x")  # type: ignore[call-arg]


def test_types_of_connectors_that_there_are_not() -> None:
    with pytest.raises(ConfigurationError, match="BASE44_CONNECTOR_TYPES"):
        Settings(app_id="a", connector_types={"mail": "gmail"}).complete()


def test_equal_to_settings_only() -> None:
    assert Settings(app_id="a") != "a"
    with environment(BASE44_DEVELOPMENT="1", BASE44_APP_ID="a"):
        assert Settings() == Settings(app_id="a", development=True)


# --- values as frameworks and libraries have them


def lazy(value: str) -> Any:
    functional = pytest.importorskip("django.utils.functional")
    return functional.lazystr(value)


def secret_str(value: str) -> Any:
    return pytest.importorskip("pydantic").SecretStr(value)


def http_url(value: str) -> Any:
    pydantic = pytest.importorskip("pydantic")
    return pydantic.TypeAdapter(pydantic.HttpUrl).validate_python(value)


OBJECTS: list[tuple[str, Callable[[], Any], Any]] = [
    ("service_token", lambda: secret_str("token"), Secret("token")),
    ("secret", lambda: secret_str("s" * 40), (Secret("s" * 40),)),
    ("secret", lambda: [secret_str("s" * 40), lazy("t" * 40)], (Secret("s" * 40), Secret("t" * 40))),
    ("verification_key", lambda: secret_str("k" * 40), Secret("k" * 40)),
    ("relay_keys", lambda: {"k1": secret_str("k" * 40)}, {"k1": Secret("k" * 40)}),
    ("replay_store", lambda: Path("/var/replays"), Secret("/var/replays")),
    ("server_url", lambda: http_url("https://base44.example/"), "https://base44.example"),
    ("allowed_origins", lambda: [http_url("https://a.example"), lazy("https://b.example")], ("https://a.example", "https://b.example")),
    ("app_id", lambda: lazy("app"), "app"),
    ("sign_in_url", lambda: lazy("/sign-in"), "/sign-in"),
    ("timeout", lambda: timedelta(seconds=7), 7.0),
    ("timeout", lambda: Decimal("2.5"), 2.5),
    ("identity_ttl", lambda: timedelta(), 0.0),
    ("development", lambda: "True", True),
    ("development", lambda: "FALSE", False),
    ("development", lambda: "off", False),
]  # fmt: skip


@pytest.mark.parametrize("given_by", ["code", "framework"])
def test_values_that_are_objects(given_by: str) -> None:
    for name, make, found in OBJECTS:
        given = {"app_id": "app", name: make()}
        settings = Settings(**given) if given_by == "code" else Settings.load(None, given)
        assert getattr(settings, name) == found, name
        assert type(getattr(settings, name)) is type(found) or name == "relay_keys"


def test_a_value_of_a_wrong_type_is_named_and_not_shown() -> None:
    class Vault:
        def __repr__(self) -> str:
            return "canary"

    for name in ("service_token", "server_url", "app_id", "timeout", "token_sources", "development"):
        with pytest.raises(ConfigurationError, match="given is a Vault") as caught:
            Settings(**{"app_id": "app", name: Vault()})
        assert "canary" not in str(caught.value)


def test_several_secrets_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for given, count in {"a" * 32 + "," + "b" * 32: 2, "a" * 40 + ",b": 1, "a" * 40: 1}.items():
        monkeypatch.setenv("BASE44_SECRET", given)
        assert len(Settings(app_id="demo-app").secret) == count
