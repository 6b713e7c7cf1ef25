"""A project without any views."""

from __future__ import annotations

urlpatterns: list[object] = []
