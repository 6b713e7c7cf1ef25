"""The blocking shells, generated from `_async` by `scripts/unasync.py`: do not edit."""
