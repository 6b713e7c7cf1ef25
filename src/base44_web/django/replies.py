"""Replies as Django's responses, and the answers to visitors for errors that a view lets escape."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest, HttpResponse
from django.template.exceptions import TemplateDoesNotExist
from django.template.loader import get_template
from django.urls import NoReverseMatch, get_script_prefix, reverse

from .._core.config import Settings
from .._core.replies.html import render
from .._core.replies.refuse import reply_to
from .._core.replies.reply import Reply
from .._core.replies.visit import Visit, mounted_path, path_and_query, quoted
from ..errors import Base44Error, MiddlewareMissingError
from .request import context_of, full_path


def refusal(error: Base44Error, request: HttpRequest) -> HttpResponse:
    reply = reply_to(error, visit_of(request), guarded=True)
    assert reply is not None
    return response(reply, request)


def answer(error: Exception, request: HttpRequest) -> HttpResponse | None:
    """The answer for an error that a view let escape, if it is about this visitor."""
    if not isinstance(error, Base44Error) or isinstance(error, MiddlewareMissingError):
        return None
    reply = reply_to(error, visit_of(request), guarded=False)
    return None if reply is None else response(reply, request)


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
