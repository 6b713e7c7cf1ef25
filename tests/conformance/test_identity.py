"""Tokens in every framework: dead, refused, verified by keys."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx2
import jwt
import pytest

from base44_web import (
    AppUser,
)
from base44_web.testing import CALENDAR_ID, Emulator, Fault
from tests.checks import (
    Headers,
    bearer,
    calls,
    check_problem,
)
from tests.drivers import CORE, ONE_EACH, Driver, rows
from tests.tokens import DEAD, EC, ED, REFUSED, RSA, SECRET, claims, jwk, pem, signed

pytestmark = pytest.mark.drivers(*CORE, *ONE_EACH)


def test_refused_tokens_are_remembered_for_a_while(driver: Driver, emulator: Emulator) -> None:
    forged = [("authorization", f"Bearer {jwt.encode({'sub': 'x'}, SECRET, algorithm='HS256')}")]
    for _ in range(5):
        assert driver.request("GET", "/me", forged).status_code == 401
        assert driver.request("GET", "/guarded", forged).status_code == 401
    assert calls(emulator, "/User/me") == 1


def test_dead_tokens_cost_no_call(driver: Driver, emulator: Emulator, subtests: pytest.Subtests) -> None:
    for name, token in rows(driver.name, DEAD.items()):
        with subtests.test(name):
            emulator.requests.clear()
            for path in ("/me", "/guarded"):
                assert driver.request("GET", path, bearer(token)).status_code == 401
            assert emulator.requests == []


def test_a_good_token_that_is_too_long(driver: Driver, emulator: Emulator) -> None:
    token = emulator.sign_in(emulator.add_user("ada@test.example"), more="x" * 7000)
    assert driver.request("GET", "/me", [("authorization", f"Bearer {token}")]).status_code == 401
    assert emulator.requests == []


def test_nobody_verifies(make: Any, emulator: Emulator, ada: AppUser, adas: Headers) -> None:
    driver = make(verification="none")
    emulator.connect(ada, CALENDAR_ID)
    for path in ("/me", "/guarded"):
        assert driver.request("GET", path, adas).status_code == 503
    found = driver.call("service", "get_current_app_user_connection", CALENDAR_ID, headers=adas)
    assert found.error is None  # the platform itself judges the token there


@pytest.fixture
def verifying(make: Any) -> Callable[..., Driver]:
    def verifying(**fields: Any) -> Driver:
        fields = {"verification": "keys", "verification_key": pem(RSA), "algorithms": ["RS256"], **fields}
        if "app_claim" not in fields:
            fields = {"audience": "demo-app", **fields}
        driver: Driver = make(**fields)
        return driver

    return verifying


def me(driver: Driver, token: str) -> httpx2.Response:
    return driver.request("GET", "/me", bearer(token))


@pytest.mark.drivers(*CORE)
def test_tokens_that_keys_refuse(verifying: Any, emulator: Emulator) -> None:
    driver = verifying()
    for name, token in REFUSED.items():
        answer = me(driver, token())
        assert answer.status_code == 401, (name, answer.text)
        check_problem(answer, 401, "invalid-token")
    assert emulator.requests == []
    assert me(driver, signed(claims())).json() == {"id": "u1", "email": "ada@test.example"}


def test_keys_in_every_framework(verifying: Any, emulator: Emulator) -> None:
    driver = verifying()
    check_problem(me(driver, REFUSED["another key"]()), 401, "invalid-token")
    assert me(driver, signed(claims())).json() == {"id": "u1", "email": "ada@test.example"}
    assert emulator.requests == []


KINDS = [(RSA, "RS256"), (RSA, "PS256"), (EC, "ES256"), (ED, "EdDSA")]


@pytest.mark.drivers(*CORE)
def test_what_keys_accept(verifying: Any) -> None:
    for key, algorithm in KINDS:
        own = jwk(key) | {"alg": algorithm}
        for given in (pem(key), json.dumps(own), json.dumps({"keys": [own]})):
            driver = verifying(verification_key=given, algorithms=[algorithm])
            assert me(driver, signed(claims(aud=["x", "demo-app"]), key, algorithm)).status_code == 200, algorithm
    hmac = verifying(verification_key=SECRET, algorithms=["HS256"], audience=None)
    token = signed(claims(aud=None, email=None, sub="a@b.example"), SECRET, "HS256")
    assert me(hmac, token).json()["email"] == "a@b.example"


@pytest.mark.drivers(*CORE)
def test_what_names_the_app(verifying: Any) -> None:
    by_claim = verifying(app_claim="app", issuer="https://base44.app")
    good = {"aud": None, "app": "demo-app", "iss": "https://base44.app"}
    assert me(by_claim, signed(claims(**good))).status_code == 200
    for wrong in (
        {"app": "other"}, {"app": None}, {"iss": "https://base44.app.evil"}, {"iss": None}, {"iss": "https://base44"},
    ):  # fmt: skip
        assert me(by_claim, signed(claims(**good | wrong))).status_code == 401, wrong


def test_without_any_keys_nobody_gets_in(make: Any, emulator: Emulator, platform: str) -> None:
    emulator.fault(Fault(status=500), path="/jwks", times=None)
    url = f"{platform}/jwks"
    driver = make(verification="keys", verification_key=url, algorithms=["RS256"], audience="demo-app")
    assert me(driver, signed(claims(), RSA, "RS256", kid="one")).status_code == 503
