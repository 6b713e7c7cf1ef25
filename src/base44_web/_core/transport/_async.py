"""One exchange over an `httpx2` or `httpx` client."""

from __future__ import annotations

from typing import Any

from ...errors import Base44Error, ConfigurationError
from .deadline import AsyncDeadline
from .exchange import Body, compressed, drop_if_surplus, failure, header_mapping, timeouts, too_large
from .httpx_clients import library_of, without_cookies
from .message import PlatformRequest, PlatformResponse


class AsyncHttpxTransport:
    """Implements `AsyncTransport` over a client, which it closes only if it is `owned`."""

    def __init__(self, client: Any, *, owned: bool = True) -> None:
        self._given = client
        self._owned = owned
        self._client = without_cookies(client)
        self._new_request = library_of(client).Request

    async def send(self, request: PlatformRequest, *, timeout: float, connect_timeout: float) -> PlatformResponse:
        outcome = await self._exchange(request, timeout, connect_timeout)
        if not isinstance(outcome, PlatformResponse):
            raise outcome
        return outcome

    async def aclose(self) -> None:
        if self._owned:
            await self._given.aclose()

    async def _exchange(
        self, request: PlatformRequest, timeout: float, connect_timeout: float
    ) -> PlatformResponse | Base44Error | ConfigurationError:
        # A client's own build_request would add the client's headers, cookies and base URL.
        body = Body()
        try:
            async with AsyncDeadline(timeout) as deadline:
                answer = await self._client.send(
                    self._new_request(
                        request.method,
                        request.url,
                        headers=request.plain_headers(),
                        content=request.content,
                        extensions=timeouts(timeout, connect_timeout),
                    ),
                    stream=True,
                    auth=None,
                    follow_redirects=False,
                )
                try:
                    refused = compressed(answer.headers.get("content-encoding"))
                    if refused is not None:
                        return refused
                    # Not aiter_raw: it gives the connection back as it ends, before what is left over can be seen.
                    async for chunk in answer.aiter_raw() if answer.is_stream_consumed else answer.stream:
                        body += chunk
                        chunk = b""
                        if deadline.expired():
                            raise TimeoutError
                        refused = too_large(len(body))
                        if refused is not None:
                            return refused
                    drop_if_surplus(answer.stream)
                finally:
                    await answer.aclose()
            return PlatformResponse(answer.status_code, header_mapping(answer.headers.raw), body.octets())
        except Exception as error:  # noqa: BLE001 - a library's own errors can quote a header with its credential
            return failure(error, request, timeout)
