"""The app's configuration."""

from __future__ import annotations

from django.apps import AppConfig
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
