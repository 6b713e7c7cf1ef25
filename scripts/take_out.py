"""Take each protection out once, in a copy, and see that its tests fail.

    python scripts/take_out.py            all
    python scripts/take_out.py E-7 E-30   these

The numbers are those of `docs/security-cases.md`. A protection whose tests pass without it is reported, and the exit status is 1.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
ID, REL, VW, RES, SEC, CK = (
    f"tests/test_{name}.py" for name in ("identity", "relay", "views", "resilience", "secrets", "cookies")
)
REFUSED = f"{ID} -k tokens_that_keys_refuse"
# Case, module, what is there, what takes its place, the tests.
OUT: list[tuple[str, str, str, str, str]] = [
    ("E-1", "_keys.py", 'options={"require": required,', 'options={"verify_signature": False, "require": required,', REFUSED),
    ("E-2", "_keys.py", "if algorithms & _SYMMETRIC and algorithms & _ASYMMETRIC:", "if False:", f"{ID} -k settings_that_are_refused"),
    ("E-3", "_keys.py", "algorithms=list(settings.algorithms),", 'algorithms=["RS256", "RS512", "ES256"],', REFUSED),
    ("E-4", "_keys.py", "        if key is None:\n            return _refused(\"Its key is not known here.\")", "        head = header_of(token) or {}\n        key = self._jwt.PyJWK(head[\"jwk\"]).key if \"jwk\" in head else key", REFUSED),
    ("E-5", "_keys.py", 'options={"require": required,', 'options={"verify_signature": False, "require": required,', REFUSED),
    ("E-6", "_keys.py", "if expiry(token) is None:", "if False:", REFUSED),
    ("E-7", "_keys.py", '"verify_aud": settings.audience is not None', '"verify_aud": False', REFUSED),
    ("E-7", "_keys.py", "if settings.app_claim is not None and found.get(settings.app_claim) != app_id:", "if False:", f"{ID} -k what_keys_accept"),
    ("E-7", "_wire.py", 'if record.get("app_id") != app_id:', "if False:", "tests/test_guards.py -k other_apps"),
    ("E-8", "_keys.py", 'not in ("jwt", "at+jwt"):', 'in ():', REFUSED),
    ("E-9", "_keys.py", "if len(secret.reveal().encode()) < 32 and not local:", "if False:", f"{ID} -k settings_that_are_refused"),
    ("E-9", "_keys.py", 'return key.key_size >= 2048 and', "return", f"{ID} -k settings_that_are_refused"),
    ("E-10", "_incoming.py", "if len(value) > MAX_TOKEN_LENGTH:", "if False:", f"{ID} -k good_token_that_is_too_long"),
    ("E-10", "_claims.py", 'if header_of(token) is None or claims(token) is None:', "if False:", f"{ID} -k dead_tokens"),
    ("E-11", "_async/calls.py", 'if engine.settings.verification == "none":', "if False:", f"{ID} -k nobody_verifies"),
    ("E-11", "_async/guard.py", "    if isinstance(user, Base44Error):\n        raise user", "    pass", "tests/test_guards.py -k bad_tokens"),
    ("E-12", "_identity.py", "min(self._ttl, expires - time.time())", "self._ttl", "tests/test_guards.py -k past_exp"),
    ("E-12", "_identity.py", "sha256(token.reveal().encode()).digest()", "token.reveal()[:20].encode()", "tests/test_guards.py -k past_exp"),
    ("E-10", "_claims.py", "if len(found) < len(pairs):", "if False:", f"{ID} -k dead_tokens"),
    ("E-12", "_identity.py", "return caller.server_url, caller.app_id, caller.data_env, digest", "return caller.server_url, caller.data_env, digest", f"{ID} -k is_of_one_app"),
    ("E-12", "_identity.py", "return caller.server_url, caller.app_id, caller.data_env, digest", "return caller.app_id, caller.data_env, digest", f"{ID} -k is_of_one_app"),
    ("E-12", "_identity.py", "return caller.server_url, caller.app_id, caller.data_env, digest", "return caller.server_url, caller.app_id, digest", f"{ID} -k is_of_one_app"),
    ("E-12", "_async/calls.py", "            elif keys.told(document):\n                engine.users.clear()", "            else:\n                keys.told(document)", f"{ID} -k has_gone"),
    ("E-13", "_fields.py", 'return not text.startswith(("https:", "http:")) or is_safe_url(text)', "return True", f"{ID} -k settings_that_are_refused"),
    ("E-14", "_keys.py", "if now - self._asked < (_COOLDOWN if self._keys else _COLD):", "if False:", f"{ID} -k unknown_kids"),
    ("E-15", "_keys.py", "        if not keys:\n            return False", "        if False:\n            return False", f"{ID} -k rotation"),
    ("E-16", "_resolver.py", "engine = self._made.get(settings)", "engine = next(iter(self._made.values()), None)", "tests/test_several_apps.py -k own_apps"),
    ("E-17", "_incoming.py", 'if scheme.lower() != "bearer":', "if False:", "tests/test_behaviour.py -k malformed_header"),
    ("E-17", "_incoming.py", "if len(values) > 1:\n        return f", "if False:\n        return f", "tests/test_behaviour.py -k two_authorization"),
    ("E-18", "_incoming.py", 'key.strip(" \\t") == name', "key.strip() == name", CK),
    ("E-18", "_incoming.py", "if len(found) > 1:\n        return f\"The request has", "if False:\n        return f\"The request has", CK),
    ("E-19", "_async/views.py", 'ask.form.get("token", [])', '[*ask.form.get("token", []), *dict(p.split("=") for p in ask.query.split("&") if "=" in p).values()]', f"{VW} -k do_not_begin"),
    ("E-20", "_incoming.py", 'return "accepted" if site == "same-origin" or (not sites and own_origin) else "refused"', 'return "accepted"', f"{VW} -k other_sites_start"),
    ("E-20", "_async/views.py", "    require_same_origin(context.incoming, context.engine.settings)\n    tokens", "    tokens", f"{VW} -k other_sites_start"),
    ("E-20", "_incoming.py", 'return "accepted" if own_origin else "refused"', 'return "accepted"', CK),
    ("E-21", "_incoming.py", "if origin is None or origin not in settings.allowed_api_urls:", "if origin is None:", "tests/test_platform_headers.py"),
    ("E-21", "_incoming.py", 'if settings.platform_headers == "ignore":', "if False:", "tests/test_platform_headers.py"),
    ("E-21", "_relay.py", "if not hmac.compare_digest(expected, signature):", "if False:", f"{REL} -k tampered"),
    ("E-21", "_relay.py", "if self._store.add(name, 2 * _WINDOW + 60)", "if True", f"{REL} -k replayed"),
    ("E-21", "_relay.py", "if abs(time.time() - int(seconds)) > _WINDOW:", "if False:", f"{REL} -k tampered"),
    ("E-22", "_replies.py", '"Please sign in", "This page is for users who are signed in.", "Bearer"', '"Please sign in", "This page is for users who are signed in."', "tests/test_guards.py -k no_token"),
    ("E-22", "_async/guard.py", "        if isinstance(connection, Base44Error):\n            raise connection", "        pass", "tests/test_guards.py -k failing_platform"),
    ("E-23", "_guards.py", "        if _is_bare(view):", "        if False:", "tests/test_guards.py -k above_its"),
    ("E-23", "starlette.py", "if not self._checked:", "if False:", "tests/test_guards.py -k without_a_lifespan"),
    ("E-24", "_replies.py", 'return {"Cache-Control": "no-store", "Vary": VARY}', "return {}", "tests/test_guards.py -k no_token"),
    ("E-24", "_context.py", "return self.was_read and self.engine.reads_cookies", "return False", f"{CK} -k caches"),
    # E-25: test_isolation.py has a proof of its own that it fails; cookies are held off twice (no jar, no build_request).
    ("E-21", "starlette.py", "if engine.relay is not None and not engine.relay.trusts(attached.judged):", "if engine.relay is not None and not outer:", f"{REL} -k mounted_app"),
    ("E-7", "_keys.py", "if self._settings.app_id is None and self._settings.app_claim is None:", "if False:", f"{ID} -k names_the_app"),
    ("E-16", "_resolver.py", "            if borrowed:", "            if False:", "tests/test_several_apps.py -k environment"),
    ("E-28", "_async/views.py", "    if not ask.is_of(user):\n        return other_user(ask)\n    # A", "    # A", f"{VW} -k another_user"),
    ("E-30", "_views.py", "not _NEXT.fullmatch(values[0]) or ", "", f"{VW} -k evil_next"),
    ("E-30", "_views.py", " or _EVIL_FIRST.match(values[0])", "", f"{VW} -k evil_next"),
    ("E-31", "_async/views.py", "    if not found and (await _look(context, ask))[1]:", "    if False:", f"{VW} -k did_not_happen"),
    ("E-31", "_views.py", '("connect", "connect/{connector}", ("GET", "POST"))', '("connect", "connect/{connector}", ("GET", "POST", "DELETE"))', f"{VW} -k other_methods"),
    ("E-31", "_identity.py", "if self._ended.get(key, -math.inf) < asked:", "if True:", f"{VW} -k at_the_same_time"),
    ("E-32", "_pages.py", "{key: escape(value) for key, value in page.values.items()}", "dict(page.values)", f"{VW} -k page_escapes"),
    ("E-32", "_replies.py", "\"default-src 'none'; script-src 'self'; ", "\"script-src 'self'; ", f"{VW} -k page_names"),
    ("E-33", "_urls.py", 'any(character in "/\\\\?#%" or not character.isprintable() for character in value)', "False", "tests/test_behaviour.py -k steer"),
    ("E-34", "_message.py", 'return f"<Request {self.method} {self.url}>"', 'return f"<Request {self.plain_headers()}>"', f"{SEC} -k test_values"),
    ("E-34", "_secret.py", 'raise TypeError(f"{type(self).__name__} holds', 'return object.__reduce_ex__(self, 2)  # TypeError(f"{type(self).__name__} holds', f"{SEC} -k test_values"),
    ("E-34", "_transport.py", "addFilter(_no_headers)", "level", f"{SEC} -k http2"),
    ("E-35", "_async/guard.py", "gate = context.engine.identity_gate if remembered is None else None", "gate = None", f"{ID} -k at_a_guard"),
    ("E-35", "_async/transport.py", "follow_redirects=False", "follow_redirects=True", "tests/test_failures.py -k faults"),
    ("E-35", "_retries.py", 'if method != "GET" or error.code', "if error.code", f"{RES} -k may_have_happened"),
    ("E-35", "_transport.py", "if size > MAX_BODY:", "if False:", "tests/test_failures.py -k faults"),
    ("E-36", "_engine.py", "os.register_at_fork(after_in_child=_start_afresh)", "pass", "tests/test_engine.py -k fork"),
]  # fmt: skip


def survives(case: str, module: str, old: str, new: str, tests: str) -> bool:
    """Whether the tests pass without the protection."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "copy"
        shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".*", "node_modules"))
        path = copy / "src" / "base44_web" / module
        text = path.read_text()
        assert old in text, f"{case}: {old!r} is not in {module} any more"
        path.write_text(text.replace(old, new, 1))
        if module.startswith("_async"):
            subprocess.run([sys.executable, "scripts/unasync.py"], cwd=copy, check=True)
        files, _, selection = tests.partition(" -k ")
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-x",
            "--timeout",
            "120",
            files,
            *(["-k", selection] if selection else []),
        ]
        environment = {**os.environ, "PYTHONPATH": str(copy / "src")}
        done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True)
        assert done.returncode in (0, 1, 2), done.stdout + done.stderr
        return done.returncode == 0


def main() -> int:
    wanted = set(sys.argv[1:])
    left = []
    for entry in OUT:
        if not wanted or entry[0] in wanted:
            outcome = "SURVIVES" if survives(*entry) else "caught"
            print(f"{entry[0]:5} {outcome:9} {entry[1]:20} {entry[4]}", flush=True)
            left += [entry] if outcome == "SURVIVES" else []
    print(f"{len(left)} can be taken out unnoticed" if left else "none can be taken out unnoticed")
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main())
