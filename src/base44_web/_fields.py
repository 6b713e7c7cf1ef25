"""Each field of the settings: how a given value or an environment string becomes the setting, and its default."""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final, Literal, TypeAlias, cast, get_args

from ._secret import Secret
from ._urls import check_identifier, is_safe_url, parse_origin

TokenSource: TypeAlias = Literal["header", "cookie", "session", "subprotocol"]
PlatformHeaders: TypeAlias = Literal["ignore", "trust", "signed"]
Verification: TypeAlias = Literal["platform", "keys", "none"]

_APP_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_COOKIE_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 6265 §4.1.1, a token
_PATH = re.compile(r"/(?!/)(?:(?![?#\\])[!-~])*")
_BEARER = re.compile(r"[A-Za-z0-9\-._~+/]+=*")  # RFC 6750 §2.1, b64token


def is_bearer_token(text: object) -> bool:
    """Whether `text` can be presented as a bearer token: RFC 6750 §2.1's `b64token`, so no space and no line break."""
    return isinstance(text, str) and _BEARER.fullmatch(text) is not None


def is_app_id(text: str) -> bool:
    """Whether `text` can be an app's ID; it goes into a path and a header."""
    return _APP_ID.fullmatch(text) is not None


def _words(value: object) -> list[str]:
    """A list setting: an iterable of strings, or one string with commas (the environment's form)."""
    if isinstance(value, str):
        return [word.strip() for word in value.split(",") if word.strip()]
    if not isinstance(value, Iterable):
        raise ValueError("must be a list of strings")
    words = list(cast(Iterable[object], value))
    if not all(isinstance(word, str) for word in words):
        raise ValueError("must be a list of strings")
    return cast(list[str], words)


def _app_id(value: object) -> str:
    if not isinstance(value, str) or not is_app_id(value):
        raise ValueError("must be the ID of a Base44 app: letters, digits, '-' and '_'")
    return value


def _app_ids(value: object) -> tuple[str, ...]:
    return tuple(_app_id(word) for word in _words(value))


def _origins(value: object) -> tuple[str, ...]:
    return tuple(parse_origin(word) for word in _words(value))


def _secret(value: object) -> Secret:
    # The value is not echoed: it is a credential.
    if not isinstance(value, Secret) or not is_bearer_token(value.reveal()):
        raise ValueError("must be a bearer token: no spaces, quotes or line breaks (is there one at its end?)")
    return value


def _pairs(value: object, example: str) -> Mapping[object, object]:
    """A mapping setting: a mapping, or one string (the environment's form)."""
    if isinstance(value, str):
        pairs = [word.partition("=") for word in _words(value)]
        if any(not equals for _, equals, _ in pairs):
            raise ValueError(f"must look like {example}")
        value = {name.strip(): text.strip() for name, _, text in pairs}
    if not isinstance(value, Mapping):
        raise ValueError(f"must be a mapping, or look like {example}")
    return cast(Mapping[object, object], value)


def _connectors(value: object) -> Mapping[str, str]:
    connectors = _pairs(value, "calendar=69e6…,mail=70a1…")
    for name, connector in connectors.items():
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise ValueError(f"has a bad name {name!r}: use letters, digits, '-' and '_', 64 at most")
        try:
            check_identifier(connector, "connector ID")
        except TypeError as error:
            raise ValueError(f"{name}: {error}") from None
    if len(set(connectors.values())) != len(connectors):
        raise ValueError("has one connector ID under two names")
    return MappingProxyType(cast(dict[str, str], dict(connectors)))


def _sources(value: object) -> tuple[TokenSource, ...]:
    words = _words(value)
    if any(word not in get_args(TokenSource) for word in words) or len(set(words)) != len(words):
        raise ValueError('must list "header" and, if wanted, "cookie", "session" and "subprotocol", each once')
    if words[:1] != ["header"]:
        raise ValueError('must begin with "header": a header always wins')
    return tuple(cast(list[TokenSource], words))


def _connector_types(value: object) -> Mapping[str, str]:
    types = _pairs(value, "calendar=googlecalendar,mail=gmail")
    for name, type_ in types.items():
        if not isinstance(name, str) or not isinstance(type_, str) or not type_.isprintable() or not type_.strip():
            raise ValueError(f"{name}: must be an integration type, or the name of a service")
    return MappingProxyType(cast(dict[str, str], dict(types)))


def _session_secrets(value: object) -> tuple[Secret, ...]:
    found = cast(tuple[object, ...], value) if isinstance(value, tuple) else (value,)
    # The values are not echoed: they are credentials. How long they must be is said once it is known that they count.
    if not found or not all(_is_secret_text(secret) for secret in found):
        raise ValueError("must be a string, or a list of them, the first of which seals")
    return cast(tuple[Secret, ...], found)


def _is_secret_text(value: object) -> bool:
    # What was given without types can be anything.
    return isinstance(value, Secret) and isinstance(cast(object, value.reveal()), str) and _is_encodable(value)


def _is_encodable(value: Secret) -> bool:
    # Here, where nothing raises it further: UnicodeEncodeError has the text in its arguments.
    try:
        value.reveal().encode()
    except UnicodeEncodeError:
        return False
    return True


def _cookie_name(value: object) -> str:
    if not isinstance(value, str) or not _COOKIE_NAME.fullmatch(value):
        raise ValueError("must be a cookie name (RFC 6265)")
    return value


def _connect_path(value: object) -> str:
    if not isinstance(value, str) or not _PATH.fullmatch(value):
        raise ValueError("must be a path on this server, such as /base44")
    return value.rstrip("/")


def _sign_in_url(value: object) -> str:
    if isinstance(value, str) and (_PATH.fullmatch(value.partition("?")[0]) or is_safe_url(value)):
        return value
    raise ValueError("must be a path on this server, or an https URL")


def _platform_headers(value: object) -> PlatformHeaders:
    if value not in get_args(PlatformHeaders):
        raise ValueError('must be "ignore", "trust" or "signed"')
    return cast(PlatformHeaders, value)


def _verification(value: object) -> Verification:
    if value not in get_args(Verification):
        raise ValueError('must be "platform", "keys" or "none"')
    return cast(Verification, value)


def _key(value: object) -> Secret:
    if not _is_secret_text(value) or not cast(Secret, value).reveal().strip():
        raise ValueError("must be a secret, a PEM, a JWK, or the https URL of a JWKS")
    if not _is_safe_if_url(cast(Secret, value)):
        raise ValueError("must be an https URL (http on loopback), without a user name")
    return cast(Secret, value)


def _is_safe_if_url(value: Secret) -> bool:
    text = value.reveal().strip()
    return not text.startswith(("https:", "http:")) or is_safe_url(text)


def _secret_text(value: object) -> Secret:
    # A Redis URL can hold a password.
    if not _is_secret_text(value) or not cast(Secret, value).reveal().strip():
        raise ValueError("must be the path of a file, or a redis URL")
    return cast(Secret, value)


def _names(value: object) -> tuple[str, ...]:
    return tuple(_words(value))


def _text(value: object) -> str:
    if not isinstance(value, str) or not value.strip() or not value.isprintable():
        raise ValueError("must be a text")
    return value


def _switch(value: object) -> bool:
    if isinstance(value, bool):
        return value
    if value not in ("0", "1", "true", "false"):
        raise ValueError('must be true or false (in the environment "1" or "0")')
    return value in ("1", "true")


def _relay_keys(value: object) -> Mapping[str, Secret]:
    # The values are not echoed: they are credentials.
    if not isinstance(value, Mapping):
        raise ValueError("must map key IDs to secrets, in the environment as id=secret,id=secret")
    keys = cast(Mapping[object, object], value)
    if not 1 <= len(keys) <= 2:
        raise ValueError("must have one key, or two while one takes the other's place")
    if not all(isinstance(name, str) and _NAME.fullmatch(name) for name in keys):
        raise ValueError("has a bad key ID: use letters, digits, '-' and '_', 64 at most")
    if not all(_is_long(secret) for secret in keys.values()):
        raise ValueError("has a secret of less than 32 bytes")
    return MappingProxyType(cast(dict[str, Secret], dict(keys)))


def _is_long(secret: object) -> bool:
    return _is_secret_text(secret) and len(cast(Secret, secret).reveal().encode()) >= 32


def _bytes(value: object) -> int:
    if isinstance(value, bool) or not str(value).isdigit() or not 0 < int(str(value)) <= 64 * 1024 * 1024:
        raise ValueError("must be a number of bytes, up to 64 MiB")
    return int(str(value))


def _seconds(value: object) -> float:
    try:
        seconds = float(value) if isinstance(value, (str, int, float)) and not isinstance(value, bool) else 0.0
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= 600:
        raise ValueError("must be a number of seconds, over 0 and up to 600")
    return seconds


def _ca_file(value: object) -> str:
    try:
        ssl.create_default_context(cafile=str(value))
    except (OSError, ValueError):
        raise ValueError("must be the path of a PEM file with certificates") from None
    return str(value)


def _count(value: object) -> int:
    if not isinstance(value, int | str) or isinstance(value, bool) or str(value) not in {str(n) for n in range(11)}:
        raise ValueError("must be a number from 0 to 10")
    return int(value)


def _ttl(value: object) -> float:
    return 0.0 if str(value) == "0" else _seconds(value)


FIELDS: Final[dict[str, tuple[Callable[[object], Any], Any]]] = {
    "app_id": (_app_id, None),
    "server_url": (parse_origin, "https://base44.app"),
    "app_url": (parse_origin, None),
    "service_token": (_secret, None),
    "app_user_connectors": (_connectors, MappingProxyType[str, str]({})),
    "connector_types": (_connector_types, MappingProxyType[str, str]({})),
    "token_sources": (_sources, ("header",)),
    "cookie_name": (_cookie_name, "base44_access_token"),
    "session_secret": (_session_secrets, ()),
    "allowed_origins": (_origins, ()),
    "connect_path": (_connect_path, None),
    "sign_in_url": (_sign_in_url, None),
    "platform_headers": (_platform_headers, "ignore"),
    "relay_keys": (_relay_keys, MappingProxyType[str, Secret]({})),
    "relay_audience": (_text, None),
    "relay_max_body": (_bytes, 1024 * 1024),
    "replay_store": (_secret_text, None),
    "allowed_api_urls": (_origins, ()),
    "allowed_app_ids": (_app_ids, ()),
    "timeout": (_seconds, 10.0),
    "connect_timeout": (_seconds, 2.0),
    "max_retries": (_count, 2),
    "ca_file": (_ca_file, None),
    "verification": (_verification, "platform"),
    "verification_key": (_key, None),
    "algorithms": (_names, ()),
    "audience": (_text, None),
    "issuer": (_text, None),
    "app_claim": (_text, None),
    "development": (_switch, False),
    "identity_ttl": (_ttl, 60.0),
}


_SECRET: Final = ("service_token", "session_secret", "verification_key", "replay_store")


def variable(name: str) -> str:
    """A field's environment variable."""
    return f"BASE44_{name.upper()}"


def veil_field(name: str, value: Any) -> Any:
    """Wrap a secret setting as soon as it is read, so that no error about it can show it."""
    if name == "relay_keys":
        return _veil_mapping(value)
    if name == "session_secret" and isinstance(value, list | tuple):
        return tuple(veil(each) for each in cast(Iterable[Any], value))
    return veil(value) if name in _SECRET else value


def _veil_mapping(value: Any) -> Any:
    if isinstance(value, str):  # the environment's form; what is no pair becomes a bad ID, which is not echoed
        return {name: Secret(text) for name, _, text in (word.partition("=") for word in _words(value))}
    if isinstance(value, Mapping):
        given = cast("Mapping[object, Any]", value)
        return {name: veil(each) for name, each in given.items()}
    return value if value is None else Secret(value)  # whatever it is; what is wrong with it is said later


def framework_keys(key: Any, fallbacks: Iterable[Any] | None) -> tuple[Secret, ...]:
    """A framework's own secret keys, which can be octets, as the secrets that seal a session."""
    keys = (key, *(fallbacks or ()))
    return tuple(Secret(each.decode("latin-1") if isinstance(each, bytes) else str(each)) for each in keys)


def veil(value: Any) -> Secret | None:
    """A credential that somebody gave, as a `Secret`, whatever it is: what is wrong with it is said later."""
    return value if value is None or isinstance(value, Secret) else Secret(value)
