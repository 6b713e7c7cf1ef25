"""Django Ninja: the guards' table, and what is its own."""

from __future__ import annotations

import pytest

pytest.importorskip("django")
from tests.adapters.table import check_table
from tests.apps import django as django_app

django_app.configure()  # Ninja looks at settings as it is imported
pytest.importorskip("ninja")

URLS = {"ROOT_URLCONF": "tests.apps.ninja"}


@pytest.mark.parametrize("debug", [False, True])
@pytest.mark.parametrize("name", ["django-wsgi-sync", "django-wsgi-async", "django-asgi-sync", "django-asgi-async"])
def test_the_guards_table(
    name: str, debug: bool, subtests: pytest.Subtests, caplog: pytest.LogCaptureFixture
) -> None:
    check_table(name, subtests, caplog, DEBUG=debug, **URLS)
