"""Write the table of settings into `docs/settings.md`, from their declarations.

python scripts/settings_table.py           write
python scripts/settings_table.py --check   fail if what is there differs
"""

from __future__ import annotations

import sys
from pathlib import Path

from base44_web import Settings

DOCS = Path(__file__).parent.parent / "docs" / "settings.md"
HEAD = "| field | environment | default, meaning |\n|---|---|---|\n"


def table() -> str:
    rows = [
        f"| `{name}` | `{setting.variable}`{(setting.variable_form and f', as `{setting.variable_form}`') or ''} | {setting.doc} |\n"
        for name, setting in Settings.FIELDS.items()
    ]
    return HEAD + "".join(rows)


def main() -> int:
    text = DOCS.read_text()
    before, _, rest = text.partition(HEAD)
    after = rest[rest.index("\n\n") + 1 :]
    wanted = before + table() + after
    if "--check" not in sys.argv:
        DOCS.write_text(wanted)
    elif text != wanted:
        print("docs/settings.md is not what the settings declare: python scripts/settings_table.py")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
