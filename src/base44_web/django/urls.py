"""The redirect views: `path("base44/", include("base44_web.django.urls"))`, in the namespace `base44`."""

from __future__ import annotations

from django.urls import path

from .._core.views.routes import VIEWS
from .views import view_of

app_name = "base44"
_rules = [(view, view.path.replace("{", "<str:").replace("}", ">")) for view in VIEWS]
urlpatterns = [
    *(path(rule, view_of(view), name=view.name) for view, rule in _rules),
    # With a final slash, as Django's addresses often are.
    *(path(f"{rule}/", view_of(view)) for view, rule in _rules if "." not in rule),
]
