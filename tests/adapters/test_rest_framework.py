"""The Django REST framework: the guards' table, and what is its own."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("rest_framework")
from tests.adapters.table import check_table, fresh
from tests.apps import django as django_app

WITHOUT_USERS = {"ROOT_URLCONF": "tests.apps.rest_framework", "REST_FRAMEWORK": {"UNAUTHENTICATED_USER": None}}


@pytest.mark.parametrize("name", ["django-wsgi-sync", "django-asgi-async"])
def test_the_guards_table(name: str, subtests: pytest.Subtests, caplog: pytest.LogCaptureFixture) -> None:
    check_table(name, subtests, caplog, **WITHOUT_USERS)
