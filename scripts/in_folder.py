"""Run a module in a folder: `python scripts/in_folder.py FOLDER MODULE ARGUMENT…` (tox has one folder for all)."""

from __future__ import annotations

import subprocess
import sys

folder, module, *arguments = sys.argv[1:]
sys.exit(subprocess.run([sys.executable, "-m", module, *arguments], cwd=folder).returncode)
