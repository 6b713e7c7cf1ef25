"""The pytest plugin, in runs of pytest of its own."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path

import pytest

from base44_web.testing import CALENDAR_ID, Emulator, Fault
from tests.serving import PATIENCE

pytest_plugins = ["pytester"]

DOCS = Path(__file__).parent.parent.parent / "docs" / "testing.md"
# Where the package is on the path and not installed, there is no entry point.
INSTALLED = any(each.name == "base44" for each in entry_points(group="pytest11"))
PLUGIN = [] if INSTALLED else ["-p", "base44_web.pytest_plugin"]
DJANGO = """
import django
from django.conf import settings
settings.configure(
    SECRET_KEY="tests only", ROOT_URLCONF="myapp", INSTALLED_APPS=["base44_web.django"], ALLOWED_HOSTS=["testserver"],
    MIDDLEWARE=["base44_web.django.Base44Middleware"],
    BASE44={"APP_ID": "in-production", "APP_URL": "https://app.example", "APP_USER_CONNECTORS": {"calendar": "69e6"}},
)
django.setup()
"""


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BASE44_MAX_RETRIES", raising=False)  # the suite's own


def run(pytester: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    return pytester.runpytest_subprocess(*PLUGIN, "-p", "no:cacheprovider", *arguments, timeout=PATIENCE)


def documented(framework: str) -> tuple[str, str]:
    """The app and the test that the docs show."""
    section = DOCS.read_text().partition(f"### {framework}\n")[2].partition("\n##")[0]
    app, test = re.findall(r"^```python\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    return app, test


@pytest.mark.parametrize("framework", ["FastAPI", "Starlette", "Django", "Flask"])
def test_a_guarded_view_is_tested_in_eight_lines(pytester: pytest.Pytester, framework: str) -> None:
    pytest.importorskip(framework.lower())
    app, test = documented(framework)
    assert len([line for line in test.splitlines() if line and not line.startswith("#")]) <= 8
    again = test.partition("def ")[2].partition("(")[2]  # the same app, and somebody who is not connected any more
    pytester.makepyfile(myapp=app, test_myapp=f"{test}\n\ndef test_again({again}")
    if framework == "Django":
        pytester.makeconftest(DJANGO)
    run(pytester).assert_outcomes(passed=2)


BEHAVIOUR = f"""
import os
import httpx2
import pytest
from base44_web import Base44, ServerError, Settings
from base44_web.testing import Fault

def get(user, connector="calendar"):
    with Base44(token=user.token) as base44:
        return base44.as_service_role.connectors.get_current_app_user_connection(connector).access_token

def test_connects_and_disconnects(base44_user, base44_server, base44_emulator):
    assert os.environ["BASE44_SERVER_URL"] == base44_server.url == base44_emulator.url
    token = base44_user.connect("calendar")
    assert get(base44_user) == token
    base44_user.disconnect({CALENDAR_ID!r})
    with pytest.raises(LookupError, match="Did you mean 'calendar'"):
        base44_user.connect("calender")
    assert base44_user.token not in repr(base44_user)

@pytest.mark.base44(connectors={{"mail": "70a1b2c3d4e5f60718293a4c"}}, user={{"role": "user"}})
class TestMarked:
    @pytest.mark.base44(connected="mail", user={{"role": "admin"}})
    def test_the_nearest_mark_counts(self, base44_user):
        assert base44_user.user.role == "admin"
        assert get(base44_user, "mail")

def test_settings_of_the_emulator(base44_emulator):
    base44_emulator.share("slack")
    assert base44_emulator.settings() == Settings(connection_ttl=0, identity_ttl=0)
    with Base44(settings=base44_emulator.settings(max_retries=0)) as base44:
        base44_emulator.fault(Fault(status=503), path="*/slack")
        with pytest.raises(ServerError):
            base44.as_service_role.connectors.get_connection("slack")

def test_forgets(base44_emulator):
    assert base44_emulator.requests == []
    base44_emulator.fault(Fault(status=503), path="*/slack")
    base44_emulator.clear_faults()

LASTING = []

@pytest.mark.parametrize("number", range(2))
def test_what_an_app_remembers_is_of_this_test(base44_emulator, number):
    if not LASTING:
        LASTING.append(Base44(settings=Settings(connection_ttl=60)))
    token = base44_emulator.share("slack")
    assert LASTING[0].as_service_role.connectors.get_connection("slack").access_token == token
    if number == 1:
        LASTING.pop().close()

@pytest.mark.base44(mode="dev")
def test_as_the_local_dev_server(base44_user, base44_server):
    url = f"{{base44_server.url}}/api/apps/{{os.environ['BASE44_APP_ID']}}/entities/User/me"
    assert "app_id" not in httpx2.get(url, headers=base44_user.headers).json()

def test_without_fixtures():
    assert "BASE44_SERVER_URL" not in os.environ

def test_fails_for_a_fault_that_nothing_meets(base44_user, base44_emulator):
    base44_emulator.fault(Fault(status=503), path="*/tokn")

def test_fails_for_its_own_reason(base44_emulator):
    base44_emulator.fault(Fault(status=503), path="*/tokn")
    assert False, "its own"

@pytest.mark.base44("calendar", conected=["calendar"])
def test_fails_for_a_mark_that_is_wrong(base44_user):
    pass
"""


def test_what_the_fixtures_do(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(BEHAVIOUR)
    result = run(pytester, "--strict-markers", "-Werror")
    result.assert_outcomes(passed=8, failed=2, errors=1)
    text = result.stdout.str()
    assert "ordered what no request has met: Fault(status=503) for any method" in text
    assert "*/tokn. Does the path match" in text
    told = text.partition("short test summary")[0]  # which repeats it in CI
    assert told.count("ordered what no request has met") == 1  # who fails for another reason hears of that
    assert "The mark base44 takes connectors, connected, mode, user, by name: not 'calendar', conected." in text


def test_an_app_that_reads_the_environment_as_it_is_imported(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nbase44_early = true")
    pytester.makepyfile("""
        import os
        URL = os.environ["BASE44_SERVER_URL"]
        def test_is_the_emulators(base44_server, base44_emulator):
            assert URL == base44_server.url == os.environ["BASE44_SERVER_URL"]
        def test_without_fixtures():
            assert URL == os.environ["BASE44_SERVER_URL"]
    """)
    run(pytester).assert_outcomes(passed=2)


@pytest.mark.skipif(find_spec("xdist") is None, reason="needs pytest-xdist")
def test_with_xdist(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("""
        import pytest
        @pytest.mark.parametrize("number", range(4))
        def test_each(base44_user, number):
            base44_user.connect("calendar")
    """)
    run(pytester, "-n", "2").assert_outcomes(passed=4)


def test_pytests_start_loads_nothing_of_ours_but_the_plugin() -> None:
    code = (
        "import sys, pytest; before = set(sys.modules); import base44_web.pytest_plugin; "
        "print(sorted(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE, check=True)
    assert done.stdout == "['base44_web', 'base44_web.pytest_plugin']\n"


def test_faults_that_came_to_pass(emulator: Emulator, platform: str) -> None:
    import httpx2

    emulator.fault(Fault(status=503), path="*/me", times=3)
    emulator.fault(Fault(status=418), path="*/me", method="DELETE", times=None)
    assert len(emulator.unused_faults()) == 2
    assert httpx2.get(f"{platform}/api/apps/demo-app/entities/User/me").status_code == 503
    assert [each.partition(" for ")[2] for each in emulator.unused_faults()] == ["DELETE */me"]
    emulator.clear_faults()
    assert emulator.unused_faults() == []
