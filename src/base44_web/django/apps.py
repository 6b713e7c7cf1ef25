"""The app's configuration."""

from __future__ import annotations

from importlib import import_module

from django.apps import AppConfig, apps
from django.core.checks import register

from .checks import check_deployment, check_settings


class Base44Config(AppConfig):
    """Installed as `"base44_web.django"`."""

    name = "base44_web.django"
    label = "base44_web"
    verbose_name = "Base44"

    def ready(self) -> None:
        register(check_settings)
        register(check_deployment, deploy=True)
        # Only where the project has them: who uses neither pays for neither.
        if apps.is_installed("rest_framework"):
            import_module("base44_web.django.rest_framework")  # tells Django's caches, whoever guards the view
        if apps.is_installed("drf_spectacular"):
            import_module("base44_web.django.spectacular")  # drf-spectacular finds what was imported
