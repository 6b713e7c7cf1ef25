"""A project with a guarded view, and without the redirect views."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.urls import path

from base44_web.django import app_user_connected


@app_user_connected("calendar")
def guarded(request: HttpRequest) -> HttpResponse:
    return HttpResponse()


urlpatterns = [path("", guarded)]
