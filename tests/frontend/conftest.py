"""What these tests run: the template's own client built by Vite, the reference client under Node.js, the real tool."""

from __future__ import annotations

import base64
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from base44_web.testing import Emulator
from tests.npm import installed
from tests.relay.test_relay import relay_at as relay_at

HERE = Path(__file__).parent
MODULES = HERE / "node_modules"
# Packed, not installed: it wants packages that neither its template nor what is run here needs.
TOOL = "base44@0.1.18"
TOOL_INTEGRITY = "hEdlhAeieHN3EG/c4KpTN6cz1iRyfeO+gloprkGlYy1x7CIhyFDiM2CwfhegZpJuMPbojXrFprLBq0AFR+oc4g=="
BASE = "/sites/calendar"


@contextmanager
def alone() -> Iterator[None]:
    """One of several test processes at a time."""
    with (HERE / "package.json").open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@pytest.fixture(scope="session")
def modules() -> Path:
    """The packages of this folder."""
    with alone():
        installed(HERE, "@base44/sdk")
        return installed(HERE, "vite").parent


@pytest.fixture(scope="session")
def tool(modules: Path) -> Path:
    """Base44's command line tool, with its templates."""
    folder = modules / f".{TOOL}"
    with alone():
        if not folder.exists():
            made = modules / ".packed"
            shutil.rmtree(made, ignore_errors=True)
            made.mkdir()
            command = ["npm", "pack", TOOL, "--pack-destination", str(made)]
            done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=made)
            assert done.returncode == 0, done.stderr
            (archive,) = made.glob("*.tgz")
            digest = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
            assert digest == TOOL_INTEGRITY
            with tarfile.open(archive) as packed:
                packed.extractall(made, filter="data")
            (made / "package").rename(folder)
    return folder


@pytest.fixture(scope="session")
def built(tool: Path, modules: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small app, built as `base44 build` builds: for `BASE`, with the app's ID and nothing else."""
    project = tmp_path_factory.mktemp("app")
    template = tool / "dist/assets/templates/backend-and-client/src"
    for file in ("api/base44Client.js", "lib/app-params.js"):  # as they are
        (project / "src" / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(template / file, project / "src" / file)
    shutil.copy(HERE / "app/main.js", project / "src/main.js")
    for file in ("index.html", "vite.config.js"):
        shutil.copy(HERE / "app" / file, project / file)
    (project / "package.json").write_text('{"type": "module"}')
    (project / "node_modules").symlink_to(modules)
    environment = {**os.environ, "VITE_BASE44_APP_ID": "demo-app"}
    command = ["node", str(modules / "vite/bin/vite.js"), "build"]
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return project / "dist"


class Sdk:
    """A client of the reference implementation, in a process of its own."""

    def __init__(self, **config: Any) -> None:
        command = ["node", str(HERE / "sdk.mjs")]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._send({"config": config})

    def _send(self, line: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(line) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def __call__(self, path: str, *args: Any) -> Any:
        """The result of a call that must not fail."""
        outcome = self._send({"path": path, "args": args})
        assert "result" in outcome, (path, outcome)
        return outcome["result"]

    def fails(self, path: str, *args: Any) -> tuple[int | None, str | None]:
        """The status and code of a call that must fail."""
        outcome = self._send({"path": path, "args": args})
        assert "error" in outcome, (path, outcome)
        return outcome["error"]["status"], outcome["error"]["code"]

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(10)
        self._process.kill()
        self._process.wait()
        self._process.stdout.close()


@pytest.fixture
def sdk(modules: Path) -> Iterator[Callable[..., Sdk]]:
    clients: list[Sdk] = []

    def make(**config: Any) -> Sdk:
        clients.append(Sdk(**config))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def function() -> Iterator[str]:
    """A server that stands in for a function, and says what it was asked."""

    class Echo(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            seen = {"method": self.command, "path": self.path, "headers": headers, "body": body.decode()}
            octets = json.dumps(seen).encode()
            self.send_response(201 if self.command == "POST" else 200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(octets)))
            self.end_headers()
            self.wfile.write(octets)

        do_GET = do_PUT = do_POST

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def hosted(built: Path, emulator: Emulator, platform: str) -> str:
    """The address of a page deep inside the app."""
    emulator.host(built, at=BASE)
    return f"{platform}{BASE}/lists/7/edit"
