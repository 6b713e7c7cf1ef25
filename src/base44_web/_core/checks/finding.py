"""What a check found, and how it is told: the same for the command, Django's `check` and Flask's command."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, final

Level: TypeAlias = Literal["error", "warning", "info"]

CHECKS: Final[Mapping[str, str]] = {
    "E001": "a setting is missing, wrong, or contradicts another; a guard is wrong",
    "E002": "the platform cannot be reached",
    "E003": "the platform knows no such app",
    "E004": "the platform refuses the service token",
    "E005": "a store cannot be used",
    "W001": "the middleware is not installed",
    "W002": "Django's error pages would show what is secret",
    "W003": "app_url is missing, and app users connect",
    "W004": "the app ID is not that of the Base44 project around",
    "W005": "an environment variable looks like a setting, and is none",
    "W006": "a guard sends people to the connect page, and the views are not mounted",
    "W007": "a cache below the middleware would give one user's answer to others",
    "W008": "refusals would have no CORS headers",
    "W009": "the secret is short",
    "W010": "nobody verifies who is asking",
    "W011": "development is on, and the platform is not on this machine",
    "W012": "a store's address is not encrypted",
    "W013": "a framework is older than what is supported",
    "W014": "this server's clock is wrong",
    "W015": "the generated names of connectors are not up to date",
    "W016": "a type checker does not see them",
    "I001": "there is no service role",
    "I002": "development is on",
    "I003": "the framework's own key seals the session",
    "I004": "signed requests are noted on this machine alone",
    "I005": "AppUser.id is a claim, and not the record's ID",
}
"""Every check by its ID, whose letter is its level. `docs/command-line.md` lists them."""

_LEVELS: Final[Mapping[str, Level]] = {"E": "error", "W": "warning", "I": "info"}
PREFIX: Final = "base44_web."


@final
@dataclass(frozen=True, slots=True)
class Finding:
    """Something to know, or to mend.

    Attributes:
        code: one of `CHECKS`.
        what: what is wrong, as a sentence. No credential.
        fix: what to do about it, in one line.
    """

    code: str
    what: str
    fix: str

    @property
    def id(self) -> str:
        """The ID, as Django writes those of its own checks."""
        return PREFIX + self.code

    @property
    def level(self) -> Level:
        """How bad it is."""
        return _LEVELS[self.code[0]]


def without(findings: Iterable[Finding], ignored: Collection[str]) -> list[Finding]:
    """The findings but for those whose ID, with or without its prefix, somebody wants to hear no more of."""
    codes = {each.removeprefix(PREFIX) for each in ignored}
    return [finding for finding in findings if finding.code not in codes]


def exit_status(findings: Iterable[Finding]) -> int:
    """0 where there is nothing to mend, else 1. What is only good to know mends nothing."""
    return int(any(finding.level != "info" for finding in findings))


def as_text(findings: Sequence[Finding]) -> str:
    """The findings for a person, the worst first."""
    lines: list[str] = []
    for finding in sorted(findings, key=lambda each: "EWI".index(each.code[0])):
        lines += [f"{finding.level:<7} {finding.id}  {finding.what}", f"        Fix: {finding.fix}"]
    count = sum(finding.level != "info" for finding in findings)
    return "\n".join([*lines, f"{count} to mend." if count else "Nothing to mend."])


def as_json(findings: Sequence[Finding]) -> str:
    """The findings for a program: a list of objects."""
    told = [{"id": each.id, "level": each.level, "what": each.what, "fix": each.fix} for each in findings]
    return json.dumps(told, indent=2, ensure_ascii=False)
