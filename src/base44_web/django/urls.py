"""The redirect views: `path("base44/", include("base44_web.django.urls"))`, in the namespace `base44`."""

from __future__ import annotations

from django.urls import path

from .._core.views.routes import VIEWS
from .views import view_of

app_name = "base44"
urlpatterns = [path(view.path.replace("{", "<str:").replace("}", ">"), view_of(view), name=view.name) for view in VIEWS]
