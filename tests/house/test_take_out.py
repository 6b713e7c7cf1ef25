"""The lines that `scripts/take_out.py` takes out are there: of one that was rewritten nothing would be proven."""

from __future__ import annotations

import runpy
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_what_is_taken_out_is_there() -> None:
    entries = runpy.run_path(str(ROOT / "scripts" / "take_out.py"))["OUT"]
    package = ROOT / "src" / "base44_web"
    assert entries
    assert [(case, module, old) for case, module, old, *_ in entries if old not in (package / module).read_text()] == []
