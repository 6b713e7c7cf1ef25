"""What `base44-web types` narrows to one app's connectors. Type checkers read this; nothing imports it at run time.

Here every string is a name. A generated `base44_web_types.py` nearer to your code takes this package's place for type
checkers. A package, not one file beside `base44_web`: only a package can have the `py.typed` without which mypy takes
all of this for `Any`, and says nothing.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from base44_web import Connection

GENERATED: Literal[False] = False
"""Whether a type checker has found a generated file."""

IntegrationType: TypeAlias = str
"""An integration type that this app has a connector for, such as `"slack"`."""

AppUserConnector: TypeAlias = str
"""A name from `app_user_connectors`, or a `ConnectorID`."""


class Connections:
    """What of `ConnectorsModule` depends on which connectors there are."""

    __slots__ = ()

    def get_connection(self, integration_type: str, *, fresh: bool = False) -> Connection:
        """The app's shared connection of an integration type, such as `"slack"`."""
        raise NotImplementedError


class AsyncConnections:
    """What of `AsyncConnectorsModule` depends on which connectors there are."""

    __slots__ = ()

    async def get_connection(self, integration_type: str, *, fresh: bool = False) -> Connection:
        """The app's shared connection of an integration type, such as `"slack"`."""
        raise NotImplementedError
