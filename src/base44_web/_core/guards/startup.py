"""What guards were written with, checked at import, and whether they guard, checked at the start.

A guard above its route is left out: the router has kept the bare view. So a guard notes which view it was given, and an
app that routes one of those serves nothing.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import logging
import types
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple, cast

from ...errors import ConfigurationError
from ..config import Settings

logger = logging.getLogger("base44_web")

CONNECTORS = "__base44_connectors__"
_GUARDED = "__base44_guarded__"  # on a bare view: itself
_WITHIN = "__base44_within__"  # on a function that something guarded has in its closure: itself
_DECORATES = "__base44_decorates__"
_CLASSES: Final = ("view_class", "cls")  # where a view that was made of a class has that
_DEPTH: Final = 8  # of objects within objects
_WIDTH: Final = 500  # objects looked at for one view


class WrongGuard(ConfigurationError):
    """A guard that is written wrong.

    Attributes:
        fix: the line to change.
    """

    def __init__(self, message: str, view: Any = None) -> None:
        super().__init__(message)
        place = _place_of(view)
        self.fix = "Change the guard that this is about." if place is None else f"Change {place} ({name_of(view)})."


class Beside(NamedTuple):
    """What guards a view from beside it: a dependency, a permission.

    Attributes:
        view: what is guarded.
        guard: what guards it.
    """

    view: Any
    guard: Any


class Needs(NamedTuple):
    """What a guard asks for, beside a verified user.

    Attributes:
        connectors: what must be connected.
        fresh: whether only connections count that the platform gives now.
    """

    connectors: tuple[str, ...] = ()
    fresh: bool = False


def check_connectors(connectors: tuple[object, ...], guard: str) -> tuple[str, ...]:
    """The arguments of `app_user_connected`.

    Raises:
        TypeError: none, or something else than strings: `@app_user_connected` without its parentheses.
    """
    if not connectors or not all(isinstance(connector, str) and connector for connector in connectors):
        raise TypeError(f'{guard} takes the names of connectors: @{guard}("calendar")')
    return cast(tuple[str, ...], connectors)


def note_decorator(decorator: Any) -> None:
    """Note on a decorator of ours what it is, so that one in the place of a dependency is found."""
    setattr(decorator, _DECORATES, True)


def is_decorator(thing: Any) -> bool:
    """Whether it is a decorator of ours."""
    return bool(getattr(thing, _DECORATES, False))


def check_function(view: Any) -> None:
    """What all guards of functions refuse, at import.

    Raises:
        TypeError: no function, or a generator, whose body would run after the guard's answer was lost.
    """
    if not callable(view) or isinstance(view, type):
        raise TypeError("A guard goes on a view function, below its route; this is none.")
    if inspect.isgeneratorfunction(view) or inspect.isasyncgenfunction(view):
        raise TypeError(f"{view.__name__} is a generator: return a streaming response from a guarded view instead.")


def is_awaiting(view: Any) -> bool:
    """Whether calling `view` gives something to await."""
    return inspect.iscoroutinefunction(view) or inspect.iscoroutinefunction(getattr(view, "__call__", None))  # noqa: B004


def mark(guarded: Any, view: Any, connectors: tuple[str, ...]) -> None:
    """Note on both what is guarded, so that the check at the start finds connectors that are not configured, and bare
    views.
    """
    setattr(guarded, CONNECTORS, connectors + getattr(view, CONNECTORS, ()))
    while view is not None:
        _note(view, _GUARDED)
        inner = getattr(view, "__wrapped__", None)
        for cell in (getattr(view, "__closure__", None) or ()) if inner is None else ():
            with contextlib.suppress(ValueError):  # an empty cell
                if inspect.isfunction(cell.cell_contents):
                    _note(cell.cell_contents, _WITHIN)
        view = inner


def _note(view: Any, name: str) -> None:
    with contextlib.suppress(AttributeError, TypeError):  # a bound method takes no attributes
        setattr(view, name, view)


def connectors_of(view: Any) -> tuple[str, ...]:
    """The connectors that the guards of a view name."""
    found: object = _attribute(view, CONNECTORS)
    return cast(tuple[str, ...], found) if isinstance(found, tuple) else ()


def check_views(views: Iterable[Any], settings: Settings | None, frameworks: tuple[str, ...] = ()) -> bool:
    """At the start: every connector that a guard names is configured, and no guard was put above its route.

    Args:
        views: what is routed; or what is `Beside` that.
        settings: without them (each request brings its own) connectors are not looked at.
        frameworks: packages whose objects may have a view in them.

    Returns:
        Whether a guard names a connector.

    Raises:
        ConfigurationError: a typo would keep everybody out; a guard above its route is left out.
    """
    names = False
    for each in views:
        owner, view = each if isinstance(each, Beside) else (each, each)
        bare = find_bare(view, frameworks)
        if bare is not None:
            raise left_out(bare)
        if view is not None and _attribute(view, _WITHIN) is view and not _is_guard(view):
            logger.warning(
                "%r is routed without a guard, and a guarded function has it within: if a decorator without "
                "functools.wraps stands between the guard and the route, the guard is left out. Put it right below the "
                "route.",
                getattr(view, "__name__", view),
                extra={"base44_event": "view_without_guard"},
            )
        for part in parts_of(view, frameworks):
            for connector in connectors_of(part):
                names = True
                if settings is not None:
                    try:
                        settings.guarded_id(connector)
                    except ConfigurationError as error:
                        raise of_guard(error, _own(owner, part, frameworks)) from None
    return names


def of_guard(error: ConfigurationError, view: Any) -> WrongGuard:
    """An error, with whose guard it is about; `None`: nobody can tell."""
    return WrongGuard(error.message if view is None else f"The guard of {name_of(view)}: {error.message}", view)


def _own(view: Any, guard: Any, frameworks: tuple[str, ...]) -> Any | None:
    """The app's own function or class that a guard is of; `None` where nobody can tell."""

    def own(things: Iterable[Any]) -> list[Any]:
        found = [each for each in things if inspect.isfunction(each) or isinstance(each, type)]
        return [each for each in found if _package(each) not in (*frameworks, "base44_web")]

    made_of = [_attribute(view, name) for name in _CLASSES]
    found = own([*made_of, guard, view])[:1] or own(parts_of(view, frameworks))
    return found[0] if len(found) == 1 else None  # of an object with several views it could be any


def name_of(view: Any) -> str:
    """What a view is called, so that one finds it: `shop.views.calendar`."""
    return f"{getattr(view, '__module__', '?')}.{getattr(view, '__qualname__', view)}"


def _place_of(view: Any) -> str | None:
    """The file and line of a view, or of the first of its decorators."""
    with contextlib.suppress(OSError, TypeError):  # made at run time; written in C
        view = inspect.unwrap(view)
        return f"{inspect.getsourcefile(view)}, line {inspect.getsourcelines(view)[1]}"
    return None


NO_VIEWS: Final = "A guard sends people to the connect page, and there is none: the redirect views are not mounted."
_WARNING: Final = f"{NO_VIEWS} %s"


def without_views(settings: Settings | None, line: str | None, *, names: bool) -> str | None:
    """What to do where people who are not connected are shown no way on; `None` where there is one.

    Args:
        settings: they can say that pages of the app's own connect people.
        line: what mounts the redirect views here; `None` where they are mounted.
        names: whether a guard names a connector.
    """
    if line is None or not names or (settings is not None and settings.connect_path is not None):
        return None
    return f"Add {line}. Or set connect_path (BASE44_CONNECT_PATH) to pages of your own."


def warn_without_views(settings: Settings, line: str | None, *, names: bool) -> None:
    """Say at the start that nothing connects people; see `without_views`."""
    fix = without_views(settings, line, names=names)
    if fix is not None:
        logger.warning(_WARNING, fix, extra={"base44_event": "views_missing"})


def left_out(view: Any) -> WrongGuard:
    """The error of a guard above its route."""
    return WrongGuard(
        f"The guard of {getattr(view, '__name__', view)!r} is above its route, and so left out: put the guard below "
        "the route.",
        view,
    )


def refuse_bare(view: Any) -> None:
    """Refuse the answer of a view whose guard was left out, however it was routed.

    Raises:
        ConfigurationError: this very view was given to a guard.
    """
    if getattr(view, _GUARDED, None) is view and view is not None and not _is_guard(view):
        raise left_out(view)


def find_bare(view: Any, frameworks: tuple[str, ...] = ()) -> Any | None:
    """The bare view that would run here though it was given to a guard, or `None`."""
    return next((each for each in parts_of(view, frameworks) if _is_bare(each)), None)


def _is_bare(view: Any) -> bool:
    return view is not None and _attribute(view, _GUARDED) is view and not _is_guard(view)


def _is_guard(thing: Any) -> bool:
    return isinstance(_attribute(thing, CONNECTORS), tuple)


def _attribute(thing: Any, name: str) -> Any:
    # Not getattr: objects of a framework can be proxies, which ask for a request.
    return inspect.getattr_static(thing, name, None)


def parts_of(view: Any, frameworks: tuple[str, ...]) -> Iterator[Any]:
    """A view, and what objects of these frameworks have within: what runs when the view is called.

    What a guard has within it is guarded, and what an app's own function has within is its own business.
    """
    seen: set[int] = set()
    layer = [view]
    for _ in range(_DEPTH):
        further: list[Any] = []
        for each in layer:
            # A proxy asks for a request as soon as it is looked at.
            if each is None or id(each) in seen or len(seen) > _WIDTH or type(each).__name__ == "LocalProxy":
                continue
            seen.add(id(each))
            yield each
            if not _is_guard(each):
                further += _parts(each, frameworks)
        layer = further


def _parts(thing: Any, frameworks: tuple[str, ...]) -> Iterator[Any]:
    # Not isinstance: it asks a lazy object for its class, which evaluates it.
    kind: type[Any] = type(cast(object, thing))
    if issubclass(kind, functools.partial):
        yield thing.func
    elif issubclass(kind, list | tuple):
        yield from thing
    elif issubclass(kind, Mapping):
        yield from thing.values()
    elif issubclass(kind, types.MethodType):
        yield thing.__self__ if _package(thing.__func__) in frameworks else None
    elif issubclass(kind, types.FunctionType):
        for cell in (thing.__closure__ or ()) if _package(thing) in frameworks else ():
            with contextlib.suppress(ValueError):  # an empty cell
                yield cell.cell_contents
    elif not issubclass(kind, type) and _package(kind) in frameworks:
        attributes: object = getattr(thing, "__dict__", None)  # it may have slots
        yield from cast("dict[str, Any]", attributes).values() if isinstance(attributes, dict) else ()


def _package(thing: Any) -> str:
    module: object = getattr(thing, "__module__", None)
    return module.partition(".")[0] if isinstance(module, str) else ""
