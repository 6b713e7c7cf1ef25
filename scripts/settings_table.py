"""Write the settings into `docs/settings.md`, from their declarations.

python scripts/settings_table.py           write
python scripts/settings_table.py --check   fail if what is there differs
"""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path

from base44_web import Settings

DOCS = Path(__file__).parent.parent / "docs" / "settings.md"
BEGIN, END = "<!-- settings: begin -->\n", "<!-- settings: end -->\n"
GROUPS = {
    "needed": ("Needed", "Nearly every app sets these."),
    "usual": ("Usual", "What many apps change, sooner or later."),
    "rare": ("Rare", "Leave these alone until a page of these docs sends you here."),
}


def sections() -> str:
    parts = [BEGIN]
    for group, (title, text) in GROUPS.items():
        parts.append(f"\n## {title}\n\n{text}\n")
        for name, setting in Settings.FIELDS.items():
            if setting.group == group:
                form = f", as `{setting.variable_form}`" if setting.variable_form else ""
                # A setting's line begins with its default.
                doc = (
                    setting.doc.replace("required", "Required")
                    if "required" in setting.doc[:8]
                    else f"Default: {setting.doc}"
                )
                doc = textwrap.fill(f"{doc}.", 120, break_long_words=False, break_on_hyphens=False)
                parts.append(f"\n### `{name}`\n\n`{setting.variable}`{form}\n\n{doc}\n")
    return "".join(parts) + f"\n{END}"


def main() -> int:
    text = DOCS.read_text()
    before, _, rest = text.partition(BEGIN)
    wanted = before + sections() + rest.partition(END)[2]
    if "--check" not in sys.argv:
        DOCS.write_text(wanted)
    elif text != wanted:
        print("docs/settings.md is not what the settings declare: python scripts/settings_table.py")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
