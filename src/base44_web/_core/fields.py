"""What one field of the settings is, and how a given value or an environment string becomes its value.

Own code and not attrs: a setting also has an environment variable, a wrapper of what is secret, a line in the docs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from decimal import Decimal
from os import PathLike
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeAlias, TypeVar, cast, dataclass_transform, get_args

from .secret import Secret, as_secret
from .urls import check_identifier, is_safe_url, parse_origin, store_problem

TokenSource: TypeAlias = Literal["header", "cookie", "session", "subprotocol"]
PlatformHeaders: TypeAlias = Literal["ignore", "trust", "signed"]
Verification: TypeAlias = Literal["platform", "keys", "none"]
Factories: TypeAlias = tuple[Callable[[], Any], Callable[[], Any]]
HttpClient: TypeAlias = Literal["httpx2", "httpx", "aiohttp"]

_APP_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_COOKIE_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 6265 §4.1.1, a token
_PATH = re.compile(r"/(?!/)(?:(?![?#\\])[!-~])*")
_BEARER = re.compile(r"[A-Za-z0-9\-._~+/]+=*")  # RFC 6750 §2.1, b64token

Given = TypeVar("Given", contravariant=True)
Value = TypeVar("Value", covariant=True)
T = TypeVar("T")


class Setting(Generic[Given, Value]):
    """One field, declared once. Type checkers read it as a descriptor; at run time it is a slot (see `declared`).

    Args:
        parse: makes the value of what was given, or of an environment string; raises `ValueError`, whose text goes on
            from the setting's name.
        default: the value where nobody gives one.
        doc: its line in the docs.
        wrap: wraps credentials in `Secret` as soon as they are read; what is wrong with them is said later.
        one_app: whether it belongs to one app, so that several apps of one server never share the environment's.
        variable_form: what the environment variable looks like, where that is not plain.
        group: who thinks of it: nearly everybody, many, or few; the order of the docs.
    """

    name = ""

    def __init__(
        self,
        parse: Callable[[Any], Any],
        default: Any = None,
        *,
        doc: str,
        wrap: Callable[[Any], Any] | None = None,
        one_app: bool = False,
        variable_form: str | None = None,
        group: Literal["needed", "usual", "rare"] = "rare",
    ) -> None:
        self.parse = parse
        self.default = default
        self.doc = doc
        self.wrap = wrap
        self.one_app = one_app
        self.variable_form = variable_form
        self.group = group

    @property
    def variable(self) -> str:
        """The environment variable."""
        return f"BASE44_{self.name.upper()}"

    def wrapped(self, value: Any) -> Any:
        """A value that was read, its credentials wrapped."""
        return plain(value) if self.wrap is None else self.wrap(plain(value))

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    if TYPE_CHECKING:

        def __get__(self, instance: object, owner: type) -> Value: ...

        def __set__(self, instance: object, value: Given) -> None: ...


@dataclass_transform(kw_only_default=True)
def declared(cls: type[T]) -> type[T]:
    """The same class with a slot for each `Setting`, and all of them in `FIELDS`."""
    fields: dict[str, Setting[Any, Any]] = {
        name: value for name, value in vars(cls).items() if isinstance(value, Setting)
    }
    own_slots = cast(tuple[str, ...], vars(cls).get("__slots__", ()))
    others = {name: value for name, value in vars(cls).items() if name not in fields and name not in own_slots}
    content: dict[str, Any] = {**others, "__slots__": (*fields, *own_slots), "FIELDS": fields}
    make = cast(Any, type(cls))
    return cast(type[T], make(cls.__name__, cls.__bases__, content))


def is_bearer_token(text: object) -> bool:
    """Whether `text` can be presented as a bearer token: RFC 6750 §2.1's `b64token`, so no space and no line break."""
    return isinstance(text, str) and _BEARER.fullmatch(text) is not None


def is_app_id(text: str) -> bool:
    """Whether `text` can be an app's ID; it goes into a path and a header."""
    return _APP_ID.fullmatch(text) is not None


def plain(value: Any) -> Any:
    """A value as the parsers know it: people give lazy strings, paths, durations, and pydantic's URLs and secrets."""
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, PathLike):
        return str(cast(object, value))
    if callable(getattr(value, "get_secret_value", None)):
        return value.get_secret_value()
    if type(value).__name__ == "__proxy__" or type(value).__module__.startswith("pydantic"):
        return str(value)
    if isinstance(value, list | tuple):
        return [plain(each) for each in cast(list[Any], value)]
    return value


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


def app_id(value: object) -> str:
    if not isinstance(value, str) or not is_app_id(value):
        raise ValueError("must be the ID of a Base44 app: letters, digits, '-' and '_'")
    return value


def app_ids(value: object) -> tuple[str, ...]:
    return tuple(app_id(word) for word in _words(value))


def origins(value: object) -> tuple[str, ...]:
    return tuple(parse_origin(word) for word in _words(value))


def bearer_token(value: object) -> Secret:
    # The value is not echoed: it is a credential.
    if not isinstance(value, Secret) or not is_bearer_token(value.reveal()):
        raise ValueError("must be a bearer token: no spaces, quotes or line breaks (is there one at its end?)")
    return value


def _pairs(value: object, example: str) -> Mapping[object, object]:
    """A mapping setting: a mapping, or one string (the environment's form)."""
    if isinstance(value, str):
        pairs = [word.partition("=") for word in _words(value)]
        if any(not equals for _, equals, _ in pairs):
            raise ValueError(f"must look like {example}, as text (not JSON)")
        value = {name.strip(): word.strip() for name, _, word in pairs}
    if not isinstance(value, Mapping):
        raise ValueError(f"must be a mapping, or look like {example}")
    return cast(Mapping[object, object], value)


def connectors(value: object) -> Mapping[str, str]:
    found = _pairs(value, "calendar=69e6…,mail=70a1…")
    for name, connector in found.items():
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise ValueError(f"has a bad name {name!r}: use letters, digits, '-' and '_', 64 at most")
        try:
            check_identifier(connector, "connector ID")
        except TypeError as error:
            raise ValueError(f"{name}: {error}") from None
    if len(set(found.values())) != len(found):
        raise ValueError("has one connector ID under two names")
    return MappingProxyType(cast(dict[str, str], dict(found)))


def token_sources(value: object) -> tuple[TokenSource, ...]:
    words = _words(value)
    if any(word not in get_args(TokenSource) for word in words) or len(set(words)) != len(words):
        raise ValueError('must list "header" and, if wanted, "cookie", "session" and "subprotocol", each once')
    if words[:1] != ["header"]:
        raise ValueError('must begin with "header": a header always wins')
    return tuple(cast(list[TokenSource], words))


def connector_types(value: object) -> Mapping[str, str]:
    types = _pairs(value, "calendar=googlecalendar,mail=gmail")
    for name, type_ in types.items():
        if not isinstance(name, str) or not isinstance(type_, str) or not type_.isprintable() or not type_.strip():
            raise ValueError(f"{name}: must be an integration type, or the name of a service")
    return MappingProxyType(cast(dict[str, str], dict(types)))


def secrets(value: object) -> tuple[Secret, ...]:
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


def cookie_name(value: object) -> str:
    if not isinstance(value, str) or not _COOKIE_NAME.fullmatch(value):
        raise ValueError("must be a cookie name (RFC 6265)")
    return value


def connect_path(value: object) -> str:
    if not isinstance(value, str) or not _PATH.fullmatch(value):
        raise ValueError("must be a path on this server, such as /base44")
    return value.rstrip("/")


def sign_in_url(value: object) -> str:
    if isinstance(value, str) and (_PATH.fullmatch(value.partition("?")[0]) or is_safe_url(value)):
        return value
    raise ValueError("must be a path on this server, or an https URL")


def one_of(choices: object) -> Callable[[object], Any]:
    """Parses a word of a `Literal`."""
    *others, last = (f'"{word}"' for word in get_args(choices))

    def parse(value: object) -> object:
        if value not in get_args(choices):
            raise ValueError(f"must be {', '.join(others)} or {last}")
        return value

    return parse


def verification_key(value: object) -> Secret:
    if not _is_secret_text(value) or not cast(Secret, value).reveal().strip():
        raise ValueError("must be a secret, a PEM, a JWK, or the https URL of a JWKS")
    if not _is_safe_if_url(cast(Secret, value)):
        raise ValueError("must be an https URL (http on loopback), without a user name")
    return cast(Secret, value)


def _is_safe_if_url(value: Secret) -> bool:
    url = value.reveal().strip()
    return not url.startswith(("https:", "http:")) or is_safe_url(url)


def replay_store(value: object) -> Secret:
    # A Redis URL can hold a password.
    if not _is_secret_text(value) or not cast(Secret, value).reveal().strip():
        raise ValueError("must be the path of a file, or a redis URL")
    return cast(Secret, value)


def as_store(value: Any) -> Any:
    """An address can hold a password; what makes clients holds nothing to hide."""
    return as_secret(value) if isinstance(value, str) else value


def connection_store(value: object) -> Secret | Factories:
    if isinstance(value, Secret):
        problem = store_problem(value) if _is_secret_text(value) else "must be a text"
        if problem is not None:
            raise ValueError(problem)
        return value
    made = cast(list[Any], value) if isinstance(value, list | tuple) else []
    if len(made) != 2 or not all(callable(each) for each in made):
        raise ValueError("must be a redis URL, or a pair of functions that make a blocking and an awaiting client")
    return made[0], made[1]


def names(value: object) -> tuple[str, ...]:
    return tuple(_words(value))


def text(value: object) -> str:
    if not isinstance(value, str) or not value.strip() or not value.isprintable():
        raise ValueError("must be a text")
    return value


def switch(value: object) -> bool:
    if isinstance(value, bool):
        return value
    word = str(value).lower()
    if word not in ("0", "1", "true", "false", "yes", "no", "on", "off"):
        raise ValueError('must be true or false (in the environment "1" or "0")')
    return word in ("1", "true", "yes", "on")


def relay_keys(value: object) -> Mapping[str, Secret]:
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


def byte_count(value: object) -> int:
    if isinstance(value, bool) or not str(value).isdigit() or not 0 < int(str(value)) <= 64 * 1024 * 1024:
        raise ValueError("must be a number of bytes, up to 64 MiB")
    return int(str(value))


def seconds(value: object) -> float:
    try:
        number = float(value) if isinstance(value, (str, int, float)) and not isinstance(value, bool) else 0.0
    except ValueError:
        number = 0.0
    if not 0 < number <= 600:
        raise ValueError("must be a number of seconds, over 0 and up to 600")
    return number


def ca_file(value: object) -> str:
    import ssl  # slow to import, and most servers need no file

    try:
        ssl.create_default_context(cafile=str(value))
    except (OSError, ValueError):
        raise ValueError("must be the path of a PEM file with certificates") from None
    return str(value)


def count(value: object) -> int:
    if not isinstance(value, int | str) or isinstance(value, bool) or str(value) not in {str(n) for n in range(11)}:
        raise ValueError("must be a number from 0 to 10")
    return int(value)


def ttl(value: object) -> float:
    try:
        off = not isinstance(value, bool) and float(cast(float, value)) == 0
    except (TypeError, ValueError):
        off = False
    return 0.0 if off else seconds(value)


def short_ttl(value: object) -> float:
    if ttl(value) > 300:  # what is kept for longer is wrong for longer
        raise ValueError("must be 0, or a number of seconds up to 300")
    return ttl(value)


def as_secrets(value: Any) -> Any:
    """One credential or several, each wrapped; a text with commas is several, if each is long enough to be one."""
    if isinstance(value, str) and "," in value and all(len(part) >= 32 for part in value.split(",")):
        value = value.split(",")
    several = isinstance(value, list | tuple)
    return tuple(as_secret(each) for each in cast(Iterable[Any], value)) if several else as_secret(value)


def as_secret_mapping(value: Any) -> Any:
    """A mapping whose values are credentials, each wrapped."""
    if isinstance(value, str):  # the environment's form; what is no pair becomes a bad ID, which is not echoed
        return {name: Secret(word) for name, _, word in (pair.partition("=") for pair in _words(value))}
    if isinstance(value, Mapping):
        given = cast("Mapping[object, Any]", value)
        return {name: as_secret(plain(each)) for name, each in given.items()}
    return as_secret(value)


def framework_keys(key: Any, fallbacks: Iterable[Any] | None) -> tuple[Secret, ...]:
    """A framework's own secret keys, which can be octets, as secrets."""
    keys = (key, *(fallbacks or ()))
    return tuple(Secret(each.decode("latin-1") if isinstance(each, bytes) else str(each)) for each in keys)
