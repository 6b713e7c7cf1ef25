"""The behaviour suite over HTTP: the drivers' apps under uvicorn and gunicorn.

What looks into the app's process, or needs settings of its own, is not here.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conformance.test_behaviour import (
    test_anonymous_visitors_cost_no_call,
    test_app_user_connection_by_name_and_id,
    test_call_api,
    test_call_api_arguments,
    test_connect_consent_and_disconnect,
    test_expired_token_is_refused_by_the_platform,
    test_header_errors_show_at_first_use_only,
    test_identifiers_that_would_steer,
    test_malformed_header_is_an_error_before_any_call,
    test_no_cookie_of_the_platform_is_ever_sent_back,
    test_platform_errors_are_typed,
    test_provider_error_is_returned_not_raised,
    test_scheme_is_compared_without_case,
    test_shared_connection,
    test_two_authorization_headers_are_an_error,
    test_user,
    test_users_who_do_not_count,
    test_workspace_connection,
)
from tests.conformance.test_guards import (
    test_a_failing_platform_never_lets_anybody_in,
    test_a_forged_host_changes_nothing,
    test_a_user_whom_the_platform_refuses_by_now,
    test_bad_tokens,
    test_connected,
    test_cookie_without_proof,
    test_errors_that_escape_from_a_view,
    test_identity_is_not_remembered_for_another_token,
    test_no_token,
    test_not_connected,
    test_signed_in,
    test_users_of_other_apps_and_disabled_ones,
)
from tests.drivers import ONE_EACH, is_wsgi
from tests.served.sites import Served, Site, Stage, driver, emulator, platform, served
from tests.serving import ROOT, app_environment

# An app of each framework under each kind of server.
APPS = [
    ("uvicorn", "starlette-async"), ("uvicorn", "fastapi-async"), ("uvicorn", "django-asgi-async"),
    ("gunicorn", "django-wsgi-sync"), ("gunicorn", "flask-sync"),
    *(("uvicorn", name) for name in ONE_EACH if name.startswith(("quart", "litestar"))),
]  # fmt: skip
SETTINGS = {
    "BASE44_TOKEN_SOURCES": "header,cookie", "BASE44_CONNECT_PATH": "/base44", "BASE44_SIGN_IN_URL": "/sign-in",
    "BASE44_TIMEOUT": "60", "BASE44_CONNECT_TIMEOUT": "30", "BASE44_MAX_RETRIES": "0",
}  # fmt: skip


@pytest.fixture(scope="module", params=APPS, ids="-".join)
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    server, name = request.param
    for module in (server, name.partition("-")[0]):
        pytest.importorskip(module)
    output = tmp_path_factory.mktemp("server") / "output"
    with Stage() as stage, stage.serve() as platform:
        environment = app_environment(stage, platform.url, name) | SETTINGS
        with served(server, "tests.apps.served:app", ROOT, environment, output) as url:
            path = f"/{name.rpartition('-')[2]}" if name.startswith("django") else ""
            driver = Served(f"served-{name}", url, asgi=not is_wsgi(name), path=path)
            yield Site(stage, platform.url, driver)
            driver.close()
