"""Beside the reference client: the same calls, with the same request headers, through both, against one recorder.

Equal must be: method, raw path, headers, body, result, and the error fields. `STRICTER` says where ours differs on
purpose; `docs/reference-client.md` explains each, and a test compares the two.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from base44_web import ConnectorID, Settings
from base44_web.testing._faults import Answer, Recorded
from base44_web.testing._server import Server
from tests.apps.calls import Outcome
from tests.drivers import CORE, Driver
from tests.npm import installed

REFERENCE = Path(__file__).parent
NODE = shutil.which("node")
# What differs between frameworks is what comes in, and one that awaits and one that blocks show that.
pytestmark = pytest.mark.drivers(*CORE, "starlette-async", "django-wsgi-sync", "flask-sync")
APP_ID = "69e6a1c2d3f4b5a697886900"

# Headers in which two HTTP clients differ whatever they ask for, or that ours sets on purpose (see the table).
TRANSPORT_HEADERS = {"host", "connection", "user-agent", "accept-encoding", "content-length"}
JSON = {"content-type": "application/json"}
CONNECTION = {"access_token": "provider-token", "integration_type": "slack"}
CALLED = {
    "success": True, "phase": "responded", "status_code": 201, "data": {"id": 1}, "data_base64": None,
    "content_type": None, "headers": {"x-rate-limit-remaining": "9"}, "credits_charged": 2,
}  # fmt: skip
INITIATED = {"redirect_url": "https://provider.example/o?state=s", "connection_id": "c", "already_authorized": False}
ME = {"id": "u1", "email": "ada@example.com", "app_id": APP_ID, "role": "user", "is_verified": True}
AWKWARD = ["a b", "naïve-日本-🙂", "!'()*~;,:@&=+$", "-_.~", "x" * 300, "..a", "69e6a1c2d3f4b5a697886950"]


@dataclass(frozen=True)
class Case:
    """One call with one answer."""

    name: str
    method: str
    args: list[Any]
    status: int = 200
    body: Any = None
    raw: bytes | None = None
    answer_headers: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)

    def octets(self) -> bytes:
        return json.dumps(self.body).encode() if self.raw is None else self.raw


SUCCESS: dict[str, Any] = {
    "get_connection": CONNECTION,
    "get_workspace_connection": CONNECTION,
    "get_current_app_user_connection": CONNECTION,
    "get_access_token": CONNECTION,
    "get_current_app_user_access_token": CONNECTION,
    "connect_app_user": INITIATED,
    "disconnect_app_user": {"status": "disconnected", "connector_id": "x"},
}
ERRORS: list[tuple[str, int, Any, dict[str, str]]] = [
    ("unauthorized", 401, {"detail": "Unauthorized"}, {}),
    ("service only", 403, {"detail": "This endpoint is only accessible to service tokens"}, {}),
    ("metered", 403, {"detail": "m"}, {"X-Base44-Connector-Error": "metered_connector_requires_proxy"}),
    ("not connected", 404, {"detail": "Connector connection not found", "code": "NOT_FOUND"}, {}),
    ("no proxy", 404, {"detail": "Connector proxy not configured", "code": "NOT_FOUND"}, {}),
    ("credits", 402, {"message": "no", "extra_data": {"reason": "integration_credits_limit_reached"}}, {}),
    ("not set up", 404, {"detail": "Connector authorization not configured", "code": "NOT_FOUND"}, {}),
    ("nothing to disconnect", 404, {"detail": "No active connection found for this connector"}, {}),
    ("rate", 429, {"detail": "Too many requests"}, {"Retry-After": "3"}),
    ("nested error", 400, {"error": {"message": "inner", "code": "INNER"}, "message": "outer", "code": "OUTER"}, {}),
    ("empty inner message", 409, {"error": {"message": ""}, "message": "outer", "detail": "d"}, {}),
    ("error is text", 500, {"error": "boom", "detail": "d"}, {}),
    ("header code loses", 403, {"message": "m", "code": "BODY"}, {"X-Base44-Connector-Error": "HEADER"}),
    ("no message", 500, {"something": "else"}, {}),
    ("empty", 502, None, {"body": "empty"}),
    ("html", 503, None, {"body": "<html>down</html>"}),
    ("json text", 418, "teapot", {}),
    ("json list", 500, ["a"], {}),
    ("json null", 500, None, {}),
]


def cases() -> Iterator[Case]:
    for method, body in SUCCESS.items():
        yield Case(f"{method}", method, ["slack"], body=body)
        for identifier in AWKWARD:
            yield Case(f"{method} {identifier[:12]}", method, [identifier], body=body)
        for name, status, data, extra in ERRORS:
            if name == "unauthorized" and method.startswith("get_current_app_user_"):
                continue  # who is not known yet is asked about first: a row of STRICTER
            raw = {"empty": b"", "<html>down</html>": b"<html>down</html>"}.get(extra.get("body", "-"))
            answer_headers = {key: value for key, value in extra.items() if key != "body"}
            yield Case(f"{method} {name}", method, ["slack"], status, data, raw, answer_headers)
    for name, status, data, extra in ERRORS:
        if "body" not in extra:
            yield Case(f"call_api {name}", "call_api", ["x", {"path": "/"}], status, data, None, extra)
    for config in ({"account": "a"}, {}, None):
        yield Case(
            f"config {config}", "get_connection", ["snowflake"], body={**CONNECTION, "connection_config": config}
        )
    requests: list[dict[str, Any]] = [
        {"path": "/2/tweets"},
        {"path": "/2/tweets?a=b", "method": "POST", "body": {"text": 'é🙂 "quoted" \\ /', "n": [1, None, True, 1.5]}},
        {"path": "/x", "method": "PUT", "host": "upload.example.com", "query": {"a": "1", "b": [1, 2], "c": True}},
        {"path": "/x", "method": "PATCH", "headers": {"X-One": "two"}, "body": "text"},
        {"path": "/x", "method": "DELETE", "host": None, "query": None, "headers": None, "body": None},
        {"path": "/x", "method": "HEAD", "host": ""},
        {"path": "relative path\n", "body": [[]]},
    ]
    for index, request in enumerate(requests):
        yield Case(f"call_api {index}", "call_api", ["x", request], body=CALLED)
    for identifier in AWKWARD:
        yield Case(f"call_api {identifier[:12]}", "call_api", [identifier, {"path": "/"}], body=CALLED)
    minimal = {"success": False, "phase": "timed_out", "status_code": None, "data": None}
    yield Case("call_api minimal", "call_api", ["x", {"path": "/"}], body=minimal)
    yield Case("call_api binary", "call_api", ["x", {"path": "/"}],
               body={**CALLED, "data": None, "data_base64": "aGk=", "content_type": "image/png"})  # fmt: skip
    yield Case("user", "user", [], body=ME)
    yield Case("user refused", "user", [], 401, {"detail": "Unauthorized"})
    for name, headers in {
        "state": {"Base44-State": "opaque=="},
        "data env dev": {"X-Data-Env": "dev"},
        "data env prod": {"X-Data-Env": "prod"},
        "data env other": {"X-Data-Env": "Prod"},
        "functions version": {"Base44-Functions-Version": "v9"},
        "app url": {"X-Base44-App-Url": "https://evil.example"},
        "anonymous": {"Authorization": ""},
    }.items():
        yield Case(f"headers {name}", "get_connection", ["slack"], body=CONNECTION, headers=headers)
        if name != "anonymous":
            yield Case(f"headers {name}, app user", "connect_app_user", ["slack"], body=INITIATED, headers=headers)


# Where ours is stricter on purpose: the row of the table in docs/reference-client.md, the case, the kind of our error.
STRICTER: list[tuple[str, Case, str]] = [
    ("identifier-steers", Case("", "get_connection", ["a/b"], body=CONNECTION), "ValueError"),
    ("identifier-steers", Case("", "get_connection", [".."], body=CONNECTION), "ValueError"),
    ("identifier-steers", Case("", "disconnect_app_user", ["a%2fb"], body={}), "ValueError"),
    ("wrong-shape", Case("", "get_connection", ["slack"], body={}), "InvalidResponseError"),
    ("wrong-shape", Case("", "get_connection", ["slack"], body={"access_token": 7}), "InvalidResponseError"),
    ("wrong-shape", Case("", "get_connection", ["slack"], raw=b"<html>"), "InvalidResponseError"),
    ("wrong-shape", Case("", "call_api", ["x", {"path": "/"}], body={}), "InvalidResponseError"),
    ("wrong-shape", Case("", "disconnect_app_user", ["x"], raw=b"<html>"), "InvalidResponseError"),
    ("token-text", Case("", "get_connection", ["slack"], body={"access_token": "a\nb"}), "InvalidResponseError"),
    ("no-url", Case("", "connect_app_user", ["x"], body={"redirect_url": None, "already_authorized": True}),
     "AlreadyConnectedError"),
    ("no-url", Case("", "connect_app_user", ["x"], body={"redirect_url": None}), "AlreadyConnectedError"),
    ("no-url", Case("", "connect_app_user", ["x"], body={"redirect_url": None, "already_authorized": False}),
     "InvalidResponseError"),
    ("unsafe-url", Case("", "connect_app_user", ["x"], body={"redirect_url": "javascript:alert(1)"}),
     "InvalidResponseError"),
    ("unsafe-url", Case("", "connect_app_user", ["x"], body={"redirect_url": "https://a@b.example/"}),
     "InvalidResponseError"),
    ("redirect", Case("", "get_connection", ["slack"], 307, None, b"", {"Location": "/api/elsewhere"}),
     "InvalidResponseError"),
    ("compressed", Case("", "get_connection", ["slack"], raw=b"\x1f\x8b", answer_headers={"Content-Encoding": "gzip"}),
     "InvalidResponseError"),
    ("too-large", Case("", "get_connection", ["slack"], body={**CONNECTION, "pad": "x" * 1024 * 1024}),
     "InvalidResponseError"),
    ("no-token", Case("", "connect_app_user", ["x"], body=INITIATED, headers={"Authorization": ""}),
     "AuthenticationError"),
    ("no-token", Case("", "get_current_app_user_connection", ["x"], body=CONNECTION, headers={"Authorization": ""}),
     "AuthenticationError"),
    ("asked-first", Case("", "get_current_app_user_connection", ["x"], 401, {"detail": "Unauthorized"}),
     "AuthenticationError"),
    ("user-checked", Case("", "user", [], body={**ME, "app_id": "other"}), "AuthenticationError"),
    ("error-text", Case("", "get_connection", ["slack"], 422, {"detail": [{"loc": ["q"], "msg": "bad"}]}),
     "ValidationError"),
    ("api-url", Case("", "get_connection", ["slack"], body=CONNECTION,
                     headers={"Base44-Api-Url": "http://localhost:1"}), "BadRequestError"),
]  # fmt: skip
CASES = list(cases())


class Recorder:
    """Answers the case whose turn it is, and keeps what it was sent."""

    def __init__(self) -> None:
        self.case = CASES[0]
        self.requests: list[Recorded] = []

    def answer(self, request: Recorded) -> Answer:
        case = self.case
        self.requests.append(request)
        return Answer(case.status, tuple({**JSON, **case.answer_headers}.items()), case.octets())


@pytest.fixture(scope="module")
def recorder() -> Iterator[tuple[Recorder, str]]:
    recorder = Recorder()
    with Server(recorder, "127.0.0.1", 0) as server:  # type: ignore[arg-type]  # it has what an emulator needs
        yield recorder, server.url


@pytest.fixture(scope="module")
def reference_client() -> Path:
    installed(REFERENCE, "@base44/sdk")
    return REFERENCE


def inbound(case: Case, url: str) -> dict[str, str]:
    headers = {
        "Authorization": "Bearer eyJhbGciOiJFUzI1NiJ9.e30.sig-_n",
        "Base44-Service-Authorization": "Bearer service.token",
        "Base44-App-Id": APP_ID,
        "Base44-Api-Url": url,
    }
    return {key: value for key, value in (headers | case.headers).items() if value}


def run_reference(cases: list[Case], recorder: Recorder, url: str) -> list[tuple[dict[str, Any], list[Recorded]]]:
    """Each case's outcome, and what the platform was asked for it."""
    outcomes: list[tuple[dict[str, Any], list[Recorded]]] = []
    node = subprocess.Popen(
        [str(NODE), "run.mjs"], cwd=REFERENCE, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        env={"PATH": os.environ["PATH"], "NODE_ENV": "production"},
    )  # fmt: skip
    with node:
        assert node.stdin is not None
        assert node.stdout is not None
        for case in cases:
            recorder.requests.clear()
            recorder.case = case
            print(
                json.dumps({"headers": inbound(case, url), "method": case.method, "args": case.args}), file=node.stdin
            )
            node.stdin.flush()
            outcomes.append((json.loads(node.stdout.readline()), list(recorder.requests)))
        node.stdin.close()
    return outcomes


@pytest.fixture(scope="module")
def reference(reference_client: Path, recorder: tuple[Recorder, str]) -> list[tuple[dict[str, Any], list[Recorded]]]:
    found = run_reference(CASES, *recorder)
    assert [case.name for case, (_, sent) in zip(CASES, found, strict=True) if len(sent) != 1] == []
    return found


def run_ours(driver: Driver, case: Case, recorder: Recorder, url: str) -> tuple[Outcome, list[Recorded]]:
    recorder.case = case
    recorder.requests.clear()
    kwargs = dict(case.args[1]) if case.method == "call_api" else {}
    module = {"user": "client", "connect_app_user": "user", "disconnect_app_user": "user"}.get(case.method, "service")
    # The driver's guards need a configured name, and then a plain string must be one.
    args = [ConnectorID(each) for each in case.args[:1]] if "app_user" in case.method else case.args[:1]
    outcome = driver.perform(module, case.method, args, kwargs, inbound(case, url))
    return outcome, list(recorder.requests)


def same_result(case: Case, ours: Any, theirs: Any) -> bool:
    if case.method.endswith("_connection"):
        theirs = {"access_token": theirs["accessToken"], "connection_config": theirs["connectionConfig"]}
    elif case.method == "call_api":
        theirs = {re.sub("[A-Z]", lambda found: f"_{found[0].lower()}", key): item for key, item in theirs.items()}
    elif case.method == "user":
        theirs = {"id": theirs["id"], "email": theirs["email"]}
    return bool(ours == theirs)


def wire(request: Recorded) -> tuple[Any, ...]:
    headers = {key: value for key, value in request.headers if key not in TRANSPORT_HEADERS}
    return request.method, request.target, headers, request.body


@pytest.fixture
def trusting(driver_name: str, recorder: tuple[Recorder, str]) -> Iterator[Driver]:
    _, url = recorder
    settings = Settings(
        app_id=APP_ID, platform_headers="trust", allowed_api_urls=[url], identity_ttl=0, connection_ttl=0
    )
    driver = Driver(driver_name, settings)
    yield driver
    driver.close()


@pytest.mark.filterwarnings("ignore:get_.*deprecated:DeprecationWarning")
def test_same_as_the_reference_client(
    trusting: Driver, recorder: tuple[Recorder, str], reference: list[tuple[dict[str, Any], list[Recorded]]]
) -> None:
    differences = []
    for case, (theirs, their_requests) in zip(CASES, reference, strict=True):
        ours, our_requests = run_ours(trusting, case, *recorder)
        if [wire(request) for request in our_requests] != [wire(request) for request in their_requests]:
            differences.append((case.name, [*map(wire, our_requests)], [*map(wire, their_requests)]))
        elif "result" in theirs:
            if ours.error is not None or not same_result(case, ours.result, theirs["result"]):
                differences.append((case.name, ours, theirs))
        else:
            fields = {key: theirs["error"][key] for key in ("status", "code", "message", "data")}
            if {key: ours.fields.get(key) for key in fields} != fields or theirs["error"]["kind"] != "Base44Error":
                differences.append((case.name, ours, theirs))
    assert not differences, differences[:3]
    assert len(CASES) > 200


@pytest.fixture(scope="module")
def reference_lax(
    reference_client: Path, recorder: tuple[Recorder, str]
) -> list[tuple[dict[str, Any], list[Recorded]]]:
    return run_reference([case for _, case, _ in STRICTER], *recorder)


def test_stricter_on_purpose(
    trusting: Driver, recorder: tuple[Recorder, str], reference_lax: list[tuple[dict[str, Any], list[Recorded]]]
) -> None:
    for (row, case, error), (theirs, their_requests) in zip(STRICTER, reference_lax, strict=True):
        ours, our_requests = run_ours(trusting, case, *recorder)
        assert ours.error == error, (row, case, ours)
        same_wire = [*map(wire, our_requests)] == [*map(wire, their_requests)]
        same_error = "error" in theirs and theirs["error"]["message"] == ours.fields["message"]
        assert not (same_wire and same_error), f"{row}: no difference any more; take it out of the table"


def test_the_table_in_the_docs_is_this_one() -> None:
    text = (REFERENCE.parent.parent / "docs" / "reference-client.md").read_text()
    rows = set(re.findall(r"^\| `([a-z-]+)` \|", text, re.MULTILINE))
    assert rows >= {row for row, _, _ in STRICTER}
    assert json.loads((REFERENCE / "package.json").read_text())["dependencies"]["@base44/sdk"] in text
