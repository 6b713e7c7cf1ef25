"""What OpenTelemetry is told: spans, metrics, what guards decide; and that it costs nothing who has none."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any

import pytest

from base44_web import AsyncBase44, Base44, Base44Error, ConnectorID, Settings
from base44_web._core import telemetry
from base44_web._core.platform import retries
from base44_web.testing import CALENDAR_ID, Emulator, Fault
from tests.canaries import CALLS, FAULTS, TOKEN, canary_settings, clean
from tests.checks import Headers, bearer
from tests.drivers import ONE_EACH, Driver, changed
from tests.serving import PATIENCE

pytest.importorskip("opentelemetry.sdk")

from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

from base44_web._core import otel

KINDS = ("blocking", "awaiting")
FASTAPI_TRACES = find_spec("fastapi") is not None and find_spec("fastapi.telemetry") is not None


class Exported:
    """An SDK that exports to here."""

    def __init__(self) -> None:
        self.spans = InMemorySpanExporter()
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(SimpleSpanProcessor(self.spans))
        self.reader = InMemoryMetricReader()
        self.meters = MeterProvider([self.reader])

    def tree(self) -> str:
        """The spans that ended, each below its parent, in the order in which they began."""
        spans = sorted(self.spans.get_finished_spans(), key=lambda span: span.start_time or 0)
        known = {span.context.span_id for span in spans if span.context}

        def lines(parent: int | None, depth: int) -> Iterator[str]:
            for span in spans:
                above = span.parent.span_id if span.parent and span.parent.span_id in known else None
                if above == parent:
                    yield "  " * depth + told(span)
                    assert span.context is not None
                    yield from lines(span.context.span_id, depth + 1)

        return "\n".join(lines(None, 0))

    def points(self, name: str) -> list[tuple[dict[str, Any], Any]]:
        """Attributes and value (the count, of a histogram) of each series of a metric."""
        data = self.reader.get_metrics_data()
        scopes = [scope for each in (data.resource_metrics if data else []) for scope in each.scope_metrics]
        found = [each for scope in scopes if scope.scope.name == "base44_web" for each in scope.metrics]
        return [
            (dict(point.attributes or {}), getattr(point, "count", getattr(point, "value", None)))
            for each in found
            if each.name == name
            for point in each.data.data_points
        ]


def told(span: ReadableSpan) -> str:
    kind = "" if span.kind == SpanKind.INTERNAL else f" {span.kind.name}"
    failed = "" if span.status.is_unset else f" {span.status.status_code.name}"
    assert not span.events
    assert span.status.description is None
    attributes = (f"{name}={value}" for name, value in sorted((span.attributes or {}).items()))
    return " ".join([f"{span.name}{kind}{failed}", *attributes])


@pytest.fixture
def exported(monkeypatch: pytest.MonkeyPatch) -> Iterator[Exported]:
    """An SDK, for this test alone."""
    exported = Exported()
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", exported.tracers)
    monkeypatch.setattr(sys.modules["opentelemetry.metrics._internal"], "_METER_PROVIDER", exported.meters)
    monkeypatch.setattr(telemetry, "_looked", True)
    monkeypatch.setattr(telemetry, "_otel", otel.OpenTelemetry())
    yield exported
    exported.meters.shutdown()
    exported.tracers.shutdown()


def use(kind: str, settings: Settings, token: str | None, *steps: Callable[[Any], Any]) -> None:
    """Take some steps with a client, whatever comes of them."""

    async def awaiting() -> None:
        async with AsyncBase44(settings=settings, token=token) as base44:
            for step in steps:
                with contextlib.suppress(Base44Error):
                    outcome = step(base44)
                    if inspect.isawaitable(outcome):
                        await outcome

    if kind == "awaiting":
        asyncio.run(awaiting())
        return
    with Base44(settings=settings, token=token) as base44:
        for step in steps:
            with contextlib.suppress(Base44Error):
                step(base44)


def shared(base44: Any) -> Any:
    return base44.as_service_role.connectors.get_connection("slack")


def calendar(base44: Any) -> Any:
    return base44.as_service_role.connectors.get_current_app_user_connection("calendar")


def user(base44: Any) -> Any:
    return base44.user()


def renewed_slack(emulator: Emulator) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    """Keep a connection, and renew it after its token has died."""
    kept: list[Any] = []

    def keep(base44: Any) -> Any:
        found = shared(base44)
        if not inspect.isawaitable(found):
            kept.append(found)
            return None

        async def wait() -> None:
            kept.append(await found)

        return wait()

    def renew(base44: Any) -> Any:
        emulator.expire(None, "slack")
        return base44.renew(kept[0])

    return keep, renew


ME = "GET CLIENT http.request.method=GET http.response.status_code=200 server.address=127.0.0.1"
AGAIN = "GET CLIENT ERROR error.type=ServerError http.request.method=GET {}http.response.status_code=503 server.address=127.0.0.1"
TREES: dict[str, tuple[list[Callable[[Any], Any]], list[Fault], str]] = {
    "miss, hit": (
        [shared, shared], [],
        f"""\
base44.get_connection base44.cache=miss base44.connector=slack server.address=127.0.0.1
  {ME}
base44.get_connection base44.cache=hit base44.connector=slack""",
    ),
    "bypass": (
        [lambda base44: base44.as_service_role.connectors.get_connection("slack", fresh=True)], [],
        f"""\
base44.get_connection base44.cache=bypass base44.connector=slack server.address=127.0.0.1
  {ME}""",
    ),
    "retries": (
        [shared], [Fault(status=503), Fault(status=503)],
        f"""\
base44.get_connection base44.cache=miss base44.connector=slack http.request.resend_count=2 server.address=127.0.0.1
  {AGAIN.format("")}
  {AGAIN.format("http.request.resend_count=1 ")}
  GET CLIENT http.request.method=GET http.request.resend_count=2 http.response.status_code=200 server.address=127.0.0.1""",
    ),
    "401": (
        [user], [Fault(status=401)],
        """\
base44.user ERROR error.type=AuthenticationError server.address=127.0.0.1
  GET CLIENT ERROR error.type=AuthenticationError http.request.method=GET http.response.status_code=401 server.address=127.0.0.1""",
    ),
    "no answer": (
        [lambda base44: base44.connectors.disconnect_app_user("calendar")], [Fault(drop="before")],
        """\
base44.disconnect_app_user ERROR base44.connector=calendar error.type=RequestFailedError server.address=127.0.0.1
  DELETE CLIENT ERROR error.type=RequestFailedError http.request.method=DELETE server.address=127.0.0.1""",
    ),
    "denied": (
        [user, calendar], [],
        f"""\
base44.user server.address=127.0.0.1
  {ME}
base44.get_current_app_user_connection ERROR base44.cache=miss base44.connector=calendar \
error.type=NotConnectedError server.address=127.0.0.1
  GET CLIENT ERROR error.type=NotConnectedError http.request.method=GET http.response.status_code=404 \
server.address=127.0.0.1""",
    ),
    "call_api": (
        [lambda base44: base44.as_service_role.connectors.call_api("x", path="/2/tweets", method="POST", body={})], [],
        """\
base44.call_api base44.connector=x server.address=127.0.0.1
  POST CLIENT http.request.method=POST http.response.status_code=200 server.address=127.0.0.1""",
    ),
    "an ID that nobody configured": (
        [lambda base44: base44.connectors.connect_app_user(ConnectorID("0" * 24))], [],
        """\
base44.connect_app_user ERROR base44.connector=other error.type=NotFoundError server.address=127.0.0.1
  POST CLIENT ERROR error.type=NotFoundError http.request.method=POST http.response.status_code=404 \
server.address=127.0.0.1""",
    ),
    "forget": (
        [lambda base44: base44.forget()], [],
        f"""\
base44.forget server.address=127.0.0.1
  {ME}""",
    ),
    "nothing is sent": (
        [lambda base44: base44.without_user().as_service_role.connectors.get_current_app_user_connection("calendar")], [],
        "base44.get_current_app_user_connection ERROR base44.cache=bypass base44.connector=calendar "
        "error.type=AuthenticationError",
    ),
}  # fmt: skip


@pytest.fixture
def kept(settings: Settings) -> Settings:
    return changed(settings, connection_ttl=30, max_retries=2)


@pytest.mark.parametrize("kind", KINDS)
def test_trees(
    kind: str,
    exported: Exported,
    emulator: Emulator,
    kept: Settings,
    monkeypatch: pytest.MonkeyPatch,
    subtests: pytest.Subtests,
) -> None:
    monkeypatch.setattr(retries, "_FIRST", 0.0)
    emulator.share("slack")
    emulator.add_metered("x")
    for name, (steps, faults, tree) in TREES.items():
        with subtests.test(name):
            exported.spans.clear()
            for fault in faults:
                emulator.fault(fault)
            use(kind, kept, emulator.sign_in(emulator.add_user(f"{len(tree)}@test.example")), *steps)
            assert exported.tree() == tree
    with subtests.test("renewed"):
        exported.spans.clear()
        use(kind, kept, None, *renewed_slack(emulator))
        assert (
            exported.tree()
            == f"""\
base44.get_connection base44.cache=miss base44.connector=slack server.address=127.0.0.1
  {ME}
base44.renew base44.cache=renewal base44.connector=slack server.address=127.0.0.1
  {ME}"""
        )


def test_who_asks_at_the_same_time_shares_a_call(exported: Exported, emulator: Emulator, kept: Settings) -> None:
    emulator.share("slack")

    async def together() -> None:
        async with AsyncBase44(settings=kept) as base44:
            await asyncio.gather(shared(base44), shared(base44))

    asyncio.run(together())
    assert exported.tree().splitlines() == [
        "base44.get_connection base44.cache=miss base44.connector=slack server.address=127.0.0.1",
        f"  {ME}",
        "base44.get_connection base44.cache=joined base44.connector=slack",
    ]


def test_who_is_cancelled_has_not_failed(exported: Exported, emulator: Emulator, kept: Settings) -> None:
    emulator.fault(Fault(delay=30))

    async def cancelled() -> None:
        async with AsyncBase44(settings=kept) as base44:
            task = asyncio.ensure_future(shared(base44))
            while not emulator.requests:
                await asyncio.sleep(0)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    asyncio.run(cancelled())
    found = exported.spans.get_finished_spans()
    assert [(span.name, span.status.is_unset, dict(span.attributes or {})["error.type"]) for span in found] == [
        ("GET", True, "CancelledError"), ("base44.get_connection", True, "CancelledError"),
    ]  # fmt: skip


def test_metrics(exported: Exported, emulator: Emulator, kept: Settings) -> None:
    emulator.share("slack")
    for kind in KINDS:
        use(kind, kept, None, shared, shared, calendar)
    slack = {"base44.operation": "get_connection", "base44.connector": "slack"}
    denied = {"base44.operation": "get_current_app_user_connection", "base44.connector": "calendar"}
    points = exported.points("base44.client.operation.duration")
    for wanted in (
        {**slack, "base44.cache": "miss", "server.address": "127.0.0.1"},
        {**slack, "base44.cache": "hit"},
        {**denied, "base44.cache": "bypass", "error.type": "AuthenticationError"},
    ):
        assert (wanted, 2) in points
    assert len(points) == 3
    lookups = [({"base44.cache": name}, 2) for name in ("miss", "hit", "bypass")]
    assert exported.points("base44.client.cache.lookups") == lookups


def test_attributes_are_few(exported: Exported, emulator: Emulator, kept: Settings) -> None:
    """Whatever a visitor asks for."""
    emulator.share("slack")

    def asked(number: int) -> list[Callable[[Any], Any]]:
        connector = f"visitors-{number}"
        return [
            lambda base44: base44.connectors.connect_app_user(ConnectorID(connector)),
            lambda base44: base44.as_service_role.connectors.get_current_app_user_connection(ConnectorID(connector)),
            lambda base44: base44.as_service_role.connectors.get_connection(connector),
            lambda base44: base44.as_service_role.connectors.get_workspace_connection(connector),
            lambda base44: base44.as_service_role.connectors.call_api(connector, path=f"/{connector}"),
        ]

    token = emulator.sign_in(emulator.add_user("ada@test.example"))
    use("blocking", kept, token, shared, calendar, *(step for number in range(20) for step in asked(number)))
    points = exported.points("base44.client.operation.duration")
    assert {attributes.get("base44.connector") for attributes, _ in points} == {"slack", "calendar", "other"}
    assert len(points) < 10
    assert all("visitors" not in span.to_json() for span in exported.spans.get_finished_spans())


# --- guards


def served(driver: Driver, exported: Exported, headers: Headers) -> None:
    """A request, within a server's span; FastAPI makes its own."""
    tracer = exported.tracers.get_tracer("server")
    if driver.runner is None:
        with tracer.start_as_current_span("server", kind=SpanKind.SERVER):
            driver.request("GET", "/guarded", headers)
        return

    async def send() -> None:
        own = tracer.start_as_current_span("server", kind=SpanKind.SERVER)
        with contextlib.nullcontext() if driver.name.startswith("fastapi") and FASTAPI_TRACES else own:
            await driver.send("GET", "/guarded", headers)

    driver.runner.run(send())


@pytest.mark.drivers(*ONE_EACH, "fastapi-sync", "flask-async")
def test_what_a_guard_decides_is_on_the_servers_span(
    driver: Driver, exported: Exported, emulator: Emulator, subtests: pytest.Subtests
) -> None:
    ada, ben = (emulator.add_user(f"{name}@test.example") for name in ("ada", "ben"))
    emulator.connect(ada, CALENDAR_ID)
    known = bearer(emulator.sign_in(ada))
    rows: list[tuple[str, Headers, Fault | None]] = [
        ("admitted", known, None),
        ("admitted", known, None),
        ("sign_in_required", [], None),
        ("invalid_token", bearer("a.b.c"), None),
        ("invalid_token", bearer(emulator.sign_in(ada, lifetime=-5)), None),
        ("not_connected", bearer(emulator.sign_in(ben)), None),
        ("platform_unavailable", bearer(emulator.sign_in(ada, n=1)), Fault(status=503)),
        ("service_role_unavailable", known, Fault(status=403)),
    ]
    for number, (outcome, headers, fault) in enumerate(rows):
        with subtests.test(outcome, number=number):
            exported.spans.clear()
            if fault is not None:
                emulator.fault(fault, path="*/token" if fault.status == 403 else "*", times=2)
            served(driver, exported, headers)
            emulator.clear_faults()
            spans = exported.spans.get_finished_spans()
            (span,) = (span for span in spans if "base44.guard" in (span.attributes or {}))
            assert (span.kind, (span.attributes or {})["base44.guard"]) == (SpanKind.SERVER, outcome)
            # What the guard asks for, at the same time, in threads too, is below it.
            operations = [span for span in spans if span.name.startswith("base44.")]
            assert span.context is not None
            assert {each.context.trace_id for each in operations if each.context} <= {span.context.trace_id}
            assert bool(operations) == (headers != [])
    counted = {attributes["base44.guard"]: count for attributes, count in exported.points("base44.guard.decisions")}
    outcomes = [outcome for outcome, *_ in rows]
    assert counted == {outcome: outcomes.count(outcome) for outcome in outcomes}


# --- credentials


class Records(logging.Handler):
    """What a log pipeline gets: all that is in a record."""

    def __init__(self) -> None:
        super().__init__(1)
        self.seen: list[dict[str, Any]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.seen.append({name: value for name, value in vars(record).items() if name.startswith("base44_")})


def test_no_credential_is_told(exported: Exported, emulator: Emulator, platform: str) -> None:
    records, logger = Records(), logging.getLogger("base44_web")
    logger.addHandler(records)
    logger.setLevel(1)
    try:
        for number, fault in enumerate(FAULTS):
            kind = KINDS[number % 2]
            emulator.clear_faults()
            emulator.fault(fault, times=None)
            settings = canary_settings(platform, timeout=0.5 if fault.delay else 60)
            use(kind, settings, TOKEN, *(made(*call) for call in CALLS))
            with contextlib.closing(Driver(f"core-{kind}", settings)) as driver:
                driver.request("GET", "/guarded", bearer(TOKEN))
    finally:
        logger.removeHandler(records)
        logger.setLevel(logging.NOTSET)
    spans = exported.spans.get_finished_spans()
    assert len(spans) > len(FAULTS) * len(CALLS)
    for span in spans:
        clean(span.to_json())
        assert CALENDAR_ID not in span.to_json()
    data = exported.reader.get_metrics_data()
    assert data is not None
    assert "base44.client.operation.duration" in data.to_json()
    clean(data.to_json())
    assert {"refused", "platform_failing"} <= {record["base44_event"] for record in records.seen}
    clean(records.seen)


def made(module: str, method: str, arguments: list[str]) -> Callable[[Any], Any]:
    def step(base44: Any) -> Any:
        owner = {"service": lambda: base44.as_service_role.connectors, "user": lambda: base44.connectors}
        return getattr(owner.get(module, lambda: base44)(), method)(*arguments)

    return step


def test_no_user_is_told(exported: Exported, emulator: Emulator, kept: Settings) -> None:
    ada = emulator.add_user("ada@test.example")
    emulator.connect(ada, CALENDAR_ID)
    use("blocking", kept, emulator.sign_in(ada), user, calendar, lambda base44: base44.forget(ada))
    shown = [span.to_json() for span in exported.spans.get_finished_spans()]
    assert len(shown) == 5
    assert not [text for text in shown if ada.id in text or ada.email in text]


# --- beside others


def test_what_instruments_http_is_within_the_try(exported: Exported, emulator: Emulator, kept: Settings) -> None:
    instruments = pytest.importorskip("opentelemetry.instrumentation.httpx")
    if not hasattr(instruments, "HTTPX2ClientInstrumentor"):
        pytest.skip("it is older than httpx2")
    instrumentor = instruments.HTTPX2ClientInstrumentor()
    instrumentor.instrument(tracer_provider=exported.tracers, meter_provider=exported.meters)
    try:
        emulator.share("slack")
        use("awaiting", kept, None, shared)
    finally:
        instrumentor.uninstrument()
    by_id = {span.context.span_id: span for span in exported.spans.get_finished_spans() if span.context}
    (theirs,) = (span for span in by_id.values() if "httpx" in str(span.instrumentation_scope))
    assert theirs.parent is not None
    own = by_id[theirs.parent.span_id]
    assert own.parent is not None
    assert (own.name, by_id[own.parent.span_id].name) == ("GET", "base44.get_connection")
    scope = own.instrumentation_scope
    assert scope is not None
    assert (scope.name, bool(scope.version)) == ("base44_web", True)


def test_an_sdk_that_comes_later_is_noticed(
    exported: Exported, emulator: Emulator, kept: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracers, meters = exported.tracers, exported.meters
    internal = sys.modules["opentelemetry.metrics._internal"]
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", None)
    monkeypatch.setattr(internal, "_METER_PROVIDER", None)
    monkeypatch.setattr(telemetry, "_otel", otel.OpenTelemetry())
    emulator.share("slack")
    use("blocking", kept, None, shared)
    assert not telemetry.is_on()
    assert exported.tree() == ""
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", tracers)
    use("blocking", kept, None, shared)
    assert exported.tree().startswith("base44.get_connection base44.cache=miss")
    # An SDK for metrics alone is one, too.
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", None)
    monkeypatch.setattr(internal, "_METER_PROVIDER", meters)
    monkeypatch.setattr(telemetry, "_otel", otel.OpenTelemetry())
    use("blocking", kept, None, shared)
    assert [count for _, count in exported.points("base44.client.cache.lookups")] == [1]


# --- without it


def run_alone(code: str, **variables: str) -> str:
    """What a program prints, with a client whose platform answers at once."""
    program = f"""
import logging, sys
logging.basicConfig(format="%(base44_event)s", stream=sys.stdout)
{code}
from base44_web import Base44
from base44_web.testing import Emulator
loaded = lambda: any(name.partition(".")[0] == "opentelemetry" for name in sys.modules if sys.modules[name])
print(loaded())
with Emulator.demo() as emulator:
    with Base44(app_id=emulator.app_id, service_token=emulator.service_token, transport=emulator.transport) as base44:
        print(loaded())
        base44.as_service_role.connectors.get_connection("slack")
        print("done")
"""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")} | variables
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=PATIENCE, env=environment
    )
    assert done.returncode == 0, done.stderr
    return " ".join(done.stdout.split())


def test_it_is_looked_for_with_the_first_engine() -> None:
    assert run_alone("") == "False True done"


def test_nothing_is_imported_where_it_is_not_installed() -> None:
    assert run_alone('sys.modules["opentelemetry"] = None') == "False False done"


def test_what_else_is_below_that_name_is_none(tmp_path: Any) -> None:
    (tmp_path / "opentelemetry" / "proto").mkdir(parents=True)
    only_that = f"import opentelemetry; opentelemetry.__path__ = [{str(tmp_path / 'opentelemetry')!r}]"
    assert run_alone(only_that) == "True True done"


def test_a_provider_that_cannot_be_loaded_stops_nothing() -> None:
    outcome = run_alone("", OTEL_PYTHON_TRACER_PROVIDER="nonsense").split()
    assert outcome[0] == "False"
    assert outcome[-2:] == ["True", "done"]
    assert "telemetry_unusable" in outcome
