"""`base44-web relay init`: what it writes, what it leaves alone; and that what it writes works."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import httpx2
import pytest

from base44_web import Settings
from base44_web.cli import main
from base44_web.testing import CALENDAR_ID, Emulator
from tests.drivers import environment
from tests.frontend.conftest import modules as modules
from tests.frontend.conftest import tool as tool
from tests.npm import installed
from tests.relay.test_relay_js import HERE as RELAY_TESTS
from tests.relay.test_relay_js import UVICORN, listening, process, says
from tests.serving import PATIENCE, ROOT, free_port, started

ORIGIN = "https://api.example.com"
FILES = (".env.relay", ".env.relay.function")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    (folder / "base44").mkdir(parents=True)
    (folder / "base44/config.jsonc").write_text('{"name": "test"}')
    (folder / "base44/.app.jsonc").write_text('{"id": "demo-app"}')
    return folder


def variables(path: Path) -> dict[str, str]:
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def test_what_it_writes(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["relay", "init", str(project), "--origin", ORIGIN, "--prefix", "/api/"]) == 0
    printed = capsys.readouterr()
    function = project / "base44/functions/relay"
    assert sorted(path.name for path in function.iterdir()) == ["entry.ts", "relay.ts"]
    server, secrets = (variables(project / name) for name in FILES)
    assert all(stat.S_IMODE((project / name).stat().st_mode) == 0o600 for name in FILES)
    assert len(secrets["RELAY_SECRET"]) >= 32
    assert secrets["RELAY_SECRET"] not in printed.out + printed.err
    assert ".gitignore" in printed.out
    named = set(re.findall(r'"(RELAY_\w+)"', (function / "entry.ts").read_text()))
    assert secrets.keys() == named  # all that the function reads
    assert secrets["RELAY_PREFIX"] == "/api"
    with environment(**server):
        settings = Settings.load()
    assert (settings.app_id, settings.platform_headers) == ("demo-app", "signed")
    assert settings.relay_audience == secrets["RELAY_AUDIENCE"]
    assert settings.relay_keys[secrets["RELAY_KEY_ID"]].reveal() == secrets["RELAY_SECRET"]


def test_two_relays_share_no_secret(project: Path) -> None:
    made = []
    for name in ("one", "two"):
        assert main(["relay", "init", str(project), "--origin", ORIGIN, "--name", name]) == 0
        made.append(variables(project / FILES[0])["BASE44_RELAY_KEYS"])
        assert variables(project / FILES[1])["RELAY_MOUNT"] == f"/functions/{name}"
        for file in FILES:
            (project / file).unlink()
    assert made[0] != made[1]


def test_a_project_with_folders_of_its_own(project: Path) -> None:
    (project / "base44/config.jsonc").write_text("{name: 'x', // a comment\n functionsDir: '../src/functions',}")
    (project / "base44/.app.jsonc").unlink()
    (project / "deep").mkdir()
    assert main(["relay", "init", str(project / "deep"), "--origin", ORIGIN]) == 0
    assert (project / "src/functions/relay/entry.ts").is_file()
    assert "BASE44_APP_ID" not in variables(project / FILES[0])


def test_nothing_is_overwritten(project: Path, capsys: pytest.CaptureFixture[str], subtests: pytest.Subtests) -> None:
    function = project / "base44/functions/relay"
    for name in (*FILES, "base44/functions/relay"):
        with subtests.test(name):
            there = project / name
            there.parent.mkdir(parents=True, exist_ok=True)
            there.symlink_to(project / "nowhere")  # not even what is not there yet
            assert main(["relay", "init", str(project), "--origin", ORIGIN]) == 2
            assert str(there) in capsys.readouterr().err
            assert not (project / "nowhere").exists()
            there.unlink()
            assert not function.exists()
            assert not any((project / file).exists() for file in FILES)


REFUSED = {
    "no project": ([".", "--origin", ORIGIN], "no base44/config.jsonc"),
    "http": (["{}", "--origin", "http://api.example.com"], "must be https"),
    "no origin": (["{}", "--origin", f"{ORIGIN}/api"], "must be an origin"),
    "none at all": (["{}"], "--origin"),
    "a bad prefix": (["{}", "--origin", ORIGIN, "--prefix", "api"], "must be a path"),
    "an encoded prefix": (["{}", "--origin", ORIGIN, "--prefix", "/a%20b"], "must be a plain path"),
    "a name that leads out": (["{}", "--origin", ORIGIN, "--name", "../x"], "must be letters"),
    "a line break": (["{}", "--origin", ORIGIN, "--audience", "a\nRELAY_ORIGIN=x"], "must be a text"),
}


def test_what_it_refuses(
    project: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    subtests: pytest.Subtests,
) -> None:
    monkeypatch.chdir(tmp_path)
    before = sorted(project.rglob("*"))
    for name, (arguments, message) in REFUSED.items():
        with subtests.test(name):
            try:
                status: Any = main(["relay", "init", *(each.format(project) for each in arguments)])
            except SystemExit as ended:
                status = ended.code
            assert status == 2
            assert message in capsys.readouterr().err
            assert sorted(project.rglob("*")) == before


# --- with Base44's own tool, and where functions run


def test_the_tool_takes_it_for_a_function(project: Path, tool: Path, tmp_path: Path) -> None:
    assert main(["relay", "init", str(project), "--origin", ORIGIN]) == 0
    brought: list[tuple[str, Any]] = []

    def take(self: BaseHTTPRequestHandler) -> None:
        brought.append((self.path, json.loads(self.rfile.read(int(self.headers["content-length"])))))
        says(self, 200, {"content-type": "application/json"}, b'{"status": "deployed", "success": true}')

    with listening(take) as url:
        given = {
            "PATH": os.environ["PATH"], "HOME": str(tmp_path), "BASE44_DISABLE_TELEMETRY": "1", "CI": "true",
            "BASE44_API_URL": url, "BASE44_API_KEY": "b44k_x", "BASE44_CLI_TEST_OVERRIDES": '{"latestVersion": null}',
        }  # fmt: skip
        for words in (["functions", "deploy"], ["secrets", "set", "--env-file", FILES[1]]):
            done = subprocess.run(
                ["node", str(tool / "bin/run.js"), *words], cwd=project, env=given, capture_output=True, text=True,
                timeout=PATIENCE,
            )  # fmt: skip
            assert done.returncode == 0, done.stdout + done.stderr
    (path, function), (_, secrets) = brought
    assert path.endswith("/backend-functions/relay")
    assert function["entry"] == "entry.ts"
    assert sorted(file["path"] for file in function["files"]) == ["entry.ts", "relay.ts"]
    assert secrets == variables(project / FILES[1])


def test_it_relays(project: Path, tool: Path, emulator: Emulator, platform: str, tmp_path: Path) -> None:
    """The function, as the tool's own runtime runs it; a server with the settings; the platform before both."""
    pytest.importorskip("starlette")
    pytest.importorskip("uvicorn")
    deno = installed(RELAY_TESTS, "deno")
    port, at = free_port(), free_port()
    origin = f"http://127.0.0.1:{port}"
    assert main(["relay", "init", str(project), "--origin", origin]) == 0
    server = {
        **os.environ, **variables(project / FILES[0]), "BASE44_ALLOWED_API_URLS": platform, "TEST_SITE": "starlette",
        "BASE44_REPLAY_STORE": str(tmp_path / "seen"), "BASE44_APP_USER_CONNECTORS": f"calendar={CALENDAR_ID}",
    }  # fmt: skip
    function = {
        **variables(project / FILES[1]), "FUNCTION_PORT": str(at), "FUNCTION_NAME": "relay",
        "FUNCTION_PATH": (project / "base44/functions/relay/entry.ts").as_uri(), "DENO_DIR": str(tmp_path / "deno"),
    }  # fmt: skip
    deno_run = [
        "node", str(deno / "bin.cjs"), "run", "--quiet", "--no-prompt", "--allow-net", "--allow-env", "--allow-read",
        str(shutil.copytree(tool / "dist/assets/backend-runtime", tmp_path / "runtime") / "main.ts"),
    ]  # fmt: skip
    uvicorn = [*(word.format(port=port) for word in UVICORN), "tests.relay.sites:app"]
    log = tmp_path / "function.log"
    with (
        started(uvicorn, ROOT, server, port, tmp_path / "server.log"),
        process(deno_run, tmp_path, log, function) as running,
    ):
        said = [running.stdout.readline() for _ in range(2)]
        assert "Listening" in said[1], (said, log.read_text())
        emulator.add_function("relay", f"http://127.0.0.1:{at}")
        ada = emulator.users()[0]
        headers = {"authorization": f"Bearer {emulator.sign_in(ada)}"}
        slack = httpx2.get(f"{platform}/functions/relay/slack", headers=headers, timeout=PATIENCE)
        assert slack.json() == {"access_token": emulator.share_token("slack")}, log.read_text()
        me = httpx2.get(f"{platform}/functions/relay/me", headers=headers, timeout=PATIENCE)
        assert me.json() == {"email": ada.email}
        assert httpx2.get(f"{origin}/me", headers=headers, timeout=PATIENCE).status_code == 400  # not through the relay
