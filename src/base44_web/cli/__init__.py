"""The command line: `base44-web demo` and `base44-web emulator`. Both bind loopback only."""

from __future__ import annotations

from .main import main

__all__ = ["main"]
