"""Testing an app that uses `base44_web`: the platform's emulator, over HTTP or as a transport in this process.

Needs the extra `testing`: `pip install "base44-web[testing]"`.
"""

from __future__ import annotations

from .._core.installed import missing

try:
    from ._emulator import CALENDAR_ID, WORKSPACE_ID, Emulator
    from ._faults import Fault, Recorded
    from ._stage import Base44User
except ModuleNotFoundError as error:
    raise missing(error, "base44_web.testing", "testing") from None

__all__ = ["CALENDAR_ID", "WORKSPACE_ID", "Base44User", "Emulator", "Fault", "Recorded"]
