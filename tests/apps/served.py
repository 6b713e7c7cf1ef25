"""Apps that real servers load in processes of their own; their settings come from the environment."""

from __future__ import annotations

import os
from typing import Any

from base44_web import Base44, Settings
from tests.drivers import make_app

name = os.environ["TEST_DRIVER"]
if os.environ.get("TEST_SENTRY"):
    import sentry_sdk
    from sentry_sdk.scrubber import DEFAULT_DENYLIST, EventScrubber

    from tests.apps.sentry import FileTransport, integrations

    scrubber = EventScrubber(
        denylist=[*DEFAULT_DENYLIST, "scope", "environ", "connection", "base44-state", "base44-service-authorization"]
    )
    sentry_sdk.init(
        "http://key@127.0.0.1:9/1", transport=FileTransport, include_local_variables=True, event_scrubber=scrubber,
        auto_enabling_integrations=False, integrations=integrations(name.partition("-")[0]),
    )  # fmt: skip

other_origin = os.environ.get("TEST_CORS_ORIGIN")
read = ["WWW-Authenticate", "Retry-After"]
app: Any = make_app(name, Settings())
if other_origin and name.startswith("flask"):
    import flask_cors

    flask_cors.CORS(app, origins=[other_origin], expose_headers=read)
elif other_origin and not name.startswith("django"):
    from starlette.middleware.cors import CORSMiddleware

    app.add_middleware(
        CORSMiddleware, allow_origins=[other_origin], allow_methods=["*"], allow_headers=["*"], expose_headers=read
    )

if os.environ.get("TEST_CALL_AT_IMPORT"):
    # What no app should do, and some do: a call before the server forks its workers.
    base44 = Base44()
    base44.as_service_role.connectors.get_connection("slack")
