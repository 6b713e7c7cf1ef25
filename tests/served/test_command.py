"""The command `base44-web`."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest

from tests.serving import PATIENCE, free_port


def test_the_emulator_command(tmp_path: Path) -> None:
    port = free_port()
    state = tmp_path / "state.db"
    environments = [asked(port, state) for _ in range(2)]
    assert environments[0] == environments[1]


def asked(port: int, state: Path) -> tuple[dict[str, str], str]:
    """What the emulator says to export, and a token it gives; its state is kept in a file."""
    command = [sys.executable, "-m", "base44_web.cli", "emulator", "--port", str(port), "--state", str(state)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            lines = []
            for line in process.stdout:
                lines.append(line.strip())
                if line.startswith("Stop"):
                    break
            exported = dict(line.removeprefix("export ").split("=", 1) for line in lines if line.startswith("export"))
            answer = httpx2.get(
                f"{exported['BASE44_SERVER_URL']}/api/apps/{exported['BASE44_APP_ID']}/external-auth/tokens/slack",
                headers={"Authorization": f"Bearer {exported['BASE44_SERVICE_TOKEN']}"},
                timeout=PATIENCE,
            )
        finally:
            process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 0
        return exported, json.loads(answer.text)["access_token"]


def test_a_port_that_is_taken() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = subprocess.run(
            [sys.executable, "-m", "base44_web.cli", "emulator", "--port", port],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
    assert done.returncode == 2
    assert "give another with --port" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(shutil.which("base44-web") is None, reason="the command is not on the PATH of this run")
def test_the_command_is_installed() -> None:
    done = subprocess.run(["base44-web", "--help"], capture_output=True, text=True, timeout=PATIENCE)
    assert "demo" in done.stdout
