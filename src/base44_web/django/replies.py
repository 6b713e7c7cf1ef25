"""Replies as Django's responses, and the answers to visitors for errors that a view lets escape."""

from __future__ import annotations

import contextlib
import functools
import logging
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from django.core.exceptions import ImproperlyConfigured
from django.core.signals import got_request_exception
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.template.exceptions import TemplateDoesNotExist
from django.template.loader import get_template
from django.template.response import SimpleTemplateResponse
from django.urls import NoReverseMatch, get_script_prefix, reverse

from .._core.config import Settings
from .._core.guards.startup import connectors_of, find_bare, left_out, parts_of, warn_without_views
from .._core.replies.html import render
from .._core.replies.refusal import OnRefusal, Refusal, own_answer
from .._core.replies.refuse import about_visitor, early_reply, reply_to
from .._core.replies.reply import Reply, kept_headers, with_private, with_vary
from .._core.replies.visit import Visit, mounted_path, path_and_query, quoted
from ..errors import Base44Error, ConfigurationError
from .request import ESCAPED, REFUSED, context_of, full_path, seen_context

E = TypeVar("E", bound=Exception)
logger = logging.getLogger("base44_web")

FRAMEWORKS: Final = ("django", "rest_framework", "ninja")
"""Packages whose objects may have a view within."""

_looked_at: set[Any] = set()
_MOST: Final = 10_000  # views; some apps make them anew for each request


def refusal(error: Base44Error | ConfigurationError, request: HttpRequest) -> HttpResponse:
    reply = reply_to(error, visit_of(request), guarded=True)
    assert reply is not None
    return response(reply, request)


def answer(error: BaseException, request: HttpRequest) -> HttpResponse | None:
    """The answer for an error that the app let escape, if it is a guard's, or about this visitor."""
    refused: tuple[Exception, HttpResponse] | None = request.__dict__.get(REFUSED)
    if refused is not None and refused[0] is error:
        return refused[1]
    found = about_visitor(error, _whose(request))
    reply = None if found is None else reply_to(found, visit_of(request), guarded=False)
    return None if reply is None else response(reply, request)


def answered_with(error: E, request: HttpRequest, answered: HttpResponse) -> E:
    """A guard's error, for a guard that can only raise: what it is to be answered with is kept for `answer`."""
    request.__dict__[REFUSED] = error, answered
    return error


def _whose(request: HttpRequest) -> bytes | None:
    context = seen_context(request)
    return None if context is None else context.whose


def note_escaped(sender: object, request: HttpRequest | None = None, **more: object) -> None:
    """Note an error that became a 500: in the project's own middleware Django asks nobody else."""
    error = sys.exc_info()[1]
    if request is not None and error is not None and about_visitor(error, _whose(request)):
        request.__dict__[ESCAPED] = error


got_request_exception.connect(note_escaped)


def is_bare_500(request: HttpRequest, answered: HttpResponseBase) -> bool:
    """Whether the project's middleware let an error about this visitor escape."""
    return ESCAPED in request.__dict__ and answered.status_code == 500


def finish(request: HttpRequest, answered: HttpResponseBase) -> HttpResponseBase:
    """An answer, as it leaves: caches are told what it depends on."""
    if is_bare_500(request, answered):
        answered = answer(request.__dict__[ESCAPED], request) or answered
    context = seen_context(request)
    if context is not None and context.was_read:
        answered.headers["Vary"] = with_vary(answered.headers.get("Vary"))
        answered.headers["Cache-Control"] = with_private(answered.headers.get("Cache-Control"))
    return answered


def look_at(view: Any, request: HttpRequest) -> HttpResponse | None:
    """Look at a view before it runs for the first time: the answer, where its guard was left out."""
    try:
        known = view in _looked_at
    except TypeError:  # it has no hash
        known = False
    if known:
        return None
    bare = find_bare(view, FRAMEWORKS)
    if bare is not None:
        error = left_out(bare)
        logger.error("%s", error, extra={"base44_event": "guard_left_out"})
        return response(early_reply(error), request)
    for each in (part for within in views_within(view) for part in parts_of(within, FRAMEWORKS)):
        if connectors_of(each):
            _warn_once(context_of(request).engine.settings)
        is_api = any(kind.__name__ == "NinjaAPI" for kind in type(each).__mro__)
        for kind in (Base44Error, ConfigurationError) if is_api else ():
            if kind not in each._exception_handlers:
                # With DEBUG it makes a 500 of whatever it has no handler for.
                each.add_exception_handler(kind, _answer_ninja)
    if len(_looked_at) >= _MOST:
        _looked_at.clear()
    with contextlib.suppress(TypeError):
        _looked_at.add(view)
    return None


def views_within(view: Any) -> Iterator[Any]:
    """A view, and where else its guards can be: in the REST framework its class, or a route of a view set, has them."""
    yield view
    yield getattr(getattr(view, "cls", None), "permission_classes", None)
    yield getattr(view, "initkwargs", {}).get("permission_classes")


def line_for_views() -> str | None:
    """What mounts the redirect views; `None` where they are mounted."""
    try:
        reverse("base44:connect", kwargs={"connector": "any"})
    except (NoReverseMatch, AttributeError):  # the latter without a ROOT_URLCONF
        return 'path("base44/", include("base44_web.django.urls")) to urlpatterns'
    return None


@functools.lru_cache(100)
def _warn_once(settings: Settings) -> None:
    # Servers run no system checks.
    warn_without_views(settings, line_for_views(), names=True)


def _answer_ninja(request: HttpRequest, error: Exception) -> HttpResponse:
    answered = answer(error, request)
    if answered is None:
        raise error  # the app's own
    return answered


def ready(on_refusal: OnRefusal | None) -> OnRefusal | None:
    """An `on_refusal` whose answer is whole: one that Django would render later is rendered here."""
    if on_refusal is None:
        return None

    def answering(refusal: Refusal) -> Any:
        found = on_refusal(refusal)
        return found.render() if isinstance(found, SimpleTemplateResponse) else found

    return answering


def visit_of(request: HttpRequest) -> Visit:
    """What a reply depends on."""
    context = context_of(request)
    settings = context.engine.settings
    here = path_and_query(full_path(request), request.META.get("QUERY_STRING", ""))
    return Visit(context.incoming, here, _Links(settings), settings, home=quoted(get_script_prefix()))


@dataclass(frozen=True, slots=True)
class _Links:
    settings: Settings

    def path(self, view: str, connector: str | None = None) -> str | None:
        try:
            return reverse(f"base44:{view}", kwargs={} if connector is None else {"connector": connector})
        except NoReverseMatch:
            return mounted_path(self.settings, view, connector)


def response(reply: Reply, request: HttpRequest) -> HttpResponse:
    """A reply as Django's response; a page through the project's template `base44_web/<name>.html`, if there is one."""
    if reply.refusal is not None:
        own = own_answer(context_of(request).engine.on_refusal, reply.refusal, HttpResponse)
        if own is not None:
            for name, value in kept_headers(reply.refusal, own.headers.get("Vary")).items():
                own.headers[name] = value
            return own
    body: Any = reply.body
    if reply.page is not None:
        template = _template(reply.page.name)
        body = render(reply.page) if template is None else template.render(dict(reply.page.values), request)
    return HttpResponse(body, status=reply.status, headers=dict(reply.headers))


def _template(name: str) -> Any:
    wanted = f"base44_web/{name}.html"
    try:
        return get_template(wanted)
    except TemplateDoesNotExist as error:
        if str(error) != wanted:  # one that the project's own template wants
            raise
    except ImproperlyConfigured:  # no template engine
        pass
    return None
