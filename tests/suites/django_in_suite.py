"""Settings for Django's own test suite: its settings for SQLite, with our middleware in it and each test's end noted."""

from __future__ import annotations

from typing import Any
from unittest import TestCase, TestResult, TestSuite, TextTestResult

from django.test.runner import DiscoverRunner
from in_suite import GIVEN, NOTES, PLACES, into_django
from test_sqlite import *  # noqa: F403

BASE44 = GIVEN
if PLACES:
    DEFAULT_EXCEPTION_REPORTER_FILTER = "base44_web.django.debug.Base44ReporterFilter"  # as our checks advise
TEST_RUNNER = "django_in_suite.Runner"


class Result(TextTestResult):
    def addSuccess(self, test: TestCase) -> None:
        super().addSuccess(test)
        NOTES.add(test.id(), passed=True)

    def addFailure(self, test: TestCase, err: Any) -> None:
        super().addFailure(test, err)
        NOTES.add(test.id(), passed=False)

    def addError(self, test: TestCase, err: Any) -> None:
        super().addError(test, err)
        NOTES.add(test.id(), passed=False)

    def addSubTest(self, test: TestCase, subtest: TestCase, err: Any) -> None:
        super().addSubTest(test, subtest, err)
        if err is not None:
            NOTES.add(test.id(), passed=False)


class Runner(DiscoverRunner):
    def get_resultclass(self) -> type[Result]:
        return Result

    def run_suite(self, suite: TestSuite, **kwargs: Any) -> TestResult:
        if PLACES:
            into_django()
        result = super().run_suite(suite, **kwargs)
        NOTES.write()
        return result
