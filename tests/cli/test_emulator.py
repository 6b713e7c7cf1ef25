"""`base44-web emulator`, as a process of its own; and the ports of `base44-web demo`."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import httpx2
import pytest

from base44_web.cli import main
from base44_web.testing import CALENDAR_ID, Emulator
from tests.serving import PATIENCE, free_port


class Running(NamedTuple):
    """The command, as it runs: what it said, and what it said to export."""

    port: int
    said: str
    exported: dict[str, str]


@contextmanager
def emulating(*arguments: str) -> Iterator[Running]:
    port = free_port()
    command = [sys.executable, "-m", "base44_web.cli", "emulator", "--port", str(port), *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            lines = []
            for line in process.stdout:
                lines.append(line.strip())
                if line.startswith("Stop"):
                    break
            exported = dict(line.removeprefix("export ").split("=", 1) for line in lines if line.startswith("export"))
            yield Running(port, "\n".join(lines), exported)
        finally:
            process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 0


def slack(url: str, app_id: str, service_token: str) -> str:
    answer = httpx2.get(
        f"{url}/api/apps/{app_id}/external-auth/tokens/slack",
        headers={"Authorization": f"Bearer {service_token}"},
        timeout=PATIENCE,
    )
    return str(answer.raise_for_status().json()["access_token"])


def test_what_is_kept(tmp_path: Path) -> None:
    found = []
    for _ in range(2):
        with emulating("--state", str(tmp_path / "state.db")) as running:
            exported = dict(running.exported)
            found.append(
                (
                    exported["BASE44_SERVICE_TOKEN"],
                    slack(exported["BASE44_SERVER_URL"], exported["BASE44_APP_ID"], exported["BASE44_SERVICE_TOKEN"]),
                )
            )
    assert found[0] == found[1]


def test_a_curl_line_for_each_user(tmp_path: Path) -> None:
    state = str(tmp_path / "state.db")
    with Emulator.demo(state) as emulator:
        emulator.add_user("own@test.example")
    with emulating("--state", state) as running:
        lines = re.findall(r"^# (\S+)\n(curl .*)$", running.said, re.MULTILINE)
        assert [email for email, _ in lines] == ["ada@example.com", "grace@example.com", "own@test.example"]
        for email, line in lines:
            _, option, header, url = shlex.split(line)
            assert option == "-H"
            answer = httpx2.get(url, headers=[tuple(header.split(": ", 1))], timeout=PATIENCE)
            assert answer.json()["email"] == email
            if shutil.which("curl"):
                done = subprocess.run(shlex.split(line), capture_output=True, text=True, timeout=PATIENCE)
                assert email in done.stdout


def test_settings_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / ".env.emulator"
    tokens = set()
    for _ in range(2):  # a later start takes the place of its own file
        with emulating("--env", str(file)) as running:
            assert running.exported == {}
            assert stat.S_IMODE(file.stat().st_mode) == 0o600
            shell = ["sh", "-c", f"set -a; . {shlex.quote(str(file))}; env"]
            given = subprocess.run(
                shell, capture_output=True, text=True, env={"PATH": os.environ["PATH"]}, timeout=PATIENCE
            )
            settings = dict(line.split("=", 1) for line in given.stdout.splitlines())
            assert settings["BASE44_APP_USER_CONNECTORS"] == f"calendar={CALENDAR_ID}"
            assert slack(settings["BASE44_SERVER_URL"], settings["BASE44_APP_ID"], settings["BASE44_SERVICE_TOKEN"])
            assert settings["BASE44_SERVICE_TOKEN"] not in running.said
            tokens.add(settings["BASE44_SERVICE_TOKEN"])
    assert len(tokens) == 2
    assert list(tmp_path.iterdir()) == [file]


def test_no_file_of_somebody_elses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own, link = tmp_path / ".env", tmp_path / "link"
    own.write_text("SECRET=1\n")
    link.symlink_to(tmp_path / "nowhere")
    for path in (own, link, tmp_path):
        assert main(["emulator", "--port", str(free_port()), "--env", str(path)]) == 2
        assert str(path) in capsys.readouterr().err
    assert own.read_text() == "SECRET=1\n"
    assert sorted(tmp_path.iterdir()) == [own, link]


def test_a_port_that_is_taken(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert main(["emulator", "--port", port]) == 2
        assert capsys.readouterr().err == f"base44-web: port {port} is taken: give another with --port\n"
        for option, other in (("--port", "--platform-port"), ("--platform-port", "--port")):
            pytest.importorskip("starlette")
            assert main(["demo", "--framework", "starlette", option, port, other, str(free_port())]) == 2
            assert capsys.readouterr().err == f"base44-web: port {port} is taken: give another with {option}\n"


REFUSED = {
    "all addresses": (["--host", "0.0.0.0"], "add --allow-remote"),
    "all addresses, in IPv6": (["--host", "::"], "add --allow-remote"),
    "a name": (["--host", "emulator.example"], "add --allow-remote"),
    "a function without a server": (["--function", "relay"], "NAME=URL"),
    "no such site": (["--site", "/nowhere"], "/nowhere"),
}


def test_what_it_refuses(capsys: pytest.CaptureFixture[str], subtests: pytest.Subtests) -> None:
    for name, (arguments, message) in REFUSED.items():
        with subtests.test(name):
            assert main(["emulator", "--port", str(free_port()), *arguments]) == 2
            assert message in capsys.readouterr().err


def test_all_addresses_and_names_of_this_machine_alone() -> None:
    """As in a container, whose port is forwarded: browsers come with `localhost`, and others' names are refused."""
    with emulating("--host", "0.0.0.0", "--allow-remote") as running:
        assert running.exported["BASE44_SERVER_URL"] == f"http://127.0.0.1:{running.port}"
        url = f"http://127.0.0.1:{running.port}/healthz"
        answers = {
            host: httpx2.get(url, headers={"Host": host}, timeout=PATIENCE)
            for host in (f"localhost:{running.port}", "evil.example", f"evil.example:{running.port}", "10.0.0.1")
        }
    assert [answer.status_code for answer in answers.values()] == [200, 421, 421, 421]
    assert "localhost" in answers["evil.example"].text


def test_an_address_that_was_given() -> None:
    with Emulator() as emulator, emulator.serve(host="127.0.0.2") as server:
        assert httpx2.get(f"{server.url}/healthz").json() == {"status": "ok"}
        assert httpx2.get(f"{server.url}/healthz", headers={"Host": "evil.example"}).status_code == 421


def test_its_own_page(emulator: Emulator, platform: str, tmp_path: Path) -> None:
    emulator.add_user("eve@test.example", full_name="<script>alert(1)</script>")
    page = httpx2.get(platform)
    assert page.headers["content-type"].startswith("text/html")
    for text in ("Ada Lovelace, ada@example.com", CALENDAR_ID, "snowflake", "/provider/calendar/v3/", emulator.app_id):
        assert text in page.text
    assert "<script>" not in page.text
    for secret in (emulator.service_token, emulator.api_key, emulator.share_token("slack"), "correct horse"):
        assert secret not in page.text
    assert httpx2.get(f"{platform}/nothing").status_code == 404
    (tmp_path / "index.html").write_text("mine")
    emulator.host(tmp_path)  # takes the place of the page, and not of the word on its health
    assert httpx2.get(platform).text == "mine"
    assert httpx2.get(f"{platform}/healthz").json() == {"status": "ok"}


@pytest.mark.skipif(shutil.which("base44-web") is None, reason="the command is not on the PATH of this run")
def test_the_command_is_installed() -> None:
    done = subprocess.run(["base44-web", "--help"], capture_output=True, text=True, timeout=PATIENCE)
    assert "demo" in done.stdout
