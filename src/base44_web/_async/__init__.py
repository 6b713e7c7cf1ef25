"""The awaiting shells. `_sync` is generated from this package by `scripts/unasync.py`."""
