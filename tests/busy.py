"""Run a command again and again while all processors are busy: what depends on a quick machine fails.

python -m tests.busy --times 3 -- python -m pytest -n 2
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import subprocess
import sys
import time


def burn(parent: int) -> None:
    """Keep one processor busy, for as long as the parent lives."""
    while os.getppid() == parent:
        sum(n * n for n in range(100_000))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--each", type=int, default=2, help="busy processes for each processor")
    parser.add_argument("command", nargs="+")
    options = parser.parse_args()
    count = options.each * (os.cpu_count() or 1)
    busy = [multiprocessing.Process(target=burn, args=(os.getpid(),), daemon=True) for _ in range(count)]
    for process in busy:
        process.start()
    failed = 0
    try:
        for number in range(1, options.times + 1):
            began = time.monotonic()
            code = subprocess.run(options.command).returncode
            failed += code != 0
            print(f"run {number} of {options.times}: status {code}, {time.monotonic() - began:.0f} s", flush=True)
    finally:
        for process in busy:
            process.terminate()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
