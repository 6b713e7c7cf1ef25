"""Keys that the operator gives."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import jwt
import pytest
from jwt.warnings import InsecureKeyLengthWarning

from base44_web import (
    Base44,
    Base44Error,
    ConfigurationError,
    Settings,
)
from base44_web._core.engine.engine import Engine
from base44_web.testing import Emulator
from tests.drivers import changed
from tests.tokens import EC, OTHER_RSA, RSA, SECRET, WEAK_RSA, claims, jwk, pem, signed

REFUSED: list[tuple[dict[str, Any], str]] = [
    ({}, "verification_key"),
    ({"verification_key": SECRET}, "needs algorithms"),
    ({"verification_key": SECRET, "algorithms": ["none"]}, "needs algorithms"),
    ({"verification_key": pem(RSA), "algorithms": ["RS256", "HS256"]}, "mixes"),
    ({"verification_key": pem(RSA), "algorithms": ["HS256"]}, "public key"),
    ({"verification_key": json.dumps(jwk(RSA)), "algorithms": ["HS256"]}, "public key"),
    ({"verification_key": "short", "algorithms": ["HS256"]}, "32 bytes"),
    ({"verification_key": "LOCAL_DEV_SECRET", "algorithms": ["HS256"]}, "everybody knows"),
    ({"verification_key": pem(RSA), "algorithms": ["RS256"]}, "audience"),
    ({"verification_key": SECRET, "algorithms": ["RS256"], "audience": "a"}, "no public key"),
    ({"verification_key": pem(EC), "algorithms": ["RS256"], "audience": "a"}, "no public key"),
    ({"verification_key": pem(WEAK_RSA), "algorithms": ["RS256"], "audience": "a"}, "2048"),
    ({"verification_key": "http://evil.example/jwks", "algorithms": ["RS256"], "audience": "a"}, "https"),
    ({"verification_key": "https://a@evil.example/jwks", "algorithms": ["RS256"], "audience": "a"}, "https"),
    ({"verification_key": "file:///etc/passwd", "algorithms": ["RS256"], "audience": "a"}, "no public key"),
    ({"verification_key": "-----BEGIN PRIVATE KEY-----", "algorithms": ["RS256"], "audience": "a"}, "private key"),
]  # fmt: skip


def test_settings_that_are_refused(settings: Settings, subtests: pytest.Subtests) -> None:
    for wrong, message in REFUSED:
        with subtests.test(message, wrong=wrong):
            with pytest.raises(ConfigurationError, match=message) as caught:
                Base44(settings=changed(settings, verification="keys", **wrong))
            assert SECRET not in str(caught.value)


def test_the_local_dev_secret(settings: Settings) -> None:
    local = changed(
        settings, verification="keys", verification_key="LOCAL_DEV_SECRET", algorithms=["HS256"], development=True
    )
    for algorithm in ("HS256", "HS512"):
        keys = changed(local, algorithms=[algorithm])
        Engine(keys)
        # Any warning is an error here. What PyJWT says to the app of the app's own keys, it goes on to say.
        with pytest.warns(InsecureKeyLengthWarning):
            token = jwt.encode({"sub": "ada@test.example", "exp": time.time() + 9}, "LOCAL_DEV_SECRET", algorithm)  # type: ignore[arg-type]
        with Base44(settings=keys, token=token) as base44:
            user = base44.user()
        assert user is not None
        assert user.email == "ada@test.example"
    with pytest.raises(ConfigurationError, match="everybody knows"):
        Base44(settings=changed(local, server_url="https://base44.app"))


def test_claims_give_no_role(settings: Settings) -> None:
    keys = changed(settings, verification="keys", verification_key=pem(RSA), algorithms=["RS256"], audience="demo-app")
    with Base44(settings=keys, token=signed(claims(is_verified=True))) as base44:
        user = base44.user()
    assert user is not None
    assert (user.role, user.is_verified, user.app_id) == (None, False, "demo-app")


def test_two_apps_share_nothing(settings: Settings, emulator: Emulator) -> None:
    """Case 16: another engine has other keys, and another memory."""
    one = changed(settings, verification="keys", verification_key=pem(RSA), algorithms=["RS256"], audience="demo-app")
    two = changed(one, verification_key=pem(OTHER_RSA))
    token = signed(claims())
    with Base44(settings=one, token=token) as base44:
        assert base44.user() is not None
    with Base44(settings=two, token=token) as base44, pytest.raises(Base44Error):
        base44.user()


def test_the_request_names_the_app_and_so_must_the_token(settings: Settings, platform: str) -> None:
    several = {
        "app_id": None, "service_token": None, "allowed_app_ids": ["a", "b"], "platform_headers": "trust", "allowed_api_urls": [platform],
        "verification": "keys", "verification_key": SECRET, "algorithms": ["HS256"], "audience": "me",
    }  # fmt: skip
    with pytest.raises(ConfigurationError, match="app_claim"):
        Engine(changed(settings, **several).complete())
    Engine(changed(settings, **several, app_claim="app").complete())


def test_without_pyjwt_it_says_so(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jwt", None)
    with pytest.raises(ConfigurationError, match=r"base44-web\[keys\]"):
        Engine(changed(settings, verification="keys", verification_key=SECRET, algorithms=["HS256"]))
