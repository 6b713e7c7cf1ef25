"""Build the site of the docs, strictly, without a network.

python scripts/docs_site.py FOLDER   the site is in FOLDER/site

Zensical reads what is put together in FOLDER/docs: the pages without the tests' comments, and what they link to outside
of docs/ (examples, CHANGELOG, …) as pages of its own. Zensical itself could write llms.txt, but only for a site whose
address it knows, and with the API reference as its HTML says it.
"""

from __future__ import annotations

import posixpath
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
CONFIG = DOCS / "zensical.toml"
FENCED = re.compile(r"^( *)```.*?^\1```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(?<=\]\()(?![a-z]+:)([^)\s#]*)(#[^)\s]*)?(?=\))")
_COMMENT = re.compile(r"^<!--.*?-->\n\n?", re.MULTILINE | re.DOTALL)
_SLOT = re.compile(r'^ *\{ ".*" = "(.*\.md)" \},\n', re.MULTILINE)
_REFERENCE = re.compile(r"^::: (\S+)$(\n(?:    .*\n?|\n)*)?", re.MULTILINE)
_FETCHED = {"script": "src", "link": "href", "img": "src", "iframe": "src", "source": "src", "object": "data"}


# --- what the pages are


def navigation() -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Each section with its pages, as title and file; pages that are not there are left out."""
    for section in tomllib.loads(CONFIG.read_text())["project"]["nav"]:
        for title, entries in section.items():
            pages = [pair for entry in entries for pair in entry.items()]
            yield title, [(name, file) for name, file in pages if (DOCS / file).exists()]


def prose(text: str) -> str:
    """A page without its blocks of code, line for line."""
    return FENCED.sub(lambda found: "\n" * found[0].count("\n"), text)


def page(source: str) -> str:
    """What a file of the repository is in the site: its text, its links rewritten, without the tests' comments."""
    if (ROOT / source).is_dir():
        return f"# {source}\n\n" + "".join(
            f"- [{each}]({_address(each, source)})\n" for each in sorted(targets(source))
        )
    text = (ROOT / source).read_text()
    if not source.endswith(".md"):
        return f"# {source}\n\n```{Path(source).suffix[1:]}\n{text}```\n"
    parts, end = [], 0
    text = _COMMENT.sub("", text)
    for block in FENCED.finditer(text):
        parts += [_relinked(text[end : block.start()], source), block[0]]
        end = block.end()
    return "".join(parts) + _relinked(text[end:], source)


def _relinked(text: str, source: str) -> str:
    def address(link: re.Match[str]) -> str:
        if not link[1]:
            return link[0]
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), link[1]))
        return _address(target, source) + (link[2] or "")

    return LINK.sub(address, text)


def _address(target: str, source: str) -> str:
    return posixpath.relpath(place(target), posixpath.dirname(place(source)) or ".")


def targets(source: str) -> set[str]:
    """The files of the repository that a page links to; of a folder, those that are in it."""
    if (ROOT / source).is_dir():
        files = [each.relative_to(ROOT).as_posix() for each in (ROOT / source).rglob("*") if each.is_file()]
        return {each for each in files if "/." not in each and "__pycache__" not in each}
    if not source.endswith(".md"):
        return set()
    found = {link[1] for link in LINK.finditer(prose(_COMMENT.sub("", (ROOT / source).read_text()))) if link[1]}
    return {posixpath.normpath(posixpath.join(posixpath.dirname(source), each)) for each in found}


def place(source: str) -> str:
    """Where a file of the repository is in the site."""
    if source.startswith("docs/"):
        return source.removeprefix("docs/")
    if source.endswith(".md"):
        return f"project/{source}"
    return f"project/{source}/index.md" if (ROOT / source).is_dir() else f"project/{source}.md"


# --- for machines


def summary(text: str) -> str:
    """A page's first sentences: its first paragraph."""
    text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", prose(_COMMENT.sub("", text)))
    paragraphs = [part.strip() for part in text.split("\n\n")]
    return next((" ".join(each.split()) for each in paragraphs if each and each[0] not in "#!|-<:"), "")


def llms() -> str:
    """llms.txt (llmstxt.org): what there is to read, and what each page is about."""
    config = tomllib.loads(CONFIG.read_text())["project"]
    lines = [f"# {config['site_name']}", "", f"> {config['site_description']}"]
    for title, pages in navigation():
        lines += ["", f"## {title}", ""]
        lines += [f"- [{name}]({file}): {summary((DOCS / file).read_text())}" for name, file in pages]
    return "\n".join(lines) + "\n"


def llms_full() -> str:
    """llms-full.txt: every page, with docstrings in place of the reference's directives."""
    from griffe import load  # it comes with mkdocstrings

    package = load("base44_web", search_paths=[ROOT / "src"], resolve_aliases=True)
    parts = []
    for _, pages in navigation():
        for _, file in pages:
            text = _REFERENCE.sub(lambda found: described(package, found[1]), page(f"docs/{file}"))
            parts.append(f"<!-- {file} -->\n\n{text}")
    return "\n".join(parts)


def described(package: Any, path: str) -> str:
    """What a name's docstrings say, and its public members'."""
    found = package[path.partition(".")[2]]
    found = found.final_target if found.is_alias else found
    lines = [f"### {path}", ""]
    if found.docstring is not None:
        lines += [found.docstring.value, ""]
    functions = {
        name: each for name, each in found.members.items() if found.is_class and name[0] != "_" and each.docstring
    }
    for name, each in {found.name: found, **functions}.items():
        signature = each.signature() if each.is_function else name
        lines += [f"`{signature}`", "", each.docstring.value, ""] if each is not found or each.is_function else []
    return "\n".join(lines)


# --- the build


def stage(folder: Path) -> None:
    """Put together what Zensical reads."""
    docs = folder / "docs"
    shutil.rmtree(folder, ignore_errors=True)
    waiting = [f"docs/{file.relative_to(DOCS).as_posix()}" for file in sorted(DOCS.rglob("*.md"))]
    done: set[str] = set()
    while waiting:
        source = waiting.pop()
        if source in done:
            continue
        done.add(source)
        path = docs / place(source)
        path.parent.mkdir(parents=True, exist_ok=True)
        if source.endswith((".svg", ".png")):
            shutil.copy(ROOT / source, docs / source.removeprefix("docs/"))
            continue
        path.write_text(page(source))
        waiting += [each for each in targets(source) if (ROOT / each).exists()]
    there = _SLOT.sub(lambda line: line[0] if (DOCS / line[1]).exists() else "", CONFIG.read_text())
    (folder / "zensical.toml").write_text(there)


class _Fetches(HTMLParser):
    """What a page makes browsers fetch from elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        address = dict(attrs).get(_FETCHED.get(tag, ""), "") or ""
        if re.match(r"([a-z]+:)?//", address):
            self.found.append(address)


def fetches(site: Path) -> list[str]:
    """What the site's pages and style sheets fetch from elsewhere."""
    found = []
    for file in sorted(site.rglob("*.html")):
        parser = _Fetches()
        parser.feed(file.read_text())
        found += [f"{file.relative_to(site)}: {address}" for address in parser.found]
    for file in sorted(site.rglob("*.css")):
        for address in re.findall(r"(?:@import\s+|url\()[\"']?((?:https?:)?//[^\"')]+)", file.read_text()):
            found.append(f"{file.relative_to(site)}: {address}")
    return found


def main() -> int:
    folder = Path(sys.argv[1]).resolve()
    stage(folder)
    command = [sys.executable, "-m", "zensical", "build", "--strict", "--clean"]
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    print(done.stdout)
    # Strict as it is, it lets through what griffe says about docstrings.
    if done.returncode or re.search(r"^(griffe|mkdocstrings|autorefs):", done.stdout, re.MULTILINE):
        return 1
    site = folder / "site"
    for file in (folder / "docs").rglob("*.md"):
        shutil.copy(file, site / file.relative_to(folder / "docs"))
    (site / "llms.txt").write_text(llms())
    (site / "llms-full.txt").write_text(llms_full())
    found = fetches(site)
    for each in found:
        print(f"fetched from elsewhere: {each}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
