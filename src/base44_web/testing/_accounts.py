"""Accounts: login, registration, passwords and the user's own record.

Paths and bodies: `@base44/sdk` 0.8.50, dist/modules/auth.js. Answers: the mock in `base44 dev` (npm `base44` 0.1.18,
dev-server/routes/auth-router.ts); what that has not, nothing public shows, and is the plainest that the SDK reads.
"""

from __future__ import annotations

import json
import secrets
import time
from typing import Any, cast

from ._faults import Recorded
from ._identity import Identity, new_record
from ._replies import HTML, Reply, detail, exception, json_reply
from ._state import State

_MINUTES = 10  # that a code lives
_SHORTEST = 8  # characters of a password
# Entities of `base44 dev` (entities-user-router.ts) and the reference client's `updateMe`: what a user cannot change.
_FIXED = {"id", "email", "full_name", "role", "created_date", "updated_date", "created_by", "collaborator_role"}
_OURS = {"app_id", "is_service", "is_verified", "disabled"}


def fields(request: Recorded, *names: str) -> list[str] | None:
    """These fields of a JSON object, all of them text; `None` if they are not."""
    try:
        given: Any = json.loads(request.body)
    except ValueError:
        return None
    if not isinstance(given, dict):
        return None
    values = [cast("dict[str, Any]", given).get(name) for name in names]
    return [value for value in values if isinstance(value, str)] if all(isinstance(v, str) for v in values) else None


class Accounts:
    """The routes below `/api/apps/{app}/auth`, and `entities/User/me`."""

    def __init__(self, state: State, identity: Identity) -> None:
        self._state = state
        self._identity = identity

    def answer(self, request: Recorded, path: list[str]) -> Reply | None:
        """Answer `auth/…`; `None` where nothing is known of it."""
        if request.method != "POST":
            return None
        match path:
            case ["login"]:
                return self._login(request)
            case ["register"]:
                return self._register(request)
            case ["verify-otp"]:
                return self._verify(request)
            case ["resend-otp"]:
                return self._resend(request)
            case ["reset-password-request"]:
                return self._ask_reset(request)
            case ["reset-password"]:
                return self._reset(request)
            case ["change-password"]:
                return self._change(request)
            case _:
                return None

    def me(self, request: Recorded) -> Reply:
        """`GET` and `PUT …/entities/User/me`."""
        header = request.header("authorization")
        record = self._identity.user(header)
        if record is None:
            return self._identity.refuse_user(header)
        if request.method == "PUT":
            try:
                given: Any = json.loads(request.body)
            except ValueError:
                return self._unreadable("an object")
            if not isinstance(given, dict):
                return self._unreadable("an object")
            changes = cast("dict[str, Any]", given)
            record |= {name: value for name, value in changes.items() if name not in _FIXED | _OURS}
            record["updated_date"] = time.strftime("%Y-%m-%dT%H:%M:%S.000000", time.gmtime())
            self._state.change_user(record)
        return json_reply(200, self._identity.shown(record))

    def _unreadable(self, *names: str) -> Reply:
        if self._identity.dev:  # an exception of its validation, as Express shows it
            return 500, HTML, b"<!DOCTYPE html><title>Error</title><pre>ZodError</pre>"
        missing = [{"loc": ["body", name], "msg": "Field required", "type": "missing"} for name in names]
        return json_reply(422, {"detail": missing})

    def _login(self, request: Recorded) -> Reply:
        given = fields(request, "email", "password")
        if given is None:
            return self._unreadable("email", "password")
        email, password = given
        row = self._state.user(email)
        if self._identity.dev and row is None:
            return json_reply(401, {"error": "Unauthorized"})
        record: dict[str, Any] = {} if row is None else json.loads(row["record"])
        right = row is not None and secrets.compare_digest(password.encode(), row["password"].encode())
        if self._identity.dev:  # which lets an admin in with any password
            if not right and record["role"] != "admin":
                return exception(400, "Invalid email or password")
            return json_reply(200, {"access_token": self._identity.sign(email), "success": True, "user": {}})
        if not right:
            return detail(401, "Invalid email or password")
        return json_reply(200, {"access_token": self._identity.sign(email), "user": record})

    def _register(self, request: Recorded) -> Reply:
        given = fields(request, "email", "password")
        if given is None:
            return self._unreadable("email", "password")
        email, password = given
        if len(password) < _SHORTEST:
            return exception(400, f"Password must be at least {_SHORTEST} characters long")
        if self._state.user(email) is not None:
            return exception(400, "A user with this email already exists")
        self._state.one("INSERT OR REPLACE INTO registrations VALUES (?, ?, NULL, NULL)", email, password)
        self._new_code(email)
        text = "Registration successful. Please check your email for the verification code."
        return json_reply(200, {"id": secrets.token_hex(12), "message": text, "otp_expires_in_minutes": _MINUTES})

    def _new_code(self, email: str) -> None:
        code, expires = f"{secrets.randbelow(900_000) + 100_000}", time.time() + _MINUTES * 60
        self._state.one("UPDATE registrations SET code = ?, expires = ? WHERE email = ?", code, expires, email)

    def _verify(self, request: Recorded) -> Reply:
        given = fields(request, "email", "otp_code")
        if given is None:
            return self._unreadable("email", "otp_code")
        email, code = given
        row = self._state.one("SELECT * FROM registrations WHERE email = ?", email)
        if row is None or not secrets.compare_digest(code.encode(), str(row["code"]).encode()):
            text = f"{{'email': '{email}', 'app_id': '{self._identity.app_id}}}'}} -> Object not found"
            return exception(500, text, "ObjectNotFoundError")
        if row["expires"] < time.time():
            return exception(400, "Verification code has expired")
        self._state.one("DELETE FROM registrations WHERE email = ?", email)
        record = new_record(email, app_id=self._identity.app_id, full_name=email.partition("@")[0])
        self._state.add_user(email, row["password"], record, [])
        text = "Email verified successfully. You are now logged in."
        token = self._identity.sign(email)
        return json_reply(200, {"id": record["id"], "access_token": token, "message": text, "success": True})

    def _resend(self, request: Recorded) -> Reply:
        given = fields(request, "email")
        if given is None:
            return self._unreadable("email")
        self._new_code(given[0])
        return json_reply(200, {"success": True})

    def _ask_reset(self, request: Recorded) -> Reply:
        given = fields(request, "email")
        if given is None:
            return self._unreadable("email")
        if self._state.user(given[0]) is not None:  # and no word about whether: that would tell who has an account
            token, expires = secrets.token_urlsafe(24), time.time() + _MINUTES * 60
            self._state.one("INSERT OR REPLACE INTO resets VALUES (?, ?, ?)", given[0], token, expires)
        return json_reply(200, {"success": True})

    def _reset(self, request: Recorded) -> Reply:
        given = fields(request, "reset_token", "new_password")
        if given is None:
            return self._unreadable("reset_token", "new_password")
        row = self._state.one("SELECT * FROM resets WHERE token = ? AND expires > ?", given[0], time.time())
        if row is None:
            return exception(400, "Invalid or expired reset token")
        refused = self._change_to(row["email"], given[1])
        if refused is None:
            self._state.one("DELETE FROM resets WHERE email = ?", row["email"])
        return refused or json_reply(200, {"success": True})

    def _change(self, request: Recorded) -> Reply:
        given = fields(request, "user_id", "current_password", "new_password")
        if given is None:
            return self._unreadable("user_id", "current_password", "new_password")
        record = self._identity.user(request.header("authorization"))
        if record is None:
            return self._identity.refuse_user(request.header("authorization"))
        if record["id"] != given[0]:
            return detail(403, "Another user's password")
        row = self._state.user(record["email"])
        if row is None or not secrets.compare_digest(given[1].encode(), row["password"].encode()):
            return exception(400, "Current password is incorrect")
        return self._change_to(record["email"], given[2]) or json_reply(200, {"success": True})

    def _change_to(self, email: str, password: str) -> Reply | None:
        if len(password) < _SHORTEST:
            return exception(400, f"Password must be at least {_SHORTEST} characters long")
        self._state.one("UPDATE users SET password = ? WHERE email = ?", password, email)
        return None
