"""The connection's token in Azure's libraries."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any, Final, Self, final

from azure.core.credentials import AccessToken, AccessTokenInfo, TokenRequestOptions
from azure.core.exceptions import ClientAuthenticationError

from .._core.provider_auth import NewestToken, Record, tell
from .._core.secret import Opaque
from ..errors import Base44Error, ConfigurationError

_WINDOW: Final = 300  # seconds before its end from which azure-core asks for another (`_should_refresh_token`, 1.41)
_BY_HAND: Final = 3600  # seconds; nothing newer can be had


class _Credential(Opaque):
    def __init__(self, newest: NewestToken) -> None:
        self._newest = newest

    def _until(self) -> int:
        origin = self._newest.origin
        return int(time.time() + _WINDOW + (_BY_HAND if origin is None else origin.ttl))

    def _access(self, record: Record) -> AccessToken:
        # kiota takes exactly this, no subclass and no twin.
        return AccessToken(record.token.reveal(), self._until())

    def _info(self, record: Record) -> AccessTokenInfo:
        return AccessTokenInfo(record.token.reveal(), self._until())

    def _failed(self, error: Base44Error | ConfigurationError, claims: str | None) -> Record:
        # Others that were refused the token before may have had it renewed, and nobody says which one was refused here.
        if claims is not None and error.code == "renewed_already":
            return self._newest.record
        if claims is not None:
            tell(self._newest.record, error)
        raise ClientAuthenticationError(message=str(error)) from error


@final
class AzureCredential(_Credential):
    """See `azure_credential`: `TokenCredential` and `SupportsTokenInfo` of azure-core."""

    def get_token(
        self,
        *scopes: str,
        claims: str | None = None,
        tenant_id: str | None = None,
        enable_cae: bool = False,
        **kwargs: Any,
    ) -> AccessToken:
        """The newest token.

        Args:
            scopes: what the app user has granted counts, not these.
            claims: from a provider's challenge: the token was refused, and is renewed.
            tenant_id: of no effect.
            enable_cae: of no effect.
            kwargs: of no effect.

        Raises:
            ClientAuthenticationError: there is none.
        """
        return self._access(self._record(claims))

    def get_token_info(self, *scopes: str, options: TokenRequestOptions | None = None) -> AccessTokenInfo:
        """See `get_token`."""
        return self._info(self._record((options or {}).get("claims")))

    def _record(self, claims: str | None) -> Record:
        newest = self._newest
        try:
            if claims is not None:
                newest.renew(newest.record)
            elif newest.origin is not None:
                newest.record = newest.origin.latest()
        except (Base44Error, ConfigurationError) as error:
            return self._failed(error, claims)
        return newest.record

    def close(self) -> None:
        """Nothing is held."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


@final
class AsyncAzureCredential(_Credential):
    """See `azure_credential`: `AsyncTokenCredential` and `AsyncSupportsTokenInfo` of azure-core."""

    async def get_token(
        self,
        *scopes: str,
        claims: str | None = None,
        tenant_id: str | None = None,
        enable_cae: bool = False,
        **kwargs: Any,
    ) -> AccessToken:
        """See `AzureCredential.get_token`."""
        return self._access(await self._record(claims))

    async def get_token_info(self, *scopes: str, options: TokenRequestOptions | None = None) -> AccessTokenInfo:
        """See `AzureCredential.get_token`."""
        return self._info(await self._record((options or {}).get("claims")))

    async def _record(self, claims: str | None) -> Record:
        newest = self._newest
        try:
            if claims is not None:
                await newest.renew_awaiting(newest.record)
            elif newest.origin is not None:
                newest.record = await newest.origin.latest_awaiting()
        except (Base44Error, ConfigurationError) as error:
            return self._failed(error, claims)
        return newest.record

    async def close(self) -> None:
        """Nothing is held."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        await self.close()
