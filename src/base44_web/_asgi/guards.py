"""The check behind every ASGI guard."""

from __future__ import annotations

from .._core.engine.context import Context
from .._core.guards.admit import admit, at_once
from .._core.guards.startup import Needs
from .._core.replies.reply import Reply
from .._core.values import AppUser
from ..errors import Base44Error, ConfigurationError
from .replies import refusal
from .scope import Scope


async def admission(scope: Scope, context: Context, needs: Needs) -> AppUser | Reply:
    """The verified user who may pass, or the answer to who may not."""
    try:
        user = at_once(context, needs.connectors, fresh=needs.fresh)
        return user or await admit(context.awaiting, context, needs.connectors, fresh=needs.fresh)
    except (Base44Error, ConfigurationError) as error:
        return refusal(error, scope)
