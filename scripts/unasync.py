"""Make `src/base44_web/_sync` from `_async`, so that no line is written twice by hand.

    python scripts/unasync.py           write
    python scripts/unasync.py --check   fail if what is there differs

The approach is httpcore's: substitutions, each of which must be used.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

PACKAGE = Path(__file__).parent.parent / "src" / "base44_web"
SUBSTITUTIONS = [
    (
        r'"""The awaiting shells\. .*"""',
        '"""The blocking shells, generated from `_async` by `scripts/unasync.py`: do not edit."""',
    ),
    # The client that gives the other kind.
    (
        r'        """The blocking client for the same app user, for plain `def` code in a thread\."""',
        '        """The awaiting client for the same app user, for async views."""',
    ),
    (r"def sync\(self\) -> Base44:", "def aio(self) -> AsyncBase44:"),
    (r"from \.\._sync\.client import Base44$", "from .._async.client import AsyncBase44"),
    (r"return Base44\._for", "return ASYNC_BASE44._for"),
    (r"-> AsyncBase44:", "-> ASYNC_BASE44:"),
    (r"_async\.client import AsyncBase44$", "_async.client import ASYNC_BASE44"),
    (r"\bAsync(Base44|ServiceRole|ConnectorsModule|UserConnectorsModule|HttpxTransport|Deadline|Transport)\b", r"\1"),
    (r"\bASYNC_BASE44\b", "AsyncBase44"),
    (r"await context\.open_async\(\)", "context.engine.open()"),
    (r"\b(gather|enter|join|wait|sleep)_async\b", r"\1"),
    (r"async def ", "def "),
    (r"async with ", "with "),
    (r"async for ", "for "),
    (r"\bawait ", ""),
    (r"\bAwaitable\[([^\[\]]*)\]", r"\1"),
    (r"import Awaitable, Callable", "import Callable"),
    (r"\b__a(enter|exit)__", r"__\1__"),
    (r"\baclose\(", "close("),
    (r"\baiter_raw\(", "iter_raw("),
    (r"without_cookies\(client\)", "blocking(client)"),
    (r"without_cookies$", "blocking"),
]


def convert(text: str, used: set[int]) -> str:
    lines = text.splitlines(keepends=True)
    for number, (pattern, replacement) in enumerate(SUBSTITUTIONS):
        for index, line in enumerate(lines):
            lines[index], count = re.subn(pattern, replacement, line, flags=re.MULTILINE)
            if count:
                used.add(number)
    return "".join(lines)


def main() -> int:
    used: set[int] = set()
    stale = []
    for source in sorted((PACKAGE / "_async").glob("*.py")):
        target = PACKAGE / "_sync" / source.name
        text = convert(source.read_text(), used)
        for command in (["check", "--select", "I", "--fix", "--quiet"], ["format"]):
            ruff = [sys.executable, "-m", "ruff", *command, "--stdin-filename", str(target), "-"]
            text = subprocess.run(ruff, input=text, capture_output=True, text=True, check=True).stdout
        if "--check" not in sys.argv:
            target.write_text(text)
        elif not target.exists() or target.read_text() != text:
            stale.append(target.name)
    unused = [SUBSTITUTIONS[number][0] for number in range(len(SUBSTITUTIONS)) if number not in used]
    for message in [f"stale: _sync/{name}" for name in stale] + [f"never used: {pattern}" for pattern in unused]:
        print(message)
    return 1 if stale or unused else 0


if __name__ == "__main__":
    sys.exit(main())
