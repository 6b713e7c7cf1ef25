"""The Python app around the working directory: where its code begins, and what its pyproject.toml says to us."""

from __future__ import annotations

import ast
import os
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple, cast

from .._core.fields import connectors
from .shared import CannotRun

_VARIABLE: Final = "BASE44_APP_USER_CONNECTORS"
_ROOT_FILES: Final = ("pyproject.toml", "setup.cfg", "setup.py", "manage.py")
_KEYS: Final[Mapping[str, type | tuple[type, ...]]] = {
    "app_user_connectors": (list, dict),
    "project": str,
    "out": str,
    "available": str,
    "open": bool,
}


@dataclass(frozen=True)
class PythonApp:
    """A Python app.

    Attributes:
        root: its folder.
        table: `[tool.base44-web]` of the nearest pyproject.toml; paths in it begin at that file's folder.
        import_root: where its own modules are: `src`, where there is Python in it, else `root`.
    """

    root: Path
    table: Mapping[str, Any]
    import_root: Path


class ConnectorNames(NamedTuple):
    """The names of app user connectors, and where they were found; no names: any will do."""

    names: tuple[str, ...]
    source: str


def find_app(start: Path) -> PythonApp:
    """The Python app that a folder is in: the nearest folder with a pyproject.toml, setup.py or manage.py.

    Raises:
        CannotRun: pyproject.toml is not valid, or says something to us that is not.
    """
    start = start.absolute()
    folders = (start, *start.parents)
    root = next((each for each in folders if any((each / name).is_file() for name in _ROOT_FILES)), start)
    pyproject = next((each / "pyproject.toml" for each in folders if (each / "pyproject.toml").is_file()), None)
    source = root / "src"
    return PythonApp(root, {} if pyproject is None else _table(pyproject), source if any(_python_in(source)) else root)


def connector_names(app: PythonApp) -> ConnectorNames:
    """The names of app user connectors: from pyproject.toml, Django's settings or the environment, in this order.

    What is in the repository wins, so that everybody gets the same file.

    Raises:
        CannotRun: they are not valid.
    """
    if "app_user_connectors" in app.table:
        where = "app_user_connectors of [tool.base44-web]"
        return ConnectorNames(_checked(app.table["app_user_connectors"], where), where)
    settings = _django_settings(app)
    if settings is not None:
        found = _names_in_django(settings)
        if found is not None:
            return ConnectorNames(_checked(found, str(settings)), str(settings))
    if os.environ.get(_VARIABLE):
        return ConnectorNames(_checked(os.environ[_VARIABLE], _VARIABLE), _VARIABLE)
    return ConnectorNames((), "")


def _table(pyproject: Path) -> Mapping[str, Any]:
    try:
        content = tomllib.loads(pyproject.read_text("utf-8"))
    except ValueError as error:  # also what is no UTF-8
        raise CannotRun(f"{pyproject} is not valid: {error}") from None
    found: object = content.get("tool", {}).get("base44-web", {})
    if not isinstance(found, dict):
        raise CannotRun(f"[tool.base44-web] of {pyproject} must be a table")
    table = cast("dict[str, Any]", found)
    for key, value in table.items():
        if key not in _KEYS:
            raise CannotRun(f"[tool.base44-web] of {pyproject} has {key!r}; known are {', '.join(_KEYS)}")
        if not isinstance(value, _KEYS[key]):
            raise CannotRun(f"{key} in [tool.base44-web] of {pyproject} is of the wrong type")
    paths: dict[str, Any] = {
        key: str(pyproject.parent / table[key]) for key in ("project", "out", "available") if key in table
    }
    return {**table, **paths}


def _python_in(folder: Path) -> Iterator[Path]:
    yield from folder.glob("*.py")
    yield from folder.glob("*/*.py")


def _checked(given: str | Iterable[object], where: str) -> tuple[str, ...]:
    """Names, by the rules of the setting; IDs are looked at where they are used."""
    try:
        pairs = given if isinstance(given, str) else {name: str(number) for number, name in enumerate(given)}
        return tuple(sorted(connectors(pairs)))
    except (TypeError, ValueError) as error:
        raise CannotRun(f"{where} {error}") from None


def _django_settings(app: PythonApp) -> Path | None:
    """The file of Django's settings: what the environment says, else what `manage.py` does."""
    module = os.environ.get("DJANGO_SETTINGS_MODULE")
    manage = app.root / "manage.py"
    if not module and manage.is_file():
        text = manage.read_text("utf-8", errors="replace")
        found = re.search(r"""DJANGO_SETTINGS_MODULE["'],\s*["']([\w.]+)["']""", text)
        module = found[1] if found else None
    if not module:
        return None
    path = module.replace(".", "/")
    files = [root / name for root in (app.root, app.import_root) for name in (f"{path}.py", f"{path}/__init__.py")]
    return next((file for file in files if file.is_file()), None)


def _names_in_django(settings: Path) -> list[str] | None:
    """The names in `BASE44 = {"APP_USER_CONNECTORS": {…}}`, read and not run: settings can need databases and secrets.

    `None` where there are none, or they are computed.
    """
    try:
        tree = ast.parse(settings.read_bytes())
    except (SyntaxError, ValueError) as error:
        raise CannotRun(f"{settings} is not valid: {error}") from None
    found: ast.expr | None = None
    for node in tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if any(isinstance(target, ast.Name) and target.id == "BASE44" for target in targets):
                found = node.value
    names = list(_items(dict(_items(found)).get("APP_USER_CONNECTORS")))
    texts = [name for name, _ in names if isinstance(name, str)]
    return texts if texts and len(texts) == len(names) else None


def _items(node: ast.expr | None) -> Iterator[tuple[object, ast.expr]]:
    """What a dictionary's display has; the key of what is no plain one is `None`."""
    if isinstance(node, ast.Dict):
        for key, value in zip(node.keys, node.values, strict=True):
            yield key.value if isinstance(key, ast.Constant) else None, value
