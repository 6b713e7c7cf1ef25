"""A redis-server of a test's own, which it can stop, freeze, fill and lose."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.serving import PATIENCE, eventually, free_port


class RedisServer:
    """Attributes: url, of its database 0; port."""

    def __init__(self, folder: Path, *arguments: str, url: str = "redis://127.0.0.1:{port}/0") -> None:
        pytest.importorskip("redis")
        self._program = shutil.which("redis-server")
        if self._program is None:
            message = "redis-server is not installed: apt-get install redis-server"
            if os.environ.get("CI"):
                pytest.fail(message)
            pytest.skip(message)
        self.port = free_port()
        self.url = url.format(port=self.port)
        self._folder, self._arguments = folder, arguments
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, **options: Any) -> None:
        """Start it empty; `options` are for a client that can see that it is there."""
        assert self._program is not None
        words = [self._program, "--port", str(self.port), "--save", "", "--dir", str(self._folder), *self._arguments]
        self._process = subprocess.Popen(words, stdout=subprocess.DEVNULL)
        from redis import Redis, RedisError

        def answers() -> bool:
            with suppress(RedisError), Redis.from_url(self.url, **options) as client:
                return bool(client.ping())
            return False

        process = self._process
        assert eventually(lambda: answers() or process.poll() is not None)
        assert process.poll() is None, "it has ended"

    def freeze(self) -> None:
        """It takes connections and answers nothing."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGCONT)

    def stop(self) -> None:
        if self._process is not None:
            self.thaw()
            self._process.terminate()
            self._process.wait(PATIENCE)
            self._process = None
