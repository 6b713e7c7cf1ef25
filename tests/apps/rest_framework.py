"""The drivers' views as the Django REST framework's: a class, a function, a view set, a generic view."""

from __future__ import annotations

import json
from typing import Any

from django.urls import include, path
from rest_framework.decorators import api_view, authentication_classes, permission_classes
from rest_framework.generics import RetrieveAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import CharField, Serializer
from rest_framework.views import APIView
from rest_framework.viewsets import ViewSet

from base44_web import AppUser
from base44_web.django.rest_framework import AppUserAuthentication, AppUserConnected, AppUserRequired
from tests.apps import django as django_app  # noqa: F401 - sets Django up
from tests.apps.calls import escape_sync, guarded_sync, plain


class Guarded(APIView):
    authentication_classes = (AppUserAuthentication,)
    permission_classes = (AppUserConnected("calendar"),)

    def get(self, request: Request) -> Response:
        return Response(guarded_sync(request.base44))

    post = put = get


@api_view(["GET", "POST"])
@authentication_classes([AppUserAuthentication])
@permission_classes([AppUserRequired])
def me(request: Request) -> Response:
    assert isinstance(request.user, AppUser)
    assert request.user == request.base44.user()
    assert request.user.is_authenticated
    assert request.auth == request.base44.token
    return Response(plain(request.user))


class Escape(ViewSet):
    authentication_classes: tuple[Any, ...] = ()
    permission_classes: tuple[Any, ...] = ()

    def create(self, request: Request) -> None:
        escape_sync(request.base44, json.loads(request.headers["x-call"]))


class UserSerializer(Serializer):
    email = CharField()


class Generic(RetrieveAPIView):
    authentication_classes = (AppUserAuthentication,)
    permission_classes = (AppUserRequired,)
    serializer_class = UserSerializer

    def get_object(self) -> Any:
        return self.request.user


views = [
    path("guarded", Guarded.as_view()),
    path("me", me),
    path("escape", Escape.as_view({"post": "create"})),
    path("generic", Generic.as_view()),
]
urlpatterns = [
    path("base44/", include("base44_web.django.urls")),
    path("sync/", include(views)),
    path("async/", include(views)),
]
