"""Make the blocking twins of the typed client and the HTTP exchange: `_sync.py` from `_async.py`, in two rooms.

    python scripts/unasync.py           write
    python scripts/unasync.py --check   fail if what is there differs

The approach is httpcore's: substitutions, each of which must be used.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

CORE = Path(__file__).parent.parent / "src" / "base44_web" / "_core"
ROOMS = ("client", "transport")
HEAD = "# Generated from _async.py by scripts/unasync.py: do not edit.\n"
SUBSTITUTIONS = [
    # The client that gives the other kind.
    (
        r'        """The blocking client for the same app user, for plain `def` code in a thread\."""',
        '        """The awaiting client for the same app user, for async views."""',
    ),
    (r"def sync\(self\) -> Base44:", "def aio(self) -> AsyncBase44:"),
    (r"from \._sync import Base44$", "from ._async import AsyncBase44"),
    (r"return Base44\._for", "return ASYNC_BASE44._for"),
    (r"-> AsyncBase44:", "-> ASYNC_BASE44:"),
    (r"_async import AsyncBase44$", "_async import ASYNC_BASE44"),
    (
        r"\bAsync(Base44|ServiceRole|ConnectorsModule|UserConnectorsModule|HttpxTransport|Deadline|Transport|Connections)\b",
        r"\1",
    ),
    (r"\bASYNC_BASE44\b", "AsyncBase44"),
    # What is written once: awaited here, run to its end there.
    (r"await (\w+)\(self\._context\.awaiting, (.*)\)$", r"run(\1(BLOCKING, \2))"),
    (r"^from \.\.platform import wire$", "from ..platform import wire\nfrom ..platform.io import BLOCKING, run"),
    (r"async def ", "def "),
    (r"async with ", "with "),
    (r"async for ", "for "),
    (r"\bawait ", ""),
    (r"\b__a(enter|exit)__", r"__\1__"),
    (r"\baclose\(", "close("),
    (r"\baiter_raw\(", "iter_raw("),
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
    for source in [CORE / room / "_async.py" for room in ROOMS]:
        target = source.with_name("_sync.py")
        text = HEAD + convert(source.read_text(), used)
        for command in (["check", "--select", "I", "--fix", "--quiet"], ["format"]):
            ruff = [sys.executable, "-m", "ruff", *command, "--stdin-filename", str(target), "-"]
            text = subprocess.run(ruff, input=text, capture_output=True, text=True, check=True).stdout
        if "--check" not in sys.argv:
            target.write_text(text)
        elif not target.exists() or target.read_text() != text:
            stale.append(str(target.relative_to(CORE)))
    unused = [SUBSTITUTIONS[number][0] for number in range(len(SUBSTITUTIONS)) if number not in used]
    for message in [f"stale: {name}" for name in stale] + [f"never used: {pattern}" for pattern in unused]:
        print(message)
    return 1 if stale or unused else 0


if __name__ == "__main__":
    sys.exit(main())
