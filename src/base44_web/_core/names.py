"""The names of connectors, for type checkers: any string, or what `base44-web types` has found (docs/typing.md).

At run time any string, and empty base classes: `base44_web_types` is never imported.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from base44_web_types import GENERATED as GENERATED
    from base44_web_types import AppUserConnector as AppUserConnector
    from base44_web_types import AsyncConnections as AsyncConnections
    from base44_web_types import Connections as Connections
    from base44_web_types import IntegrationType as IntegrationType
else:
    AppUserConnector = IntegrationType = str

    class Connections:
        __slots__ = ()

    class AsyncConnections:
        __slots__ = ()
