"""Take each protection out once, in a copy, and see that its tests fail.

    python scripts/take_out.py            all
    python scripts/take_out.py E-7 E-30   these
    python scripts/take_out.py --jobs 2   two at the same time

The numbers are those of `docs/security-cases.md`; S is what attacks have found since. A protection whose tests pass without it is reported, and the exit status is 1.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).parent.parent
CONF, CORE = "tests/conformance/test_{}.py", "tests/core/test_{}.py"
ID, REL, VW, GU, HD, FA, AP = (
    CONF.format(name)
    for name in ("identity", "relay", "views", "guards", "platform_headers", "failures", "several_apps")
)
CK, SEC, KEYS, JWKS, KNOWN = (CORE.format(name) for name in ("cookies", "secrets", "keys", "jwks", "identity"))
CON, REN, STO = (CORE.format(name) for name in ("connections", "renewal", "store"))
BRI = "tests/bridges/test_requests.py"
STARLETTE, FASTAPI, FLASK, DJANGO, REST, NINJA = (
    f"tests/adapters/test_{name}.py" for name in ("starlette", "fastapi", "flask", "django", "rest_framework", "ninja")
)
REFUSED = f"{ID} -k tokens_that_keys_refuse"
KEY = "return caller.server_url, caller.app_id, caller.data_env, digest"
# Case, module, what is there, what takes its place, the tests.
OUT: list[tuple[str, str, str, str, str]] = [
    ("E-1", "_core/identity/keys.py", 'options={"require": required,', 'options={"verify_signature": False, "require": required,', REFUSED),
    ("E-2", "_core/identity/keys.py", "if algorithms & _SYMMETRIC and algorithms & _ASYMMETRIC:", "if False:", f"{KEYS} -k settings_that_are_refused"),
    ("E-3", "_core/identity/keys.py", "algorithms=list(settings.algorithms),", 'algorithms=["RS256", "RS512", "ES256"],', REFUSED),
    ("E-4", "_core/identity/keys.py", "        if key is None:\n            return _refused(\"Its key is not known here.\", code=\"unknown_key\")", "        head = token.header or {}\n        key = self._jwt.PyJWK(head[\"jwk\"]).key if \"jwk\" in head else key", REFUSED),
    ("E-5", "_core/identity/keys.py", 'options={"require": required,', 'options={"verify_signature": False, "require": required,', REFUSED),
    ("E-6", "_core/identity/keys.py", "if expires is None:", "if False:", REFUSED),
    ("E-7", "_core/identity/keys.py", '"verify_aud": settings.audience is not None', '"verify_aud": False', REFUSED),
    ("E-7", "_core/identity/keys.py", "if settings.app_claim is not None and found.get(settings.app_claim) != app_id:", "if False:", f"{ID} -k names_the_app"),
    ("E-7", "_core/identity/keys.py", "if self._settings.app_id is None and self._settings.app_claim is None:", "if False:", f"{KEYS} -k names_the_app"),
    ("E-7", "_core/platform/wire.py", 'if record.get("app_id") != app_id:', "if False:", f"{GU} -k other_apps"),
    ("E-8", "_core/identity/keys.py", 'not in ("jwt", "at+jwt"):', "in ():", REFUSED),
    ("E-9", "_core/identity/keys.py", "if len(secret.reveal().encode()) < 32 and not local:", "if False:", f"{KEYS} -k settings_that_are_refused"),
    ("E-9", "_core/identity/keys.py", "return key.key_size >= 2048 and", "return", f"{KEYS} -k settings_that_are_refused"),
    ("E-10", "_core/incoming/bearer.py", "if len(value) > MAX_TOKEN_LENGTH:", "if False:", f"{ID} -k good_token_that_is_too_long"),
    ("E-10", "_core/claims.py", "if self.claims is None:", "if False:", f"{ID} -k dead_tokens"),
    ("E-10", "_core/claims.py", "if len(found) < len(pairs):", "if False:", f"{ID} -k dead_tokens"),
    ("E-11", "_core/identity/verify.py", 'if identity.platform.settings.verification == "none":', "if False:", f"{ID} -k nobody_verifies"),
    ("E-11", "_core/guards/admit.py", "    if isinstance(outcome, Base44Error):\n        raise outcome\n    assert isinstance(outcome, AppUser)\n    return outcome", "    return outcome  # type: ignore", f"{GU} -k bad_tokens"),
    ("E-12", "_core/identity/memory.py", "min(self._ttl, expires - self._clock.time())", "self._ttl", f"{GU} -k past_exp"),
    ("E-12", "_core/claims.py", "sha256(self.secret.reveal().encode()).digest()", "self.secret.reveal()[:20].encode()", f"{GU} -k for_another_token"),
    ("E-12", "_core/identity/memory.py", KEY, "return caller.server_url, caller.data_env, digest", f"{KNOWN} -k is_of_one_app"),
    ("E-12", "_core/identity/memory.py", KEY, "return caller.app_id, caller.data_env, digest", f"{KNOWN} -k is_of_one_app"),
    ("E-12", "_core/identity/memory.py", KEY, "return caller.server_url, caller.app_id, digest", f"{KNOWN} -k is_of_one_app"),
    ("E-12", "_core/identity/verify.py", "            elif keys.take(document):\n                identity.known.clear()", "            else:\n                keys.take(document)", f"{JWKS} -k has_gone"),
    ("E-13", "_core/fields.py", 'return not url.startswith(("https:", "http:")) or is_safe_url(url)', "return True", f"{KEYS} -k settings_that_are_refused"),
    ("E-14", "_core/identity/keys.py", "if now - self._asked < (_COOLDOWN if self._keys else _COLD):", "if False:", f"{JWKS} -k unknown_kids"),
    ("E-15", "_core/identity/keys.py", "        if not keys:\n            return False", "        if False:\n            return False", f"{JWKS} -k rotation"),
    ("E-16", "_core/engine/apps.py", "engine = self._made.get(settings)", "engine = next(iter(self._made.values()), None)", f"{AP} -k own_apps"),
    ("E-16", "_core/engine/apps.py", "        if borrowed:", "        if False:", f"{CORE.format('resolver')} -k environment"),
    ("E-17", "_core/incoming/bearer.py", 'if scheme.lower() != "bearer":', "if False:", f"{CONF.format('behaviour')} -k malformed_header"),
    ("E-17", "_core/incoming/bearer.py", "if len(values) > 1:\n        return f", "if False:\n        return f", f"{CONF.format('behaviour')} -k two_authorization"),
    ("E-18", "_core/incoming/cookies.py", 'key.strip(" \\t") == name', "key.strip() == name", CK),
    ("E-18", "_core/incoming/cookies.py", "if len(found) > 1:\n        return f\"The request has", "if False:\n        return f\"The request has", CK),
    ("E-19", "_core/views/handlers.py", 'asked.form.get("token", [])', '[*asked.form.get("token", []), *dict(p.split("=") for p in asked.query.split("&") if "=" in p).values()]', f"{VW} -k do_not_begin"),
    ("E-19", "_core/replies/visit.py", ' if not _is_token(each)]', "]", f"{VW} -k carries_a_token"),
    ("E-20", "_core/incoming/cookies.py", 'return "accepted" if site == "same-origin" or (not sites and own_origin) else "refused"', 'return "accepted"', f"{VW} -k other_sites_start"),
    ("E-20", "_core/views/handlers.py", "    require_same_origin(context.incoming, context.engine.settings)\n    tokens", "    tokens", f"{VW} -k other_sites_start"),
    ("E-20", "_core/incoming/cookies.py", 'return "accepted" if own_origin else "refused"', 'return "accepted"', CK),
    ("E-21", "_core/incoming/platform_headers.py", "if origin is None or origin not in settings.allowed_api_urls:", "if origin is None:", HD),
    ("E-21", "_core/incoming/read.py", 'if settings.platform_headers == "ignore":', "if False:", HD),
    ("E-21", "_core/incoming/signature.py", "hmac.compare_digest(self._signature(incoming, key_id, seconds, nonce, path, query, body), signature)", "True", f"{REL} -k tampered"),
    ("E-21", "_core/incoming/signature.py", "        if verdict is not Verdict.NEW:", "        if False:", f"{REL} -k replayed"),
    ("E-21", "_core/incoming/signature.py", "if abs(time.time() - int(seconds)) > WINDOW:", "if False:", f"{REL} -k tampered"),
    ("E-21", "_asgi/middleware.py", "if check is not None and not check.trusts(state.checked_by):", "if check is not None and not outer:", f"{STARLETTE} -k mounted_app_judges"),
    ("E-22", "_core/replies/situations.py", '"Please sign in", "This page is for users who are signed in.", "Bearer"', '"Please sign in", "This page is for users who are signed in."', f"{GU} -k no_token"),
    ("E-22", "_core/guards/admit.py", "        if isinstance(outcome, Base44Error):\n            raise outcome\n        assert", "        if isinstance(outcome, Base44Error):\n            continue\n        assert", f"{GU} -k failing_platform"),
    ("E-23", "_core/guards/startup.py", "        if bare is not None:", "        if False:", f"{FASTAPI} {FLASK} -k above_its"),
    ("E-23", "starlette/middleware.py", "if not self._checked or", "if self._checked and", f"{FASTAPI} -k without_a_lifespan"),
    ("E-24", "_core/replies/reply.py", 'return {"Cache-Control": "no-store", "Vary": VARY}', "return {}", f"{GU} -k no_token"),
    ("E-24", "_core/engine/context.py", "        self.was_read = True", "        self.was_read = False", f"{CONF.format('cookies')} -k caches"),
    # E-25: test_isolation.py has a proof of its own that it fails; cookies are held off twice (no jar, no build_request).
    ("E-28", "_core/views/handlers.py", "    if not asked.is_of(user):\n        return other_user(asked)\n    # A", "    # A", f"{VW} -k another_user"),
    ("E-30", "_core/views/routes.py", "not _NEXT.fullmatch(values[0]) or ", "", f"{VW} -k evil_next"),
    ("E-30", "_core/views/routes.py", " or _EVIL_FIRST.match(values[0])", "", f"{VW} -k evil_next"),
    ("E-31", "_core/views/handlers.py", "    if not found and (await _look(io, context, asked))[1]:", "    if False:", f"{VW} -k did_not_happen"),
    ("E-31", "_core/views/routes.py", 'View("connect", "connect/{connector}", ("GET", "POST"))', 'View("connect", "connect/{connector}", ("GET", "POST", "DELETE"))', f"{VW} -k other_methods"),
    ("E-31", "_core/connections/statuses.py", "if self._ended.get(key, -math.inf) < asked:", "if True:", f"{VW} -k at_the_same_time"),
    ("E-32", "_core/replies/html.py", "{key: escape(value).encode(\"utf-8\", \"replace\").decode() for key, value in page.values.items()}", "dict(page.values)", f"{VW} -k page_escapes"),
    ("E-32", "_core/replies/reply.py", "\"default-src 'none'; script-src 'self'; ", "\"script-src 'self'; ", f"{VW} -k page_names"),
    ("E-33", "_core/urls.py", 'not value.isprintable() or not _STEERING.isdisjoint(value)', "False", f"{CONF.format('behaviour')} -k steer"),
    ("E-34", "_core/transport/message.py", 'return f"<PlatformRequest {self.method} {self.url}>"', 'return f"<PlatformRequest {self.plain_headers()}>"', f"{SEC} -k test_values"),
    ("E-34", "_core/secret.py", 'raise TypeError(f"{type(self).__name__} holds', 'return object.__reduce_ex__(self, 2)  # TypeError(f"{type(self).__name__} holds', f"{SEC} -k test_values"),
    ("E-34", "_core/transport/httpcore_pool.py", "refused = compressed(header_mapping(answer.headers).get(\"content-encoding\"))", "refused = compressed((headers := header_mapping(answer.headers)).get(\"content-encoding\"))", f"{CORE.format('failures')} -k worker_that_is_ended"),
    ("E-34", "_core/transport/exchange.py", "record.levelno > logging.DEBUG or not (", "True or not (", f"{SEC} -k http2"),
    ("E-35", "_core/engine/context.py", "return identity.platform.limiter if trusted else identity.platform.unverified", "return identity.platform.limiter", f"{KNOWN} -k at_a_guard"),
    ("E-35", "_core/transport/_async.py", "follow_redirects=False", "follow_redirects=True", f"{CORE.format('failures')} -k faults"),
    ("E-35", "_core/transport/aiohttp_client.py", "allow_redirects=False", "allow_redirects=True", f"{CORE.format('http_client')} -k read_alike"),
    ("E-35", "_core/transport/aiohttp_client.py", "cookie_jar=aiohttp.DummyCookieJar()", "cookie_jar=aiohttp.CookieJar(unsafe=True)", f"{CORE.format('http_client')} -k sent_alike"),
    ("E-35", "_core/transport/aiohttp_client.py", "        self._session._retry_connection = False\n", "", f"{CORE.format('http_client')} -k sent_once"),
    ("E-35", "_core/platform/retries.py", 'if method != "GET" or error.code', "if error.code", f"{FA} -k may_have_happened"),
    ("E-35", "_core/transport/exchange.py", "if size <= MAX_BODY:", "if True:", f"{CORE.format('failures')} -k faults"),
    ("E-34", "_core/otel.py", 'urlsplit(url).hostname or ""', "url", f"{CORE.format('telemetry')} -k no_credential"),
    ("E-35", "_core/telemetry.py", "(connector if connector in SERVICES else _OTHER)", "connector", f"{CORE.format('telemetry')} -k are_few"),
    ("E-36", "_core/engine/engine.py", "os.register_at_fork(after_in_child=_start_afresh)", "pass", f"{CORE.format('engine')} -k fork"),
    ("E-36", "_core/transport/aiohttp_client.py", "os.register_at_fork(after_in_child=_let_go)", "pass", f"{CORE.format('http_client')} -k left_open"),
    # H: holes that were found and mended, by kind: 1 guards left out, 2 caches, 3 floods and memory, 4 surplus octets, 5 secrets,
    # 6 WebSockets under WSGI, 7 errors in all places, 8 frameworks' own features, 9 people, 10 odd input, 11 bystanders, 12 deployments.
    ("H-1", "_asgi/middleware.py", '                state.started = True\n                self.check_answer(scope, state)', "                state.started = True", f"{STARLETTE} -k lets_nobody_in"),
    ("H-1", "_asgi/middleware.py", '                self.check_answer(scope, state)\n                state.started = state.accepted', "                state.started = state.accepted", f"{STARLETTE} -k socket_whose_guard"),
    ("H-1", "starlette/guards.py", 'for name in ("app", "router", "original_router")', 'for name in ("app", "router")', f"{FASTAPI} -k included_router"),
    ("H-1", "starlette/guards.py", 'yield getattr(depends, "dependency", None)', "yield None", f"{FASTAPI} -k among_dependencies"),
    ("H-1", "starlette/guards.py", "        if starting:  # later it is refused as it is copied\n            _check_defaults(endpoint)\n", "", f"{FASTAPI} -k guard_nothing"),
    ("H-1", "starlette/guards.py", "            if isinstance(outcome, Reply):\n                await deliver(outcome, scope, send)\n                return\n        await self._app", "            del outcome\n        await self._app", f"{STARLETTE} -k to_be_mounted"),
    ("H-1", "fastapi.py", "    @property\n    def __signature__(cls) -> NoReturn:", "    @property\n    def _unused(cls) -> NoReturn:", f"{FASTAPI} -k guard_nothing"),
    ("H-1", "fastapi.py", "    @property\n    def dependency(cls) -> NoReturn:", "    @property\n    def _unused(cls) -> NoReturn:", f"{FASTAPI} -k among_dependencies"),
    ("H-1", "fastapi.py", "        raise HTTPException(403)", "        return self", f"{FASTAPI} -k no_check_has_seen"),
    ("H-1", "_core/guards/startup.py", "                _note(cell.cell_contents, _WITHIN)", "                pass", f"{FASTAPI} -k without_wraps"),
    ("H-1", 'django/replies.py', '    if bare is not None:', '    if False:', f"{DJANGO} -k left_out"),
    ("H-1", "django/replies.py", '("django", "rest_framework", "ninja")', '("django", "rest_framework")', f"{DJANGO} -k in_ninja"),
    ("H-2", 'django/request.py', '    if context is not None and context.was_read:\n        return False\n', '', f"{DJANGO} -k no_cache_gives"),
    ("H-2", "django/replies.py", '        answered.headers["Vary"] = with_vary(answered.headers.get("Vary"))', "        pass", f"{DJANGO} -k no_cache_gives"),
    ("H-2", "django/rest_framework.py", "Request._cache_update_cache = property(", "_unused = property(", f"{REST} -k no_cache_gives"),
    ("E-11", "django/rest_framework.py", "        if not (isinstance(outcome, Base44Error) and outcome.about_visitor):", "        if False:", f"{REST} -k compositions"),
    ("E-11", "django/users.py", "    is_staff: Final = False", "    is_staff: Final = True", f"{REST} -k compositions"),
    ("E-17", "django/rest_framework.py", '        if outcome.code == "no_token":', "        if True:", f"{REST} -k who_is_authenticated"),
    ("H-1", "django/replies.py", '    yield getattr(getattr(view, "cls", None), "permission_classes", None)\n', "", f"{REST} -k checks_at_the_start"),
    ("H-1", "django/replies.py", '    yield getattr(view, "initkwargs", {}).get("permission_classes")\n', "", f"{REST} -k checks_at_the_start"),
    ("H-8", "django/ninja.py", "return _in_event_loop() and iscoroutinefunction(view)", "return _in_event_loop()", f"{NINJA} -k has_a_loop"),
    ("H-8", "django/ninja.py", "await sync_to_async(refusal)(error, request)", "refusal(error, request)", f"{NINJA} -k ask_the_database"),
    ("H-2", "flask/checks.py", "    check_caches(app.view_functions.values())\n", "", f"{FLASK} -k view_cache"),
    ("H-3", "_core/identity/verify.py", "end=end, detached=True)", "end=end)", f"{JWKS} -k hangs_up"),
    ("H-3", '_core/identity/memory.py', '            if outcome.code == "unknown_key":\n                return\n', '', f"{JWKS} -k not_remembered"),
    ("H-3", "_core/engine/context.py", "    return identity.platform.limiter if trusted else identity.platform.unverified", "    return identity.platform.limiter", f"{KNOWN} -k unguarded"),
    ("H-3", "_core/identity/verify.py", "limiter = platform.limiter if identity.known.was_verified(caller) else platform.unverified", "limiter = platform.unverified", f"{KNOWN} -k unguarded"),
    ("H-3", "starlette/guards.py", "    awaiting = view if is_awaiting(view) else _in_threadpool(cast(Callable[..., Any], view))\n    return", "    if not is_awaiting(view):\n        return cast(V, functools.wraps(view)(lambda *a, **k: __import__('anyio').from_thread.run(guard_awaiting(_STARLETTE, _in_threadpool(view), needs), *a)))  # type: ignore\n    awaiting = view\n    return", f"{STARLETTE} -k outside_the_thread_pool"),
    ("H-3", "_core/identity/memory.py", "LRUCache(_MOST_BYTES, getsizeof=_size)", "LRUCache(_MOST)", f"{KNOWN} -k bounded_in_bytes"),
    ("H-3", '_core/identity/memory.py', 'outcome.small(), self', 'outcome, self', f"{KNOWN} -k bounded_in_bytes"),
    ("H-3", '_core/clock.py', 'return max(wall, since_start)', 'return wall', f"{KNOWN} -k put_back"),
    ("H-3", "_asgi/relay.py", "check.check_headers(", "(lambda incoming: None)(", f"{REL} -k before_a_body"),
    ("H-3", "flask/relay.py", "    check.check_headers(incoming)\n", "", f"{REL} -k before_a_body"),
    ("H-3", "django/relay.py", "    check.check_headers(incoming)\n", "", f"{REL} -k before_a_body"),
    ("H-3", "_core/views/handlers.py", "                if error.about_visitor:\n                    raise", "                if False:\n                    raise", f"{VW} -k one_session"),
    ("H-4", "_core/transport/exchange.py", "    if h11 is not None and (any(", "    if False and (any(", f"{CORE.format('surplus')} -k after_an_answer"),
    ("H-4", "_core/transport/exchange.py", "    if h11 is not None and (any(", "    if h11 is not None or (any(", f"{CORE.format('surplus')} -k used_again"),
    ("H-4", "_core/transport/httpcore_pool.py", "                drop_if_surplus(answer.stream)\n", "", f"{CORE.format('surplus')} -k after_an_answer"),
    ("H-4", "_core/transport/_async.py", "drop_if_surplus(answer.stream)", "pass", f"{CORE.format('surplus')} -k after_an_answer"),
    ("H-4", "_core/transport/aiohttp_client.py", "if protocol.should_close or ", "if ", f"{CORE.format('surplus')} -k lies_in_the_pool"),
    ("H-4", "_core/transport/aiohttp_client.py", " or _holds_a_beginning(parser)", "", f"{CORE.format('surplus')} -k after_an_answer"),
    ("H-4", "_core/transport/aiohttp_client.py", 'return not _is_readable(transport.get_extra_info("socket").fileno())', "return True", f"{CORE.format('surplus')} -k lies_in_the_pool"),
    ("H-4", "_core/transport/aiohttp_client.py", 'if getattr(parser, "_tail", b"") or getattr(parser, "_lines", []):', "if False:", f"{CORE.format('surplus')} -k after_an_answer"),
    ("H-4", "_core/transport/aiohttp_client.py", "return parser.feed_eof() is not None", "return False", f"{CORE.format('surplus')} -k after_an_answer"),
    ("H-5", "_core/platform/wire.py", "data = _blanked(response.error_data(), call.request)", "data = response.error_data()", f"{SEC} -k echoes"),
    ("H-5", "_core/transport/exchange.py", '"receive_response_headers" in str(record.msg)', "False", f"{SEC} -k headers_of_an_answer"),
    ("H-5", "_core/transport/aiohttp_client.py", 'return f"<{type(self).__name__} {self.status}>"', "return super().__repr__()", f"{CORE.format('failures')} -k no_part_of"),
    ("H-5", 'django/debug.py', 'if isinstance(key, str) and key in {engine.settings.cookie_name for engine in list(_engines)}:', 'if False:', f"{DJANGO} -k tokens_cookie"),
    ("H-5", "django/debug.py", '"|REPLAY_STORE|', '"|', f"{DJANGO} -k tokens_cookie"),
    ("H-5", "django/checks.py", "settings is None or reads_cookies(settings) or", "settings is None or", f"{DJANGO} -k tokens_cookie"),
    ("H-5", '_core/transport/proxies.py', 'if is_loopback(host) or proxy_bypass(host)', 'if proxy_bypass(host)', f"{CORE.format('proxies')} -k loopback_is_never"),
    ("H-6", "_core/incoming/environ.py", 'websocket = environ.get("HTTP_UPGRADE", "").lower() == "websocket"', "websocket = False", f"{FLASK} -k websocket_under"),
    ("H-7", "_asgi/middleware.py", "except (Base44Error, BaseExceptionGroup) as error:", "except ZeroDivisionError as error:", f"{STARLETTE} -k own_middleware"),
    ("H-7", "_asgi/middleware.py", "            if state.started and isinstance(error.__cause__, Base44Error | ConfigurationError):", "            if False:", f"{STARLETTE} -k shows_as_itself"),
    ("H-7", "_asgi/middleware.py", '            raise ConfigurationError(problem or "")  # Starlette', "            return  # Starlette", f"{STARLETTE} -k does_not_hang"),
    ("H-7", "_core/replies/refuse.py", "return next(iter(found), None) if all(each is not None for each in found) else None", "return next((each for each in found if each), None)", f"{STARLETTE} -k groups_of_errors"),
    ("H-7", 'django/replies.py', 'return ESCAPED in request.__dict__ and answered.status_code == 500', 'return False', f"{DJANGO} -k projects_own"),
    ("H-7", "flask/request.py", "        answer_in_place(error, response)", "        pass", f"{FLASK} -k handle_errors_themselves"),
    ("H-7", "flask/replies.py", "for kind in (Base44Error, ExceptionGroup):", "for kind in (Base44Error,):", f"{FLASK} -k around_the_views"),
    ("H-7", '_core/transport/exchange.py', '    except Exception as error:  # noqa: BLE001 - proxy variables', '    except ZeroDivisionError as error:  # noqa: BLE001 - proxy variables', f"{CORE.format('proxies')} -k cannot_be_made"),
    ("H-7", "_core/replies/reply.py", 'ensure_ascii=False).encode("utf-8", "replace")', "ensure_ascii=False).encode()", f"{VW} -k surrogate"),
    ("H-7", "_core/transport/pools.py", "        except RuntimeError:  # trio: nothing of ours is open there\n            return", "        except ZeroDivisionError:\n            return", f"{STARLETTE} -k on_trio"),
    ("H-8", "flask/guards.py", '        if flask_request.method != "OPTIONS" or "Access', '        if True or "Access', f"{FLASK} -k preflight"),
    ("H-8", "flask/extension.py", "names=names)\n    give_requests_base44(app, engines)\n", "names=names)\n", f"{FLASK} -k set_later"),
    ("H-8", "django/guards.py", "    guarded.login_required = False  # type: ignore[attr-defined]\n", "", f"{DJANGO} -k login_required"),
    ("H-8", "django/guards.py", "(isinstance(request, ASGIRequest) and _in_event_loop())", "_in_event_loop()", f"{DJANGO} -k has_a_loop"),
    ("H-8", "_core/urls.py", '    if secure and parts.scheme != "https" and not is_loopback(parts.hostname or ""):', "    if False:", f"{CK} -k https_alone"),
    ("H-8", "_core/incoming/cookies.py", 'secure=incoming.secure or name.startswith("__Host-")', "secure=incoming.secure", f"{CK} {VW} -k https_alone"),
    ("H-8", "_core/incoming/cookies.py", "    if settings.public_url is not None:\n", "    if False:\n", f"{CK} -k operator_gives"),
    ("H-8", "_core/transport/deadline.py", " / (len(addresses) - tried)", "", f"{CORE.format('proxies')} -k black_hole"),
    ("H-9", "_core/replies/refuse.py", "logger.info(\n        \"A request is refused", "logger.debug(\n        \"A request is refused", f"{GU} -k logged_once"),
    ("H-9", "_core/platform/wire.py", "if caller.token is not None and caller.token.claims is not None:", "if caller.token is not None:", f"{CORE.format('clients')} -k forwarded"),
    ("H-9", "_core/incoming/bearer.py", 'if token in ("null", "undefined"):', "if False:", f"{CORE.format('clients')} -k says_so"),
    ("H-9", "_core/platform/io.py", "        if _in_event_loop():\n            _warn_of_blocking()\n", "", f"{CORE.format('clients')} -k warned_of"),
    ("H-10", "_core/urls.py", '    if "@" in parts.netloc:\n        return url\n    path, query', "    path, query", f"{CORE.format('clients')} -k browser_is_sent"),
    ("H-10", "_core/urls.py", "any(not (each.isprintable() or each == \" \") for each in url)", "False", f"{CORE.format('clients')} -k browser_is_sent"),
    ("H-10", "_core/identity/keys.py", "if len(self._keys) == 1 and (token.key_id is None or None in self._keys):", "if None in self._keys:", f"{JWKS} -k without_a_key_id"),
    ("H-11", "_asgi/nested.py", "return self._own if key == KEY else self._outer", "return self._own", f"{STARLETTE} -k further_out"),
    ("H-11", "flask/extension.py", "    reference = weakref.ref(app)", "    reference = lambda: app", f"{FLASK} -k last_reference"),
    ("H-11", "_asgi/scope.py", '        scope["headers"] = list(pairs)', "        pass", f"{STARLETTE} -k read_once"),
    ("H-11", "_asgi/middleware.py", "await anyio.to_thread.run_sync(engines.probe)", "engines.probe()", f"{STARLETTE} -k not_opened_on"),
    ("H-12", "_core/incoming/replays.py", "_verdict(is_new, signed >= math.floor(forgotten))", "_verdict(is_new, True)", f"{CORE.format('signatures')} -k lost"),
    ("H-12", "_core/incoming/replays.py", "_verdict(found == mark, signed >= math.floor(made)", "_verdict(found == mark, True", f"{CORE.format('signatures')} -k lost"),
    ("H-12", "_core/incoming/replays.py", " and abs(now - signed) <= WINDOW", "", f"{CORE.format('signatures')} -k put_back"),
    ("H-12", "_core/incoming/replays.py", "self._keep_latest(connection, _LET_GO, now - _KEPT + WINDOW)", "pass", f"{CORE.format('signatures')} -k put_back"),
    ("H-12", "_core/incoming/replays.py", "return now if store in _opened else", "return", f"{CORE.format('signatures')} -k lost"),
    ("H-12", "_core/incoming/platform_headers.py", 'if incoming.joined and any("," in value.reveal() for value in incoming.all(STATE)):', "if False:", f"{HD} -k two_states"),
    ("H-12", "_core/incoming/replays.py", "return name if isinstance(name, str) else type(error).__name__", "return type(error).__name__", f"{CORE.format('signatures')} -k which_failure"),
    ("H-12", "_core/identity/verify.py", "local = platform.settings.development and is_loopback_url(caller.server_url)", "local = True", f"{KNOWN} -k without_an_app"),
    ("H-12", "_core/identity/verify.py", "local = platform.settings.development and is_loopback_url(caller.server_url)", "local = platform.settings.development", f"{KNOWN} -k without_an_app"),
    ("H-12", "_core/incoming/read.py", "replace(caller, token=None)", "caller", f"{CORE.format('sessions')} -k one_app"),
    ("H-1", "starlette/middleware.py", " or len(self._routes) != self._count", "", f"{STARLETTE} -k comes_later"),
    ("H-1", "flask/checks.py", "    check_methods(app.view_functions.values())\n", "", f"{FLASK} -k head_would"),
    ("H-2", "flask/request.py", "            refuse_in_cache()\n", "            pass\n", f"{FLASK} -k cache_keeps"),
    ("H-2", "fastapi.py", "        mark_private(response.raw_headers)\n        context", "        context", f"{FASTAPI} -k within_the_middleware"),
    ("H-2", "fastapi.py", "        mark_private(response.raw_headers)\n        return", "        return", f"{FASTAPI} -k within_the_middleware"),
    ("H-3", "_core/guards/admit.py", "if user is None and (context.engine.identity.keys is not None or context.engine.connections.store is not None):", "if False:", f"{CORE.format('guards')} -k forged"),
    ("H-7", "flask/replies.py", "    if own is not None:\n", "    if False:\n", f"{FLASK} -k after_the_view"),
    ("H-7", "_core/replies/refuse.py", " and error._whose in (None, whose)", "", f"{STARLETTE} -k somebody_else"),
    ("H-12", "_core/connections/fetch.py", "    refused.about_visitor = False\n", "", f"{GU} -k stale_service"),
    ("C-2", "_core/connections/known.py", "None if user is None else user.id)", "None)", f"{CON} -k anothers"),
    ("C-2", "_core/connections/known.py", "caller.service_token if self._by_service else None", "None", f"{CON} -k service_tokens_that"),
    ("C-2", "_core/connections/known.py", "if caller.state is not None or (user", "if (user", f"{CON} -k with_a_state"),
    ("C-2", "_core/connections/known.py", "if caller.state is not None or (user is None and wanted.route == \"app_user\"):", "if caller.state is not None:", f"{CON} -k not_verified"),
    ("C-2", "_core/connections/known.py", "        wire.service_token(caller)\n", "", f"{CON} -k without_a_service_token"),
    ("C-1", "_core/engine/context.py", "    return context.bind(outcome, wanted)\n", "    outcome.first = getattr(outcome, 'first', None) or context.bind(outcome, wanted)\n    return outcome.first\n", f"{CON} -k credentials_of_their_own"),
    ("C-3", "_core/connections/fetch.py", "look() or await ask()", "await ask()", f"{CON} -k just_ended"),
    ("C-3", "_core/identity/verify.py", "        if known is not None:  # by a call", "        if False:  # by a call", f"{CON} -k just_ended"),
    ("C-3", "_core/connections/fetch.py", "if not _is_personal(outcome) or _credentials(boarded.caller) == _credentials(caller):", "if True:", f"{CON} -k bad_leader"),
    ("C-3", "_core/connections/fetch.py", "if not _is_personal(outcome) or _credentials(boarded.caller) == _credentials(caller):", "if _credentials(boarded.caller) == _credentials(caller):", f"{CON} -k shared_by_all"),
    ("C-4", "_core/connections/memory.py", " or self._last_end(entry) >= asked:", ":", f"{CON} -k never_served"),
    ("C-4", "_core/connections/fetch.py", "ended = memory.last_end(wanted.connector, entry)", "ended = 0.0", f"{CON} -k never_served"),
    ("C-4", "_core/engine/endings.py", "    finally:  # what was asked for meanwhile may be the old one\n        memory.end(connector_id, user.id, connecting=away)\n", "    finally:\n", f"{CON} -k never_served"),
    ("C-4", "_core/engine/endings.py", "        away = CONNECTING if connecting else None\n", "", f"{STO} -k taken_to_connect"),
    ("C-4", "_core/engine/endings.py", "timeout + _ON_THE_WAY if connecting else None", "timeout + _ON_THE_WAY if False else None", f"{STO} -k taken_to_connect"),
    ("C-4", "_core/connections/renewals.py", " or last.record.asked <= ended:", ":", f"{REN} -k before_it_ended"),
    ("C-4", "_core/connections/memory.py", "if kept is None or kept.asked <= asked:", "if True:", f"{STO} -k does_not_overtake"),
    ("C-4", "_core/connections/fetch.py", " and connections.is_current(entry, looked.record)", "", f"{STO} -k store_was_down_does_not"),
    ("C-4", "_core/connections/fetch.py", " and connections.is_current(entry, record)", "", f"{STO} -k store_was_down_does_not"),
    ("C-4", "_core/connections/memory.py", "if self._connecting.get((entry.connector, user), 0.0) > asked:", "if False:", f"{CON} -k another_account"),
    ("C-5", "_core/connections/fetch.py", "    if fresh:\n        outcome = await ask()", "    if False:\n        outcome = await ask()", f"{CON} -k joins_nobody"),
    ("C-5", "_core/guards/admit.py", "missing = identifiers if fresh else", "missing =", f"{CON} -k outer_guard"),
    ("C-5", "_core/connections/memory.py", "if size > _MOST_BYTES // 16 or", "if", f"{CON} -k bounded"),
    ("B-1", "_core/provider_auth.py", """if parts.scheme != "https" and not""", "if not parts.scheme and not", f"{REN} -k token_may_go"),
    ("B-1", "_core/provider_auth.py", "if hosts is not None and not any(", "if False and not any(", f"{REN} -k token_may_go"),
    ("B-2", "_core/provider_auth.py", "        request.content  # noqa: B018 - a body that was streamed is gone, and says so\n", "        pass\n", f"{REN} -k streamed"),
    ("B-3", "_core/connections/fetch.py", "await identify(io, connections.identity, caller, fresh=True)", "pass", f"{REN} -k cannot_be_renewed"),
    ("B-4", "_core/connections/renewals.py", "return left if left > 0 else None", "return None", f"{REN} -k always_says_no"),
    ("B-5", "_core/connections/renewals.py", "return last.record if used.fingerprint == last.dead and", "return last.record if False and", f"{REN} -k fifty_callers"),
    ("B-6", "_core/engine/context.py", "    if context.closed:\n", "    if False:\n", f"{REN} -k was_closed"),
    ("B-7", "_core/provider_auth.py", " and sent == used.token.bearer()", "", f"{BRI} -k another_host"),
    ("B-8", "bridges/_requests.py", "        if not _put_back(response.request.body, position):\n            return response\n", "", f"{BRI} -k body_that_is_gone"),
    ("G-1", "_core/config.py", "        if found is None and known and connector not in known.values():", "        if False:", "tests/conformance/test_behaviour.py -k never_becomes_an_id"),
    ("G-2", "starlette/guards.py", "    if is_decorator(dependency):", "    if False:", "tests/adapters/test_mistakes.py -k fastapi"),
    ("G-3", "_core/replies/reply.py", '{**refusal.headers, "Vary"', '{"Vary"', "tests/conformance/test_refusals.py -k guards_and_errors"),
    ("G-3", "_core/replies/refusal.py", "    if (found.status_code or 0) < 300:", "    if False:", "tests/conformance/test_refusals.py -k forgotten"),
    ("G-3", "_core/replies/refusal.py", "    except Exception:", "    except ZeroDivisionError:", "tests/conformance/test_refusals.py -k leaves_it_to_us"),
    ("G-4", "django/rest_framework.py", "        except (Base44Error, ConfigurationError) as error:", "        except Base44Error as error:", "tests/adapters/test_rest_framework.py -k guards_table"),
    ("G-4", "django/ninja.py", "            return run(self._admit(BLOCKING, context))\n        except (Base44Error, ConfigurationError) as error:", "            return run(self._admit(BLOCKING, context))\n        except Base44Error as error:", "tests/adapters/test_ninja.py -k guards_table"),
    ("G-4", "django/replies.py", "for kind in (Base44Error, ConfigurationError) if", "for kind in (Base44Error,) if", "tests/adapters/test_ninja.py -k guards_table"),
    ("G-4", "_core/guards/decorate.py", "        except (Base44Error, ConfigurationError) as error:", "        except Base44Error as error:", f"{GU} -k not_configured"),
    ("G-5", "pytest_plugin.py", "    if unused:", "    if False:", "tests/core/test_plugin.py -k fixtures_do"),
    ("G-5", "testing/_stage.py", "            forget()\n            try:", "            try:", "tests/core/test_plugin.py -k fixtures_do"),
    ("B-8", "bridges/_requests.py", "        body.seek(position)\n", "        pass\n", f"{BRI} -k put_back"),
    ("B-9", "bridges/_requests.py", "used = self._newest.authorize(r)", "used = self._newest.record; r.headers['Authorization'] = used.token.bearer()", f"{BRI} -k may_not_go"),
    ("C-6", "_core/connections/sealing.py", "    return spot.bound + generation\n", "    return spot.bound\n", f"{STO} -k should_not_hold"),
    ("C-6", "_core/connections/sealing.py", "self._aead(hmac.digest(self._seals, value.encode(), \"sha256\"))", "self._aead(self._seals)", f"{STO} -k key_of_its_own"),
    ("C-6", "_core/connections/sealing.py", "if not -_SKEW <= age < ttl + _SKEW:", "if False:", f"{STO} -k too_old"),
    ("C-6", "_core/connections/sealing.py", "self._name(*self._scope, *whose)", "self._name(*whose)", f"{STO} -k not_shared"),
    ("C-6", "_core/connections/store.py", "        for sealing in self._sealings:\n            spot = sealing.spot(entry)\n            mark", "        for sealing in self._sealings[:1]:\n            spot = sealing.spot(entry)\n            mark", f"{STO} -k two_secrets"),
    ("C-6", "_core/config.py", ' or "secret" in self._borrowed', "", f"{STO} -k settings_that"),
    ("C-7", "_core/connections/store.py", "if redis.call('GET', KEYS[3]) ~= ARGV[1] then return 0 end\nredis.call('DEL', KEYS[3])", "redis.call('DEL', KEYS[3])", f"{STO} -k too_late"),
    ("C-7", "_core/connections/store.py", "redis.call('EXISTS', KEYS[4], KEYS[5])}", "redis.call('EXISTS', KEYS[4])}", f"{STO} -k while_a_user_connects"),
    ("C-7", "_core/connections/store.py", "            io.begin(lambda: leave(0, trips=False))\n", "", f"{STO} -k leader"),
    ("C-7", "_core/connections/store.py", "self._renewing if renewing else self._nonce", "self._nonce", f"{STO} -k does_not_overtake"),
    ("C-8", "_core/connections/store.py", "redis.call('DEL', KEYS[2])\nredis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])", "redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])\nredis.call('DEL', KEYS[2])", f"{STO} -k learns_of_an_end"),
    ("C-8", "_core/connections/breaker.py", "            self._closed.set()\n            self.is_open = False\n", "            self._closed.set()\n", f"{STO} -k closed_while_it_was_down"),
    ("C-7", "_core/connections/store.py", " or redis.call('EXISTS', KEYS[4]) == 1 then", " then", f"{STO} -k ends_it_everywhere"),
    ("C-7", "_core/connections/store.py", "if failed or waited >= patience:", "if waited >= patience:", f"{STO} -k nobody_queues"),
    ("C-7", "_core/connections/store.py", "or holder == ARGV[1] or ARGV[5]", "or ARGV[5]", f"{STO} -k wait_for_itself"),
    ("C-7", "_core/connections/store.py", "os.urandom(16) if fresh else", "self._nonce if fresh else", f"{STO} -k fresh_takes"),
    ("C-8", "_core/connections/known.py", "(self.store.breaker.is_open and entry.user_id is None)", "self.store.breaker.is_open", f"{STO} -k frozen_and_lost"),
    ("C-8", "_core/connections/known.py", "self.memory.get(entry, _WITHOUT_STORE)", "self.memory.get(entry)", f"{STO} -k five_seconds"),
    ("C-9", "_core/urls.py", 'if option.lower() not in ("required", "true", "1"):', "if False:", f"{STO} -k settings_that"),
    ("C-9", "_core/connections/redis_clients.py", 'if ca_file is not None and', "if False and", f"{STO} -k over_tls"),
    ("S-1", "_core/transport/exchange.py", " or _holds_octets(getattr(found, \"_network_stream\", None))", "", "tests/core/test_surplus.py -k over_tls"),
    ("S-1", "_core/transport/exchange.py", "if queue or (records", "if (records", "tests/core/test_surplus.py -k read_in_part"),
    ("S-1", "_core/transport/exchange.py", "any(h11.trailing_data)", "h11.trailing_data[0]", "tests/core/test_surplus.py -k over_tls"),
    ("S-2", "_core/transport/aiohttp_client.py", "            protocol.abort()\n        super()._release", "            pass\n        super()._release", f"{CORE.format('http_client')} -k gives_up"),
    ("S-2", "_core/transport/aiohttp_client.py", "            error.__traceback__ = None\n", "", f"{CORE.format('http_client')} -k gives_up"),
    ("S-2", "_core/transport/aiohttp_client.py", "                _check_framing(answer)\n", "", f"{CORE.format('http_client')} -k read_alike"),
    ("S-2", "_core/transport/aiohttp_client.py", "self._closed or self._loop.is_closed()", "self._closed", f"{CORE.format('http_client')} -k left_open"),
    ("S-3", "_core/urls.py", "return value if is_plain else str.__str__(value)", "return value", f"{CORE.format('clients')} -k members_of_an_enum"),
    ("S-3", "_core/urls.py", "type(value) is str and value.isalnum()", "value.isalnum()", f"{CORE.format('clients')} -k members_of_an_enum"),
    ("S-3", "_core/platform/io.py", "        task.add_done_callback(lambda _: ended())\n", "", f"{CORE.format('jwks')} -k blocks_nobody"),
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
        if path.name == "_async.py":
            subprocess.run([sys.executable, "scripts/unasync.py"], cwd=copy, check=True)
        files, _, selection = tests.partition(" -k ")
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-x",
            "-p",
            "no:cacheprovider",
            "--timeout",
            "120",
            *files.split(),
        ]
        command += ["-k", selection] if selection else []
        environment = {**os.environ, "PYTHONPATH": str(copy / "src")}
        done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True)
        assert done.returncode in (0, 1), f"{case}, {module}: no test ran, or none could\n{done.stdout}{done.stderr}"
        return done.returncode == 0


def outcome(entry: tuple[str, str, str, str, str]) -> bool:
    left = survives(*entry)
    print(f"{entry[0]:5} {'SURVIVES' if left else 'caught':9} {entry[1]:36} {entry[4]}", flush=True)
    return left


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", help="the cases to take out, by default all")
    parser.add_argument("--jobs", type=int, default=1, help="how many at the same time")
    options = parser.parse_args()
    wanted = [entry for entry in OUT if not options.cases or entry[0] in options.cases]
    with ThreadPoolExecutor(options.jobs) as pool:
        left = sum(pool.map(outcome, wanted))
    print(
        f"{left} of {len(wanted)} can be taken out unnoticed"
        if left
        else f"none of {len(wanted)} can be taken out unnoticed"
    )
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main())
