"""The middleware with a transport of its own: it notes each call to the platform, for the pages to show them."""

from collections.abc import Awaitable
from pathlib import Path

from django.http import HttpRequest, HttpResponseBase
from showcase import Showcase

from base44_web.django import Base44Middleware

showcase = Showcase("Django", str(Path(__file__).parent / "views.py"))


class ShowcaseMiddleware(Base44Middleware):
    transport = showcase.transport

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        showcase.begin()
        return super().__call__(request)
