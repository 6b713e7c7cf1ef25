"""Guards as decorators, the same in every framework; what a framework does in its own way is a `Framework`."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, Protocol, TypeVar, cast

from ...errors import Base44Error, ConfigurationError
from ..engine.context import Context
from ..platform.io import BLOCKING, run
from .admit import admit, at_once
from .startup import Needs, check_connectors, check_function, mark, note_decorator

V = TypeVar("V")
F = TypeVar("F", bound=Callable[..., Any])
Args = tuple[Any, ...]
Kwargs = dict[str, Any]


class Framework(Protocol):
    """What the guards of a framework do in its own way."""

    def finder(self, view: Any) -> Callable[[Args, Kwargs], Any]:
        """How to find the request among a view's arguments.

        Raises:
            TypeError: at import, where there is none.
        """
        ...

    def early(self, view: Any, request: Any) -> Any | None:
        """An answer that needs nobody's admission, such as that to a CORS preflight."""
        ...

    def private(self, answer: Any) -> Any:
        """A view's answer, which caches are told is for this user alone."""
        ...

    def context(self, request: Any) -> Context:
        """The request's context."""
        ...

    async def refuse_awaiting(self, error: Base44Error | ConfigurationError, request: Any) -> Any:
        """The response to who may not pass."""
        ...


class BlockingFramework(Framework, Protocol):
    """A framework whose views can be plain functions."""

    def is_awaiting(self, view: Any) -> bool:
        """Whether a view is `async def`, as this framework sees it."""
        ...

    def must_await(self, view: Any, request: Any) -> bool:
        """Whether this call of a plain function must give something to await."""
        ...

    def refuse(self, error: Base44Error | ConfigurationError, request: Any) -> Any:
        """As `refuse_awaiting`, for a plain function."""
        ...


def guard_function(framework: BlockingFramework, view: V, needs: Needs) -> V:
    """A view that lets only admitted app users in, `async def` where the view is.

    Raises:
        TypeError: at import, for what no guard can guard.
    """
    check_function(view)
    guarded_awaiting = guard_awaiting(framework, view, needs)
    if framework.is_awaiting(view):
        return guarded_awaiting
    function = cast(Callable[..., Any], view)
    request_of = framework.finder(view)

    @functools.wraps(function)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        request = request_of(args, kwargs)
        if framework.must_await(view, request):
            return cast(Callable[..., Any], guarded_awaiting)(*args, **kwargs)
        early = framework.early(view, request)
        if early is not None:
            return early
        context = framework.context(request)
        try:
            if at_once(context, needs.connectors, fresh=needs.fresh) is None:
                run(admit(BLOCKING, context, needs.connectors, fresh=needs.fresh))
        except (Base44Error, ConfigurationError) as error:
            return framework.refuse(error, request)
        return framework.private(function(*args, **kwargs))

    mark(guarded, view, needs.connectors)
    return cast(V, guarded)


def guard_awaiting(framework: Framework, view: V, needs: Needs) -> V:
    """As `guard_function`, `async def` whatever the view is.

    Raises:
        TypeError: at import, for what no guard can guard.
    """
    check_function(view)
    function = cast(Callable[..., Any], view)
    request_of = framework.finder(view)

    @functools.wraps(function)
    async def guarded(*args: Any, **kwargs: Any) -> Any:
        request = request_of(args, kwargs)
        early = framework.early(view, request)
        if early is not None:
            return await early if inspect.isawaitable(early) else early
        context = framework.context(request)
        try:
            if at_once(context, needs.connectors, fresh=needs.fresh) is None:
                await admit(context.awaiting, context, needs.connectors, fresh=needs.fresh)
        except (Base44Error, ConfigurationError) as error:
            return await framework.refuse_awaiting(error, request)
        answer = function(*args, **kwargs)
        return framework.private(await answer if inspect.isawaitable(answer) else answer)

    mark(guarded, view, needs.connectors)
    return cast(V, guarded)


def takes_a_view(guard: F) -> F:
    """For `app_user_required` of a framework: say what is wrong with `@app_user_required()`.

    It does not work as without: where FastAPI calls what it is given, as in `Depends(app_user_required)`, a guard that
    can be called with nothing would let everybody in.
    """

    @functools.wraps(guard)
    def checked(*args: Any, **kwargs: Any) -> Any:
        if not args and not kwargs:
            raise TypeError("@app_user_required is written without parentheses, right above the view function.")
        return guard(*args, **kwargs)

    note_decorator(checked)
    return cast(F, checked)


def guard_for(guard: Callable[[Any, Needs], Any], connectors: tuple[object, ...], *, fresh: bool) -> Callable[[V], V]:
    """`app_user_connected(*connectors)` of a framework.

    Raises:
        TypeError: `connectors` are no names.
    """
    needs = Needs(check_connectors(connectors, "app_user_connected"), fresh)

    def decorate(view: V) -> V:
        return cast(V, guard(view, needs))

    note_decorator(decorate)
    return decorate
