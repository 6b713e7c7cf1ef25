"""The clients of a `connection_store`: redis-py's for an address, or what the operator's factories make."""

from __future__ import annotations

from typing import Any, Final, final

from ...errors import ConfigurationError
from ..fields import Factories
from ..secret import Opaque, Secret

SECONDS: Final = 0.05  # for a command, and to connect: a store that takes longer is slower than the platform


@final
class _Made(Opaque):
    """Implements `pools.Factory` for Sentinel, Cluster, valkey-py and whatever has their methods."""

    def __init__(self, factories: Factories) -> None:
        self._make, self._make_async = factories

    def open(self) -> Any:
        return _checked(self._make())

    def open_async(self) -> Any:
        return _checked(self._make_async())


def _checked(made: Any) -> Any:
    if not hasattr(made, "eval"):
        raise ConfigurationError(f"A factory of connection_store made no client of a Redis, but {type(made).__name__}.")
    return made


@final
class _OfAddress(Opaque):
    """Implements `pools.Factory` for an address."""

    def __init__(self, address: Secret, ca_file: str | None) -> None:
        try:
            import redis

            # Here, and not at the first request: it takes a quarter of a second.
            import redis.asyncio  # pyright: ignore[reportUnusedImport]
        except ImportError:
            raise ConfigurationError('A connection_store needs redis: pip install "base44-web[store]".') from None
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        self._address = address
        # Without retries: by default the client takes 4.5 s to give up a server that stands still (redis-py 8.1).
        self._options: dict[str, Any] = {
            "socket_timeout": SECONDS,
            "socket_connect_timeout": SECONDS,
            "retry": Retry(NoBackoff(), 0),
        }
        if ca_file is not None and address.reveal().startswith("rediss:"):
            self._options["ssl_ca_certs"] = ca_file
        if hasattr(redis, "maint_notifications"):  # since 7.0; a notice would put its own timeout in place of ours
            from redis.maint_notifications import MaintNotificationsConfig

            self._options["maint_notifications_config"] = MaintNotificationsConfig(enabled=False)

    def open(self) -> Any:
        import redis

        return redis.Redis.from_url(self._address.reveal(), **self._options)  # pyright: ignore[reportUnknownMemberType]

    def open_async(self) -> Any:
        from redis.asyncio import Redis

        return Redis.from_url(self._address.reveal(), **self._options)  # pyright: ignore[reportUnknownMemberType]


def stores_of(setting: Secret | Factories, ca_file: str | None) -> _OfAddress | _Made:
    """What makes the clients that the setting means.

    Raises:
        ConfigurationError: the client is not installed.
    """
    return _OfAddress(setting, ca_file) if isinstance(setting, Secret) else _Made(setting)
