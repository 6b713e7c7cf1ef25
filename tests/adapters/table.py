"""The guards' table of the design, for what guards in a way of its own within Django: the conformance suite's own rows."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from django.test import override_settings

from base44_web import Settings
from base44_web.testing import CALENDAR_ID, Emulator
from tests.apps import django as django_app
from tests.conformance import test_guards as guards
from tests.conformance import test_refusals as refusals
from tests.drivers import Driver, changed

django_app.configure()
ROWS = [
    guards.test_connected,
    guards.test_signed_in,
    guards.test_no_token,
    guards.test_bad_tokens,
    guards.test_users_of_other_apps_and_disabled_ones,
    guards.test_cookie_without_proof,
    guards.test_not_connected,
    guards.test_no_service_role,
    guards.test_a_connector_that_is_not_configured,
    guards.test_a_failing_platform_never_lets_anybody_in,
    guards.test_errors_that_escape_from_a_view,
    guards.test_the_apps_own_errors_stay_its_own,
    guards.test_a_user_whom_the_platform_refuses_by_now,
    guards.test_a_service_token_that_is_refused_in_a_view,
    guards.test_each_refusal_is_logged_once_with_its_reason,
    refusals.test_guards_and_errors_that_escape,
    refusals.test_none_leaves_it_to_us,
    refusals.test_a_hook_that_fails_leaves_it_to_us,
    refusals.test_a_status_that_was_forgotten,
]


def check_table(name: str, subtests: pytest.Subtests, caplog: pytest.LogCaptureFixture, **django_settings: Any) -> None:
    """Each row with a platform and an app of its own."""
    for row in ROWS:
        with subtests.test(row.__name__), fresh(name, **django_settings) as found:
            caplog.clear()
            given = {**found, "driver_name": name, "subtests": subtests, "caplog": caplog}
            asked: Callable[..., None] = row
            asked(**{argument: given[argument] for argument in inspect.signature(asked).parameters})


@contextmanager
def fresh(name: str, **django_settings: Any) -> Iterator[dict[str, Any]]:
    """The fixtures that a row asks for."""
    with ExitStack() as stack:
        emulator = stack.enter_context(Emulator.demo())
        server = stack.enter_context(emulator.serve())
        stack.enter_context(override_settings(**django_settings))
        settings = Settings(
            app_id=emulator.app_id, server_url=server.url, service_token=emulator.service_token, connection_ttl=0,
            app_user_connectors={"calendar": CALENDAR_ID}, timeout=60, connect_timeout=30,
            token_sources=["header", "cookie"], connect_path="/base44", sign_in_url="/sign-in",
        )  # fmt: skip

        def with_hook(on_refusal: Any, **fields: Any) -> Driver:
            driver = Driver(name, changed(settings, **fields), on_refusal=on_refusal)
            stack.callback(driver.close)
            return driver

        def make(**fields: Any) -> Driver:
            return with_hook(None, **fields)

        yield {"driver": make(), "driver_name": name, "make": make, "with_hook": with_hook, "emulator": emulator}
