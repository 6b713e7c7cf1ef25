"""`Settings`: what the operator decides."""

from __future__ import annotations

from ._core.config import Settings
from ._core.fields import PlatformHeaders, TokenSource, Verification

__all__ = ["PlatformHeaders", "Settings", "TokenSource", "Verification"]
