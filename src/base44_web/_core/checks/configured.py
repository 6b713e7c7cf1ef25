"""What can be said of settings, and of environment variables, without asking anybody."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

from ..config import Settings
from ..secret import Secret
from ..urls import is_loopback, is_loopback_url
from .finding import Finding

_SHORTEST: Final = 32  # characters of a secret that seals


def check_variables() -> Iterator[Finding]:
    """Names in the environment that begin as our variables do, and are none: nobody reads them."""
    for name, near in Settings.unread():
        yield Finding(
            "W005",
            f"{name} is no setting, and is not read.",
            "Unset it, or look for its name in docs/settings.md." if near is None else f"Did you mean {near}?",
        )


def check_settings(settings: Settings, framework_keys: tuple[Secret, ...] = ()) -> Iterator[Finding]:
    """What is allowed, and yet seldom meant.

    Args:
        settings: whole ones; what is wrong with others is a `ConfigurationError`.
        framework_keys: the framework's own secret keys, which stand in for `secret`.
    """
    yield from _check_roles(settings)
    yield from _check_verification(settings)
    yield from _check_secret(settings, framework_keys)
    yield from _check_stores(settings)


def _check_roles(settings: Settings) -> Iterator[Finding]:
    if settings.app_user_connectors and settings.app_url is None and not is_loopback_url(settings.server_url):
        yield Finding(
            "W003",
            f"Connecting goes to {settings.server_url}, which providers answer with redirect_uri_mismatch.",
            "Set app_url (BASE44_APP_URL) to the app's own origin, such as https://my-app.base44.app.",
        )
    if settings.service_token is None and settings.platform_headers == "ignore":
        yield Finding(
            "I001",
            "There is no service role: users are known, and can connect and disconnect, but no token is fetched.",
            "Let a relay bring one (base44-web relay init), or set service_token (BASE44_SERVICE_TOKEN).",
        )


def _check_verification(settings: Settings) -> Iterator[Finding]:
    if settings.verification == "none":
        yield Finding(
            "W010",
            'verification is "none": nobody verifies who is asking, so guards let nobody pass.',
            'Set verification (BASE44_VERIFICATION) to "platform", or to "keys".',
        )
    if settings.verification == "keys":
        yield Finding(
            "I005",
            f'With verification="keys" AppUser.id is the claim {settings.id_claim}; with "platform" the record\'s ID.',
            "Keep to one of the two where you store it, or set id_claim (BASE44_ID_CLAIM) to a claim with that ID.",
        )
    if settings.development:
        here = is_loopback_url(settings.server_url)
        yield Finding(
            "I002" if here else "W011",
            "development is on: the local dev server's published secret counts"
            + (", with which everybody can sign." if here else " on loopback alone, and your platform is elsewhere."),
            "Unset development (BASE44_DEVELOPMENT) everywhere but on a developer's machine.",
        )


def _check_secret(settings: Settings, framework_keys: tuple[Secret, ...]) -> Iterator[Finding]:
    if settings.secret and settings.secret == framework_keys:
        if "session" in settings.token_sources:
            yield Finding(
                "I003",
                "The framework's own secret key seals the session: servers with another key know nobody.",
                "Set secret (BASE44_SECRET) where several servers, or another framework, share the users.",
            )
    elif any(len(secret.reveal()) < _SHORTEST for secret in settings.secret):
        yield Finding(
            "W009",
            f"secret is shorter than {_SHORTEST} characters: it can seal nothing.",
            "Make one: python -c 'import secrets; print(secrets.token_urlsafe(32))'",
        )


def _check_stores(settings: Settings) -> Iterator[Finding]:
    for name, address in stores(settings):
        if _is_plain(address):
            yield Finding(
                "W012",
                f"{name} goes to another machine unencrypted (redis://).",
                f"Write rediss:// in {name} (BASE44_{name.upper()}); ca_file names an authority of your own.",
            )
    if settings.platform_headers == "signed" and not any(
        name == "replay_store" and is_redis(address) for name, address in stores(settings)
    ):
        yield Finding(
            "I004",
            "Signed requests are noted in a file: on another machine each would count once more.",
            "With several machines, set replay_store (BASE44_REPLAY_STORE) to a Redis that they share.",
        )


def stores(settings: Settings) -> Iterator[tuple[str, Secret]]:
    """The stores in use that have an address, by the setting's name."""
    for name, in_use in (("replay_store", settings.platform_headers == "signed"), ("connection_store", True)):
        address: object = getattr(settings, name, None)  # connection_store can be factories, which tell nothing
        if in_use and isinstance(address, Secret):
            yield name, address


def is_redis(address: Secret) -> bool:
    """Whether an address is a Redis, and no file."""
    return address.reveal().startswith(("redis:", "rediss:", "unix:"))


def _is_plain(address: Secret) -> bool:
    # No local holds the address: a traceback would show its password.
    return address.reveal().startswith("redis:") and not is_loopback(urlsplit(address.reveal()).hostname or "")
