"""The docs say everything that there is, and lead nowhere that there is not. Their code is run by the root's conftest."""

from __future__ import annotations

import argparse
import ast
import re
from collections import Counter
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import pytest

from base44_web import Settings
from base44_web._core.replies import situations
from base44_web.cli.main import _COMMANDS
from scripts import docs_site
from scripts.docs_site import DOCS, FENCED, LINK, ROOT
from tests.docs.console import ConsoleBlockParser

pytest.importorskip("fastapi")
pytest.importorskip("django")
PACKAGE = ROOT / "src" / "base44_web"
PAGES = sorted(DOCS.glob("*.md"))
LEVELS = ("debug", "info", "warning", "error", "exception", "critical")


def words(page: str) -> str:
    return " ".join((DOCS / page).read_text().split())


def trees() -> Iterator[tuple[Path, ast.AST]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        yield path, ast.parse(path.read_text())


# --- links and lines


def anchors(text: str) -> set[str]:
    """The headings as GitHub makes anchors of them."""
    found: Counter[str] = Counter()
    made = set()
    for heading in re.findall(r"^#+ (.*)$", docs_site.prose(text), re.MULTILINE):
        plain = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        made.add(f"{slug}-{found[slug]}" if found[slug] else slug)
        found[slug] += 1
    return made


def broken(text: str, path: Path) -> list[str]:
    """The links of a page that lead nowhere."""
    wrong = []
    for link in LINK.finditer(docs_site.prose(text)):
        target = (path.parent / link[1]).resolve() if link[1] else path
        own = text if target == path else target.read_text() if target.suffix == ".md" and target.is_file() else ""
        if not target.exists() or (link[2] and target.suffix == ".md" and link[2][1:] not in anchors(own)):
            wrong.append(link[0])
    return wrong


def test_no_link_is_broken(subtests: pytest.Subtests) -> None:
    for path in [*PAGES, *ROOT.glob("*.md")]:
        with subtests.test(path.name):
            assert broken(path.read_text(), path) == []
    sample = "# Here\n[a](nowhere.md) [b](#here) [c](#there) [d](guards.md#nothing) [e](https://example.com/x.md)\n"
    assert broken(sample, DOCS / "faq.md") == ["nowhere.md", "#there", "guards.md#nothing"]


def too_long(text: str) -> list[str]:
    """Lines of over 120 characters; a row of a table has no other line to go to, nor has a comment of the tests."""
    return [line for line in text.split("\n") if len(line) > 120 and not line.lstrip().startswith(("|", "<!--"))]


def test_lines_are_short(subtests: pytest.Subtests) -> None:
    for path in PAGES:
        with subtests.test(path.name):
            assert too_long(path.read_text()) == []
    assert too_long("x" * 121) != []


def test_pictures_are_described(subtests: pytest.Subtests) -> None:
    told = re.findall(r"!\[([^]]*)\]\(([^)]*)\)", "".join(path.read_text() for path in PAGES))
    for path in sorted((DOCS / "pictures").iterdir()):
        with subtests.test(path.name):
            assert [text for text, file in told if file == f"pictures/{path.name}"] != []
            if path.suffix == ".png":  # a photograph of a page
                continue
            assert ElementTree.parse(path).getroot().find("{http://www.w3.org/2000/svg}title") is not None
            assert "prefers-color-scheme: dark" in path.read_text()
    assert all(len(text) > 20 for text, _ in told)


# --- everything is told of


def test_every_setting(subtests: pytest.Subtests) -> None:
    text = (DOCS / "settings.md").read_text()
    for name, setting in Settings.FIELDS.items():
        with subtests.test(name):
            assert f"\n### `{name}`\n\n`{setting.variable}`" in text


def codes() -> set[str]:
    """Every error code in the source."""
    found: set[object] = {"unreadable"}  # what stands for a code that is none
    for _, tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                found |= {each.value.value for each in node.keywords if each.arg == "code" and is_text(each.value)}
                if getattr(node.func, "id", "") == "checked":
                    found.add(node.args[2].value)
            if isinstance(node, ast.FunctionDef):
                defaults = zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)
                found |= {value.value for name, value in defaults if name.arg == "code" and is_text(value)}
    return {str(each) for each in found}


def is_text(node: ast.AST | None) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def test_every_error_code(subtests: pytest.Subtests) -> None:
    assert {"no_token", "malformed_cookie", "token_refused", "timeout"} <= codes()
    text = (DOCS / "troubleshooting.md").read_text()
    for code in sorted(codes()):
        with subtests.test(code):
            assert f"\n| `{code}` |" in text


def test_every_answer(subtests: pytest.Subtests) -> None:
    text = (DOCS / "troubleshooting.md").read_text()
    for each in {value for value in vars(situations).values() if isinstance(value, situations.Situation)}:
        with subtests.test(each.slug):
            section = text.partition(f"\n### {each.slug}\n")[2].partition("\n### ")[0]
            assert str(each.status) in section


def messages() -> Iterator[tuple[str | None, str, dict[str, ast.expr]]]:
    """The level (where it is fixed), the text and the attributes of every line that can be in the log."""
    for path, tree in trees():
        for node in ast.walk(tree):
            function = getattr(node, "func", None)
            if not isinstance(function, ast.Attribute) or getattr(function.value, "id", "") != "logger":
                continue
            assert isinstance(node, ast.Call)
            level = function.attr.upper().replace("EXCEPTION", "ERROR") if function.attr in LEVELS else None
            text = node.args[0 if level else 1]
            extra = next((each.value for each in node.keywords if each.arg == "extra"), None)
            assert isinstance(extra, ast.Dict), f"{path}:{node.lineno} has no extra={{…}}"
            names = [ast.literal_eval(name) for name in extra.keys if name is not None]
            attributes = dict(zip(names, extra.values, strict=True))
            if isinstance(text, ast.Name):
                module = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
                yield level, getattr(import_module(module), text.id), attributes
            else:
                assert isinstance(text, ast.Constant)
                yield level, text.value, attributes


def test_every_log_message(subtests: pytest.Subtests) -> None:
    sections = {part.split(":")[0]: " ".join(part.split()) for part in (DOCS / "logs.md").read_text().split("\n## ")}
    found = list(messages())
    assert len(found) > 20
    of: dict[str, set[str]] = {}
    for level, message, attributes in found:
        with subtests.test(message):
            event = ast.literal_eval(attributes.pop("base44_event"))
            assert f"| `{event}` | `{message}`" in (sections[level] if level else words("logs.md"))
            for name in attributes:
                of.setdefault(name, set()).add(event)
    rows = re.findall(r"^\| `(base44_\w+)` \|.*\| (.*) \|$", (DOCS / "logs.md").read_text(), re.MULTILINE)
    assert {name: set(re.findall(r"`(\w+)`", events)) for name, events in rows} == {"base44_event": set(), **of}
    events = re.findall(r"^\| `([a-z_]+)` \| `", (DOCS / "logs.md").read_text(), re.MULTILINE)
    assert len(events) == len(set(events)) == len(found)


def test_every_option_of_the_command(subtests: pytest.Subtests) -> None:
    text = "".join(path.read_text() for path in PAGES)
    for name, command in _COMMANDS.items():
        parser = argparse.ArgumentParser(add_help=False)
        command.add_options(parser)
        for option in (option for action in parser._actions for option in action.option_strings):
            with subtests.test(f"{name} {option}"):
                assert re.search(rf"{option}\b", text)
        assert f"base44-web {name}" in text


def public() -> Iterator[tuple[str, str]]:
    """Every name of every `__all__`."""
    for path, tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__":
                module = path.parent if path.name == "__init__.py" else path.with_suffix("")
                for name in ast.literal_eval(node.value):
                    yield ".".join(module.relative_to(PACKAGE.parent).parts), name


def test_every_public_name(subtests: pytest.Subtests) -> None:
    # By their paths, which the site's build follows: some modules need a configured Django to be imported. What the build
    # cannot follow (an alias of a user's generated module) has a heading.
    text = "".join(path.read_text() for path in DOCS.glob("api*.md"))
    told = re.findall(r"^(?:::: |### )(base44_web\S+)$", text, re.MULTILINE)
    core = {f"base44_web{module}" for module in ("", ".errors", ".settings")}  # which give the same names
    for module, name in public():
        with subtests.test(f"{module}.{name}"):
            there = [path.rpartition(".")[0] for path in told if path.endswith(f".{name}")]
            assert any(each.startswith(module) or {each, module} <= core for each in there)


# --- the site


def test_every_page_has_its_place() -> None:
    placed = [file for _, pages in docs_site.navigation() for _, file in pages]
    assert sorted(placed) == [path.name for path in PAGES], "docs/zensical.toml has each page once"


def test_a_page_of_the_site() -> None:
    text = docs_site.page("docs/guards.md")
    assert "invisible-code-block" not in text
    assert "[SECURITY.md](project/SECURITY.md)" in docs_site.page("docs/security.md")
    assert "(../deployment.md" in docs_site.page("README.md")
    assert docs_site.page("examples/fastapi/app.py").startswith("# examples/fastapi/app.py\n\n```py\n")
    blocks = [block[0] for block in FENCED.finditer((DOCS / "guards.md").read_text())]
    assert blocks
    assert all(block in text for block in blocks)


def test_what_is_put_together(tmp_path: Path) -> None:
    folder = tmp_path / "site"
    docs_site.stage(folder)
    assert {path.name for path in PAGES} <= {path.name for path in (folder / "docs").iterdir()}
    assert (folder / "docs" / "pictures" / "connect.svg").exists()
    assert (folder / "docs" / "project" / "examples" / "relay" / "relay.ts.md").exists()
    named = re.findall(r'= "(.*\.md)"', (folder / "zensical.toml").read_text())
    assert all((DOCS / file).exists() for file in named)
    assert len(named) == len(PAGES)


def test_what_is_fetched_from_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text(
        '<link rel="stylesheet" href="https://fonts.example.com/a.css"><script src="//cdn.example.com/a.js"></script>'
        '<a href="https://example.com">a</a><img src="pictures/a.svg">'
    )
    (tmp_path / "a.css").write_text('@import "https://example.com/b.css"; a { background: url(data:image/png,x) }')
    assert docs_site.fetches(tmp_path) == [
        "a.html: https://fonts.example.com/a.css",
        "a.html: //cdn.example.com/a.js",
        "a.css: https://example.com/b.css",
    ]


def test_llms_txt(subtests: pytest.Subtests) -> None:
    text = docs_site.llms()
    assert text.startswith("# base44-web\n\n> ")
    for _, pages in docs_site.navigation():
        for title, file in pages:
            with subtests.test(file):
                assert re.search(rf"^- \[{re.escape(title)}\]\({file}\): \w*\W*\w", text, re.MULTILINE)


def test_llms_full_txt() -> None:
    pytest.importorskip("griffe")
    text = docs_site.llms_full()
    for path in PAGES:
        assert f"<!-- {path.name} -->\n\n# " in text
    assert "`get_connection(integration_type: str, *, fresh: bool = False) -> Connection`" in text
    assert "\n::: " not in text


# --- what pages show


@pytest.mark.parametrize("shown", ['{"a": 1}', '{"a": 2}'])
def test_output_that_is_not_so_is_noticed(shown: str) -> None:
    def request(method: str, path: str, *, headers: dict[str, str], follow_redirects: bool) -> Any:
        assert (method, path, headers, follow_redirects) == ("POST", "/x?y=1", {"Authorization": "Bearer t"}, False)
        return SimpleNamespace(text='{"a": 1}', status_code=200, headers={})

    command = '$ curl -s -X POST "http://127.0.0.1:8000/x?y=1" \\\n  -H "Authorization: Bearer $TOKEN"\n'
    block = SimpleNamespace(parsed=command + shown, namespace={"http": SimpleNamespace(request=request), "TOKEN": "t"})
    told = ConsoleBlockParser().evaluate(block)  # type: ignore[arg-type]
    assert (told is None) == (shown == '{"a": 1}')
