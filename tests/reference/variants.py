"""The variants: header lines as octets, what becomes of them here, and the row of the docs where the reference differs.

What becomes of a variant is one text for three calls: `user()`, `connect_app_user` and `get_connection`. `sent` where all
reach the platform; an error's code where all end with it before that; else one word for each of the three.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

APP_ID: Final = "69e6a1c2d3f4b5a697886900"
JWT: Final = b"eyJhbGciOiJFUzI1NiJ9.e30.sig-_n"
OTHER_JWT: Final = b"eyJhbGciOiJFUzI1NiJ9.e30.other"
EXPIRED: Final = b"eyJhbGciOiJFUzI1NiJ9.eyJleHAiOjF9.sig"

SENT: Final = "sent"
MALFORMED: Final = "malformed_authorization"
NOBODY: Final = "nobody, no_token, sent"
DEAD: Final = "dead_token, sent, sent"
# The server refuses the octets before any app sees them, with a 4xx or by closing the connection.
SERVER: Final = "the server refuses"
# The platform is asked, but something else than under other servers.
OTHERWISE: Final = "sent otherwise"

# --- under which servers something else becomes of a variant, and why

# uvicorn with h11, and hypercorn, which is built on it: it lets control characters but NUL, VT, FF, CR and LF through.
H11_LETS_THROUGH: Final = {"h11": MALFORMED, "hypercorn": MALFORMED}
# h11 joins folded lines with a blank, as RFC 9112 §5.2 lets a server do.
H11_UNFOLDS: Final = {"h11": SENT, "hypercorn": SENT}
# A recipient may take a lone LF for the end of a line (RFC 9112 §2.2): what is behind it is a header of its own.
LF_ENDS_A_LINE: Final = {"h11": SENT, "hypercorn": SENT, "granian": SENT}
# gunicorn refuses a header line of more than 8190 octets, unless it is told otherwise (limit_request_field_size).
GUNICORN_LIMITS: Final = {"gunicorn": SERVER}
# granian gives a WSGI app an empty text for a value with octets beyond ASCII.
GRANIAN_EMPTIES: Final = "granian-wsgi"
# Under WSGI `Base44_State` is `Base44-State`; gunicorn and Django drop such names, granian lets the last one win.
GRANIAN_UNDERSCORES: Final = "granian-wsgi"


def joined(became: str) -> dict[str, str]:
    """Under WSGI, and in Django's `META` under ASGI too, a header that came twice is one with a comma."""
    return {"django": became, "flask": became}


@dataclass(frozen=True)
class Variant:
    """One request.

    Attributes:
        name: of the test.
        lines: header lines in place of the usual ones of those names; `{named}` and the like are filled in.
        ours: what becomes of it here.
        row: the row of docs/reference-client.md, where the reference client does otherwise.
        without: usual headers to leave out too.
        servers: what becomes of it under some servers, by a part of their names, where that is otherwise; the
            constants below say why.
        answer: how the recorder answers, if not as usual.
    """

    name: str
    lines: tuple[bytes, ...]
    ours: str
    row: str | None = None
    without: tuple[str, ...] = ()
    servers: Mapping[str, str] = field(default_factory=dict)
    answer: str = ""


# The rows of docs/reference-client.md, section "What comes in".
STRICTER: Final = {
    "anonymous-me", "app-twice", "control-characters", "long-token", "no-app-id", "no-jwt", "odd-service", "odd-token",
    "other-app", "other-url", "state-characters", "state-comma", "state-twice", "url-path",
}  # fmt: skip
LAXER: Final = {"bare-bearer", "default-url", "no-headers", "scheme-case", "url-slash"}


def auth(name: str, value: bytes, ours: str, row: str | None = None, **other: object) -> Variant:
    return Variant(name, (b"Authorization: " + value,), ours, row, **other)  # type: ignore[arg-type]


AUTHORIZATION: Final = (
    # --- as it should be, and as HTTP lets it be written
    auth("usual", b"Bearer " + JWT, SENT),
    Variant("no blank behind the colon", (b"Authorization:Bearer " + JWT,), SENT),
    auth("blanks before", b"    Bearer " + JWT, SENT),
    auth("tab before", b"\tBearer " + JWT, SENT),
    auth("blanks behind", b"Bearer " + JWT + b"   ", SENT),
    auth("tab behind", b"Bearer " + JWT + b"\t", SENT),
    auth("blanks and tabs around", b" \t Bearer " + JWT + b" \t ", SENT),
    Variant("name in lower case", (b"authorization: Bearer " + JWT,), SENT),
    Variant("name in upper case", (b"AUTHORIZATION: Bearer " + JWT,), SENT),
    auth("scheme in lower case", b"bearer " + JWT, SENT, "scheme-case"),
    auth("scheme in upper case", b"BEARER " + JWT, SENT, "scheme-case"),
    auth("scheme in mixed case", b"bEaReR " + JWT, SENT, "scheme-case"),
    auth("padding", b"Bearer " + JWT + b"==", SENT),
    auth("all of b64token", b"Bearer eyJhbGciOiJFUzI1NiJ9.e30.a~b+c/d-_=", SENT),
    auth("unsecured JWT", b"Bearer eyJhbGciOiJub25lIn0.e30.", SENT),
    auth("8150 octets", b"Bearer " + JWT + b"x" * (8150 - 7 - len(JWT)), SENT),
    auth("8192 octets", b"Bearer " + JWT + b"x" * (8192 - 7 - len(JWT)), SENT, servers=GUNICORN_LIMITS),
    # --- nobody
    Variant("none", (), NOBODY, "anonymous-me"),
    Variant("Proxy-Authorization alone", (b"Proxy-Authorization: Bearer " + JWT,), NOBODY, "anonymous-me"),
    Variant("a cookie alone", (b"Cookie: base44_access_token=" + JWT,), NOBODY, "anonymous-me"),
    auth("scheme alone", b"Bearer", NOBODY, "bare-bearer"),
    auth("scheme and a blank", b"Bearer ", NOBODY, "bare-bearer"),
    auth("scheme and a tab", b"Bearer\t", NOBODY, "bare-bearer"),
    auth("scheme and blanks", b"Bearer    ", NOBODY, "bare-bearer"),
    # --- no bearer
    Variant("empty", (b"Authorization:",), MALFORMED),
    auth("blanks", b"   ", MALFORMED),
    auth("a tab", b"\t", MALFORMED),
    auth("two blanks between", b"Bearer  " + JWT, MALFORMED),
    auth("a tab between", b"Bearer\t" + JWT, MALFORMED),
    auth("a blank and a tab between", b"Bearer \t" + JWT, MALFORMED, "odd-token"),
    auth("nothing between", b"Bearer" + JWT, MALFORMED),
    auth("a colon between", b"Bearer:" + JWT, MALFORMED),
    auth("a colon and a blank between", b"Bearer: " + JWT, MALFORMED),
    auth("an equals sign between", b"Bearer=" + JWT, MALFORMED),
    auth("no scheme", JWT, MALFORMED),
    auth("Basic", b"Basic dXNlcjpwYXNz", MALFORMED),
    auth("Basic alone", b"Basic", MALFORMED),
    auth("Digest", b'Digest username="Mufasa", realm="a"', MALFORMED),
    auth("Token", b"Token " + JWT, MALFORMED),
    auth("JWT", b"JWT " + JWT, MALFORMED),
    auth("scheme twice", b"Bearer Bearer " + JWT, MALFORMED),
    auth("a word behind", b"Bearer " + JWT + b" extra", MALFORMED),
    auth("a challenge", b'Bearer realm="a", error="invalid_token"', MALFORMED),
    auth("the whole in quotes", b'"Bearer ' + JWT + b'"', MALFORMED),
    auth("JSON alone", b'{"token":"' + JWT + b'"}', MALFORMED),
    # --- what pages send that have no token
    auth("null", b"Bearer null", MALFORMED, "odd-token"),
    auth("undefined", b"Bearer undefined", MALFORMED, "odd-token"),
    auth("Null", b"Bearer Null", DEAD, "no-jwt"),
    auth("None", b"Bearer None", DEAD, "no-jwt"),
    auth("false", b"Bearer false", DEAD, "no-jwt"),
    auth("an object as text", b"Bearer [object Object]", MALFORMED),
    auth("a promise as text", b"Bearer [object-Promise]", MALFORMED, "odd-token"),
    # --- tokens that are no JWT, or a dead one
    auth("abc", b"Bearer abc", DEAD, "no-jwt"),
    auth("two parts", b"Bearer eyJhbGciOiJFUzI1NiJ9.e30", DEAD, "no-jwt"),
    auth("five parts", b"Bearer " + JWT + b".c.d", DEAD, "no-jwt"),
    auth("dots", b"Bearer ..", DEAD, "no-jwt"),
    auth("expired", b"Bearer " + EXPIRED, DEAD, "no-jwt"),
    auth("padding alone", b"Bearer =", MALFORMED, "odd-token"),
    auth("padding in the middle", b"Bearer a=b", MALFORMED, "odd-token"),
    # --- characters
    auth("quotes", b'Bearer "' + JWT + b'"', MALFORMED, "odd-token"),
    auth("single quotes", b"Bearer '" + JWT + b"'", MALFORMED, "odd-token"),
    auth("angle brackets", b"Bearer <" + JWT + b">", MALFORMED, "odd-token"),
    auth("JSON", b'Bearer {"token":"' + JWT + b'"}', MALFORMED, "odd-token"),
    auth("a parameter", b"Bearer token=" + JWT, MALFORMED, "odd-token"),
    auth("a comma at the end", b"Bearer " + JWT + b",", MALFORMED, "odd-token"),
    auth("a comma inside", b"Bearer " + JWT + b",x", MALFORMED, "odd-token"),
    auth("a semicolon", b"Bearer " + JWT + b";", MALFORMED, "odd-token"),
    auth("a colon inside", b"Bearer user:pass", MALFORMED, "odd-token"),
    auth("an at sign", b"Bearer a@b", MALFORMED, "odd-token"),
    auth("an exclamation mark", b"Bearer " + JWT + b"!", MALFORMED, "odd-token"),
    auth("percent-encoded", b"Bearer " + JWT + b"%20", MALFORMED, "odd-token"),
    auth("a backslash", b"Bearer " + JWT + b"\\n", MALFORMED, "odd-token"),
    auth("latin-1", b"Bearer " + JWT + b"\xe9", MALFORMED, "odd-token"),
    auth("UTF-8", "Bearer naïve-日本-🙂".encode(), MALFORMED, "odd-token"),
    auth("octet 80", b"Bearer " + JWT + b"\x80", MALFORMED, "odd-token"),
    auth("octet FF", b"Bearer " + JWT + b"\xff", MALFORMED, "odd-token"),
    auth("a next line behind", b"Bearer " + JWT + b"\x85", MALFORMED, "odd-token"),
    auth("a no-break space behind", b"Bearer " + JWT + b"\xa0", MALFORMED, "odd-token"),
    auth("a no-break space before", b"\xa0Bearer " + JWT, MALFORMED),
    auth("a no-break space between", b"Bearer\xa0" + JWT, MALFORMED),
    auth("a byte order mark", b"\xef\xbb\xbfBearer " + JWT, MALFORMED),
    # --- control characters, of which none may be in a value (RFC 9110 §5.5)
    auth("octet 00", b"Bearer " + JWT + b"\x00", SERVER),
    auth("octet 01", b"Bearer " + JWT + b"\x01", SERVER, "control-characters", servers=H11_LETS_THROUGH),
    auth("octet 1F behind", b"Bearer " + JWT + b"\x1f", SERVER, "control-characters", servers=H11_LETS_THROUGH),
    auth("a vertical tab behind", b"Bearer " + JWT + b"\x0b", SERVER, "control-characters"),
    auth("a form feed behind", b"Bearer " + JWT + b"\x0c", SERVER, "control-characters"),
    auth("octet 7F", b"Bearer " + JWT + b"\x7f", SERVER, "control-characters", servers=H11_LETS_THROUGH),
    auth("a carriage return behind", b"Bearer " + JWT + b"\r", SERVER, "control-characters"),
    auth("a carriage return inside", b"Bearer " + JWT + b"\rx", SERVER),
    auth("a line feed inside", b"Bearer " + JWT + b"\nX-Other: 1", SERVER, servers=LF_ENDS_A_LINE),
    auth("folded between", b"Bearer\r\n " + JWT, SERVER, servers=H11_UNFOLDS),
    auth("folded behind", b"Bearer " + JWT + b"\r\n ", SERVER, "control-characters", servers=H11_UNFOLDS),
    Variant("a blank before the colon", (b"Authorization : Bearer " + JWT,), SERVER),
    # --- length
    auth("8193 octets", b"Bearer " + JWT + b"x" * (8193 - 7 - len(JWT)), MALFORMED, "long-token",
         servers=GUNICORN_LIMITS),
    auth("12000 octets", b"Bearer " + JWT + b"x" * 12000, MALFORMED, "long-token", servers=GUNICORN_LIMITS),
    # --- more than one
    auth("two in one", b"Bearer " + JWT + b", Bearer " + OTHER_JWT, MALFORMED),
    auth("two tokens in one", b"Bearer " + JWT + b"," + OTHER_JWT, MALFORMED, "odd-token"),
    auth("Basic and Bearer in one", b"Basic dXNlcjpwYXNz, Bearer " + JWT, MALFORMED),
    Variant("twice the same", (b"Authorization: Bearer " + JWT,) * 2, MALFORMED),
    Variant("two", (b"Authorization: Bearer " + JWT, b"authorization: Bearer " + OTHER_JWT), MALFORMED),
    Variant("two, one is Basic", (b"Authorization: Basic dXNlcjpwYXNz", b"Authorization: Bearer " + JWT), MALFORMED),
    Variant("two, the first is empty", (b"Authorization:", b"Authorization: Bearer " + JWT), MALFORMED),
    Variant("two, the second is empty", (b"Authorization: Bearer " + JWT, b"Authorization:"), MALFORMED),
    Variant("two, apart", (b"Authorization: Bearer " + JWT, b"X-Between: 1", b"Authorization: Bearer " + JWT), MALFORMED),
    # --- other places
    Variant("a cookie of another", (b"Authorization: Bearer " + JWT, b"Cookie: base44_access_token=" + OTHER_JWT), SENT),
    Variant("On-Behalf-Of", (b"Authorization: Bearer " + JWT, b"On-Behalf-Of: Bearer " + OTHER_JWT), SENT),
    Variant("a record without app_id", (b"Authorization: Bearer " + JWT,), "other_app, sent, sent", "no-app-id",
            answer="without app_id"),
)  # fmt: skip


def api_url(name: str, value: bytes, ours: str, row: str | None = None, **other: object) -> Variant:
    return Variant(f"api url, {name}", (b"Base44-Api-Url: " + value,), ours, row, **other)  # type: ignore[arg-type]


def app_id(
    name: str, value: bytes, ours: str = "app_id_mismatch", row: str | None = "other-app", **other: object
) -> Variant:
    return Variant(f"app id, {name}", (b"Base44-App-Id: " + value,), ours, row, **other)  # type: ignore[arg-type]


def service(name: str, value: bytes, ours: str, row: str | None = None, **other: object) -> Variant:
    return Variant(f"service, {name}", (b"Base44-Service-Authorization: " + value,), ours, row, **other)  # type: ignore[arg-type]


def state(name: str, value: bytes, ours: str = SENT, row: str | None = None, **other: object) -> Variant:
    return Variant(f"state, {name}", (b"Base44-State: " + value,), ours, row, **other)  # type: ignore[arg-type]


def env(name: str, *values: bytes) -> Variant:
    return Variant(f"env, {name}", tuple(b"X-Data-Env: " + value for value in values), SENT)


REFUSED_URL: Final = "api_url_not_allowed"
BAD_SERVICE: Final = "malformed_service_authorization"
DUPLICATE: Final = "duplicate_header"
NO_SERVICE: Final = "sent, sent, no_service_token"
_APP = APP_ID.encode()
_ALL = ("base44-app-id", "base44-api-url", "base44-service-authorization")

PLATFORM: Final = (
    Variant("usual", (), SENT),
    Variant("none of them", (), SENT, "no-headers", without=_ALL),
    Variant("names in upper case", (b"BASE44-APP-ID: " + _APP, b"BASE44-API-URL: {named}", b"BASE44-STATE: s"), SENT),
    # --- Base44-Api-Url
    Variant("api url, none", (), SENT, "default-url", without=("base44-api-url",)),
    api_url("empty", b"", SENT, "default-url"),
    api_url("blanks", b"   ", SENT, "default-url"),
    api_url("a slash", b"{named}/", SENT, "url-slash"),
    api_url("two slashes", b"{named}//", REFUSED_URL, "url-path"),
    api_url("a path", b"{named}/platform", REFUSED_URL, "url-path"),
    api_url("a query", b"{named}?a=b", REFUSED_URL, "url-path"),
    api_url("a fragment", b"{named}#a", REFUSED_URL, "url-path"),
    api_url("blanks around", b"  {named} \t", SENT),
    api_url("scheme in upper case", b"HTTP://127.0.0.1:{port}", SENT),
    api_url("another port", b"{other}", REFUSED_URL, "other-url"),
    api_url("no port", b"https://127.0.0.1", REFUSED_URL, "other-url"),
    api_url("zeros before the port", b"http://127.0.0.1:0{port}", SENT),
    api_url("address as a number", b"http://2130706433:{port}", REFUSED_URL, "other-url"),
    api_url("a dot behind the host", b"http://127.0.0.1.:{port}", REFUSED_URL, "other-url"),
    api_url("another host", b"https://platform.example", REFUSED_URL, "other-url"),
    api_url("the real platform", b"https://base44.app", REFUSED_URL, "other-url"),
    api_url("a user name", b"http://a@127.0.0.1:{port}", REFUSED_URL, "url-path"),
    api_url("a backslash", b"{named}\\@platform.example", REFUSED_URL, "url-path"),
    api_url("no scheme", b"127.0.0.1:{port}", REFUSED_URL),
    api_url("slashes for a scheme", b"//127.0.0.1:{port}", REFUSED_URL),
    api_url("null", b"null", REFUSED_URL),
    api_url("another scheme", b"file:///etc", REFUSED_URL),
    api_url("beyond ASCII", "https://plätform.example".encode(), REFUSED_URL, "other-url",
            servers={GRANIAN_EMPTIES: SENT}),
    Variant("api url, twice the same", (b"Base44-Api-Url: {named}",) * 2, DUPLICATE, servers=joined(REFUSED_URL)),
    Variant("api url, twice", (b"Base44-Api-Url: {named}", b"Base44-Api-Url: {other}"), DUPLICATE, servers=joined(REFUSED_URL)),
    Variant("api url, twice, one empty", (b"Base44-Api-Url: {named}", b"Base44-Api-Url:"), DUPLICATE, servers=joined(REFUSED_URL)),
    # --- Base44-App-Id
    Variant("app id, none", (), "app_id_missing", without=("base44-app-id",)),
    app_id("empty", b"", "app_id_missing", None),
    app_id("blanks around", b"  " + _APP + b"\t", SENT, None),
    app_id("another", b"69e6a1c2d3f4b5a697886999"),
    app_id("upper case", _APP.upper()),
    app_id("null", b"null"),
    app_id("a slash", _APP + b"/x"),
    app_id("a slash at its end", _APP + b"/"),
    app_id("a blank", _APP + b" x"),
    app_id("a tab", _APP + b"\tx"),
    app_id("two dots", b".."),
    app_id("percent-encoded dots", b"%2e%2e"),
    app_id("percent-encoded", _APP[:-1] + b"%30"),
    app_id("a question mark", _APP + b"?a=b"),
    app_id("a number sign", _APP + b"#a"),
    app_id("quotes", b'"' + _APP + b'"'),
    app_id("a semicolon", _APP + b";v=1"),
    app_id("latin-1", _APP + b"\xe9", servers={GRANIAN_EMPTIES: "app_id_missing"}),
    app_id("UTF-8", _APP + "日本".encode(), servers={GRANIAN_EMPTIES: "app_id_missing"}),
    app_id("129 characters", b"a" * 129),
    app_id("a comma", _APP + b"," + _APP),
    Variant("app id, twice the same", (b"Base44-App-Id: " + _APP,) * 2, DUPLICATE, "app-twice",
            servers=joined("app_id_mismatch")),
    Variant("app id, twice", (b"Base44-App-Id: " + _APP, b"Base44-App-Id: other"), DUPLICATE, "app-twice",
            servers=joined("app_id_mismatch")),
    # --- Base44-Service-Authorization
    Variant("service, none", (), NO_SERVICE, without=("base44-service-authorization",)),
    service("empty", b"", BAD_SERVICE),
    service("scheme alone", b"Bearer", NO_SERVICE, "bare-bearer"),
    service("scheme and a blank", b"Bearer ", NO_SERVICE, "bare-bearer"),
    service("blanks around", b" \t Bearer service.token \t", SENT),
    service("scheme in lower case", b"bearer service.token", SENT, "scheme-case"),
    service("no scheme", b"service.token", BAD_SERVICE),
    service("Basic", b"Basic dXNlcjpwYXNz", BAD_SERVICE),
    service("two blanks between", b"Bearer  service.token", BAD_SERVICE),
    service("quotes", b'Bearer "service.token"', BAD_SERVICE, "odd-service"),
    service("null", b"Bearer null", BAD_SERVICE, "odd-service"),
    service("undefined", b"Bearer undefined", BAD_SERVICE, "odd-service"),
    service("latin-1", b"Bearer service\xe9", BAD_SERVICE, "odd-service"),
    service("a comma", b"Bearer service.token,x", BAD_SERVICE, "odd-service"),
    service("8193 octets", b"Bearer " + b"x" * (8193 - 7), BAD_SERVICE, "odd-service", servers=GUNICORN_LIMITS),
    service("all of b64token", b"Bearer a~b+c/d-_.e==", SENT),
    service("two in one", b"Bearer service.token, Bearer other", BAD_SERVICE),
    Variant("service, twice", (b"Base44-Service-Authorization: Bearer service.token",) * 2, DUPLICATE,
            servers=joined(BAD_SERVICE)),
    # --- Base44-State
    state("usual", b"opaque=="),
    state("empty", b""),
    state("blanks", b"  \t"),
    state("JSON", b'{"a": ["b", 1]}', SENT, "state-comma", servers=joined(DUPLICATE)),
    state("odd characters", b"!\"#$%&'()*+-./:;<=>?@[\\]^_`{|}~"),
    state("blanks inside", b"a  b"),
    state("blanks around", b" \t a \t"),
    state("a comma", b"a,b", SENT, "state-comma", servers=joined(DUPLICATE)),
    state("a comma and a blank", b"a, b", SENT, "state-comma", servers=joined(DUPLICATE)),
    state("a tab inside", b"a\tb", "bad_state", "state-characters"),
    state("latin-1", b"caf\xe9", "bad_state", "state-characters", servers={GRANIAN_EMPTIES: SENT}),
    state("UTF-8", "日本".encode(), "bad_state", "state-characters", servers={GRANIAN_EMPTIES: SENT}),
    state("octet 80", b"a\x80", "bad_state", "state-characters", servers={GRANIAN_EMPTIES: SENT}),
    state("octet 01", b"a\x01", SERVER, "control-characters", servers={"h11": "bad_state", "hypercorn": "bad_state"}),
    state("4000 octets", b"s" * 4000),
    Variant("state, twice the same", (b"Base44-State: a",) * 2, DUPLICATE, "state-twice"),
    Variant("state, twice", (b"Base44-State: a", b"base44-state: b"), DUPLICATE, "state-twice"),
    # --- X-Data-Env
    env("dev", b"dev"),
    env("prod", b"prod"),
    env("blanks around", b"  dev\t"),
    env("capital", b"Dev"),
    env("another", b"staging"),
    env("empty", b""),
    env("quotes", b'"dev"'),
    env("a comma", b"dev,prod"),
    env("beyond ASCII", b"dev\xe9"),
    env("twice the same", b"dev", b"dev"),
    env("twice", b"dev", b"prod"),
    # --- what nobody sends again
    Variant("functions version", (b"Base44-Functions-Version: v9",), SENT),
    Variant("functions version, empty", (b"Base44-Functions-Version:",), SENT),
    Variant("functions version, twice", (b"Base44-Functions-Version: v9",) * 2, SENT),
    Variant("functions version, odd", (b"Base44-Functions-Version: \xe9,\t;",), SENT),
    Variant("app url", (b"X-Base44-App-Url: https://app.example",), SENT),
    Variant("X-App-Id", (b"X-App-Id: other",), SENT),
    # --- underscores
    Variant("underscores, app id beside", (b"Base44_App_Id: other",), SENT,
            servers={GRANIAN_UNDERSCORES: "app_id_mismatch"}),
    Variant("underscores, app id", (b"Base44_App_Id: " + _APP,), "app_id_missing",
            without=("base44-app-id",), servers={GRANIAN_UNDERSCORES: SENT}),
    Variant("underscores, api url beside", (b"Base44_Api_Url: {other}",), SENT,
            servers={GRANIAN_UNDERSCORES: REFUSED_URL}),
    Variant("underscores, service beside", (b"Base44_Service_Authorization: Bearer other",), SENT,
            servers={GRANIAN_UNDERSCORES: OTHERWISE}),
    Variant("underscores, state", (b"Base44_State: s",), SENT, servers={GRANIAN_UNDERSCORES: OTHERWISE}),
    Variant("underscores, env", (b"X_Data_Env: dev",), SENT, servers={GRANIAN_UNDERSCORES: OTHERWISE}),
)  # fmt: skip
