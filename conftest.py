"""The code blocks of the README and the docs are tests: Sybil runs them against the emulator."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, chdir
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

# Our own plugin, where the package is on the path and not installed.
INSTALLED = any(each.name == "base44" for each in entry_points(group="pytest11"))
pytest_plugins = [] if INSTALLED else ["base44_web.pytest_plugin"]
collect_ignore_glob = ["examples/*", ".tox/*", ".venv/*"]

try:
    from sybil import Sybil
    from sybil.parsers.markdown import PythonCodeBlockParser, SkipParser

    from tests.docs.console import ConsoleBlockParser
    from tests.docs.pages import FileBlockParser, write
except ImportError:  # the environment without frameworks runs no docs
    pass
else:

    @pytest.fixture(scope="module")
    def documented_platform() -> Iterator[Any]:
        from base44_web.cli.shared import environment_of
        from base44_web.testing import Emulator

        with Emulator.demo() as emulator, emulator.serve() as server:
            variables = environment_of(emulator, server.url)  # as `base44-web emulator` prints them
            os.environ.update(variables)
            yield emulator
            for name in variables:
                os.environ.pop(name, None)

    @pytest.fixture(scope="module")
    def documented_providers(documented_platform: Any) -> Iterator[Callable[[], Any]]:
        """Puts the providers on this machine, for the rest of a document."""
        with ExitStack() as stack:

            def enter() -> Any:
                from tests.bridges.internet import Internet

                return stack.enter_context(Internet(documented_platform))

            yield enter

    @pytest.fixture(scope="module")
    def documented_folder() -> Iterator[Callable[[dict[str, str]], None]]:  # Sybil gives blocks what a fixture asks for
        """Writes a document's files into a folder, which is the current one for the rest of the document."""
        with ExitStack() as stack:

            def enter(files: dict[str, str]) -> None:
                folder = stack.enter_context(TemporaryDirectory())
                write(files, Path(folder))
                stack.enter_context(chdir(folder))

            yield enter

    def missing(name: str) -> bool:
        return find_spec(name) is None

    def provide(namespace: dict[str, Any]) -> None:
        # What a Django project's settings module has before the block adds to it; and a module's name, for Flask.
        namespace.update(INSTALLED_APPS=[], MIDDLEWARE=[], __name__="__main__", missing=missing)

    pytest_collect_file = Sybil(
        parsers=[
            PythonCodeBlockParser(),
            ConsoleBlockParser(),
            FileBlockParser("html"),
            FileBlockParser("js"),
            SkipParser(),
        ],
        patterns=["README.md", "docs/*.md"],
        setup=provide,
        fixtures=["documented_platform", "documented_providers", "documented_folder"],
    ).pytest()
