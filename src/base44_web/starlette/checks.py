"""What `base44-web doctor` learns of a Starlette or FastAPI app."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from starlette.applications import Starlette
from starlette.middleware import Middleware

from .._core.checks.finding import Finding
from .._core.checks.survey import Survey, look_at_guards
from .._core.config import Settings
from .._core.guards.startup import check_views
from .guards import line_for_views, routed_views, routes_of
from .middleware import Base44Middleware

_DEPTH: Final = 50  # middleware around middleware


def survey(app: Any) -> Survey:
    """What there is to know of an app, itself or with middleware around it; or of one mounted in it, which has ours."""
    app = next((each for each in _apps(app) if _place(each) is not None), app)
    layers, ours, inner = list(_layers(app)), _place(app), _within(app)
    settings, problem = (None, None) if ours is None else _settings(layers[ours][1], inner)
    names = False
    wrong: tuple[Finding, ...] = ()
    if problem is None:
        names, wrong = look_at_guards(lambda: check_views(routed_views(inner, starting=True), settings))
    below = [_name(layer) for layer, _ in layers[ours + 1 :]] if ours is not None else []
    return Survey(
        settings=settings,
        problem=problem,
        place="what the app gives to Base44Middleware, and the environment (BASE44_…)",
        add_middleware="app.add_middleware(Base44Middleware)" if ours is None else None,
        add_views=line_for_views([inner]),
        guards_connectors=names,
        caches=tuple(name for name in below if "cache" in name.lower()),
        cors=tuple(name for name in below if "cors" in name.lower()),
        more=wrong,
    )


def _layers(app: Any) -> Iterator[tuple[Any, Any]]:
    """The middleware from outside to inside: each class, and what makes or is one of it."""
    for _ in range(_DEPTH):
        if isinstance(app, Starlette):
            for each in app.user_middleware:
                yield each.cls, each
            return
        yield type(app), app
        app = getattr(app, "app", None)
        if app is None:
            return


def _place(app: Any) -> int | None:
    """Where ours is among an app's layers."""
    return next((place for place, (layer, _) in enumerate(_layers(app)) if _is_ours(layer)), None)


def _apps(app: Any, depth: int = _DEPTH) -> Iterator[Any]:
    """An app, and those that are mounted in it."""
    yield app
    for route in routes_of(_within(app)) if depth else ():
        mounted = getattr(route, "app", None)
        if isinstance(mounted, Starlette) or _is_ours(type(mounted)):
            yield from _apps(mounted, depth - 1)


def _within(app: Any) -> Any:
    """The app that has the routes, whatever is around it by hand."""
    for _ in range(_DEPTH):
        if routes_of(app) or getattr(app, "app", None) is None:
            break
        app = app.app
    return app


def _settings(made: Any, app: Any) -> tuple[Settings | None, str | None]:
    """The settings of our middleware, and why it would not start."""
    ours: Any = made.cls(app, *made.args, **made.kwargs) if isinstance(made, Middleware) else made
    if ours._engines is None:
        return None, ours._problem
    return (None if ours._engines.only is None else ours._engines.only.settings), None


def _is_ours(layer: Any) -> bool:
    return isinstance(layer, type) and issubclass(layer, Base44Middleware)


def _name(layer: Any) -> str:
    return str(getattr(layer, "__name__", layer))
