"""The redirect views over HTTP: the examples, as they are, under uvicorn and gunicorn.

Their cookie is the session's. What looks into the app's process, or needs settings of its own, is not here.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from base44_web import AppUser
from base44_web.testing import Emulator
from tests.checks import FORM, SAME, SESSION_SECRET, Headers
from tests.conformance.test_views import (
    CookieOf,
    Views,
    cookie,
    session_cookie,
    test_a_failing_platform_is_no_answer,
    test_another_user_has_signed_in_since,
    test_disconnect,
    test_disconnect_without_scripts,
    test_evil_next,
    test_files,
    test_good_next,
    test_large_bodies,
    test_logout,
    test_other_methods,
    test_other_sites_read_nothing,
    test_other_sites_start_nothing,
    test_page_escapes,
    test_page_names_service_and_account,
    test_page_of_somebody_connected,
    test_page_of_somebody_unknown,
    test_redirect_urls_that_lie,
    test_session_lasts_twelve_hours_at_most,
    test_session_of_a_form,
    test_sessions_that_do_not_begin,
    test_sessions_that_have_ended,
    test_start_for_a_script,
    test_start_of_somebody_connected,
    test_start_sends_the_browser_to_the_provider,
    test_status,
    test_unknown_connectors,
    view,
)
from tests.served.sites import Served, Site, Stage, driver, emulator, platform, served
from tests.serving import ROOT, app_environment

EXAMPLES = ROOT / "examples"
APPS = [
    ("uvicorn", "fastapi", "app:app"), ("uvicorn", "starlette", "app:app"), ("gunicorn", "flask", "app:app"),
    ("uvicorn", "django", "project.asgi:application"), ("gunicorn", "django", "project.wsgi:application"),
]  # fmt: skip
SETTINGS = {
    "BASE44_TOKEN_SOURCES": "header,session", "BASE44_SECRET": SESSION_SECRET,
    "BASE44_SIGN_IN_URL": "/sign-in", "BASE44_TIMEOUT": "60", "BASE44_CONNECT_TIMEOUT": "30", "BASE44_MAX_RETRIES": "0",
}  # fmt: skip


@pytest.fixture(scope="module", params=APPS, ids="-".join)
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    server, framework, app = request.param
    for module in (server, framework):
        pytest.importorskip(module)
    output = tmp_path_factory.mktemp("server") / "output"
    with Stage() as stage, stage.serve() as platform:
        environment = app_environment(stage, platform.url, "") | SETTINGS
        environment["BASE44_APP_USER_CONNECTORS"] += ",other=70a1b2c3d4e5f60718293a4c"
        with served(server, app, EXAMPLES / framework, environment, output) as url:
            driver = Served(f"served-{framework}", url, asgi=server == "uvicorn")
            yield Site(stage, platform.url, driver)
            driver.close()


@pytest.fixture
def cookie_of(view: Views, emulator: Emulator) -> CookieOf:
    def cookie_of(user: AppUser) -> Headers:
        answer = view("POST", "session", [SAME, FORM], f"token={emulator.sign_in(user)}")
        emulator.requests.clear()
        return session_cookie(answer)

    return cookie_of
