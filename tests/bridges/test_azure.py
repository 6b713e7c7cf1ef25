"""`azure_credential`, in azure-core's pipelines and under kiota."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from base44_web import AsyncBase44, Base44, Connection, RateLimitError, Secret, ServerError, Settings
from base44_web.bridges import azure_credential
from base44_web.testing import CALENDAR_ID, Emulator, Fault
from tests.canaries import CANARY, clean, frames_are_clean

core = pytest.importorskip("azure.core")
SUBSCRIPTIONS = "https://management.azure.com/subscriptions"
ME = "https://graph.microsoft.com/v1.0/me"


@pytest.fixture
def pipeline() -> Iterator[Callable[..., Any]]:
    """What Azure's clients are made of: a GET, with the policy that its management clients have."""
    pytest.importorskip("requests")
    from azure.core import PipelineClient
    from azure.core.pipeline.policies import BearerTokenCredentialPolicy, RetryPolicy
    from azure.core.rest import HttpRequest

    opened: list[Any] = []

    def make(credential: Any) -> Callable[..., Any]:
        policies = [RetryPolicy(retry_total=0), BearerTokenCredentialPolicy(credential, "scope/.default")]
        client = PipelineClient("https://management.azure.com", policies=policies)
        opened.append(client)

        def get(url: str = SUBSCRIPTIONS) -> Any:
            answer = client.send_request(HttpRequest("GET", url))
            answer.raise_for_status()
            return answer.json()["value"][0]["displayName"]

        return get

    yield make
    for client in opened:
        client.close()


@pytest.fixture
def fields() -> dict[str, Any]:
    return {"connection_ttl": 30}


def test_a_challenge_renews(
    pipeline: Any, internet: Any, emulator: Emulator, connection: Connection, asked: Callable[[], int]
) -> None:
    get = pipeline(azure_credential(connection))
    assert get() == "Ada"
    newer = emulator.expire(None, "anything")
    assert get() == "Ada"
    assert get() == "Ada"
    assert [each.token for each in internet.sent] == [connection.access_token] * 2 + [newer] * 2
    assert asked() == 1
    internet.refuses = True
    for _ in range(4):
        with pytest.raises(core.exceptions.HttpResponseError):
            get()


def test_without_a_challenge_it_learns_by_asking(
    pipeline: Any,
    internet: Any,
    emulator: Emulator,
    base44: Base44,
    connection: Connection,
    clock: Any,
    monkeypatch: Any,
) -> None:
    """A 401 is the caller's, until the cache lets go, or somebody renews."""
    monkeypatch.setattr("tests.bridges.internet._CHALLENGERS", ())
    get = pipeline(azure_credential(connection))
    assert get() == "Ada"
    emulator.expire(None, "anything")
    for _ in range(2):
        with pytest.raises(core.exceptions.HttpResponseError):
            get()
    clock.forward(31)
    assert get() == "Ada"
    emulator.expire(None, "anything")
    with pytest.raises(core.exceptions.HttpResponseError):
        get()
    base44.renew(base44.as_service_role.connectors.get_connection("anything"))
    assert get() == "Ada"


def test_how_long_it_says_that_a_token_lives(connection: Connection, asked: Callable[[], int]) -> None:
    """azure-core asks for another in the last 300 seconds."""
    credential = azure_credential(connection)
    token = credential.get_token("scope", tenant_id="t", enable_cae=True, other=1)
    assert type(token) is core.credentials.AccessToken
    assert token.token == connection.access_token
    assert abs(token.expires_on - time.time() - 330) < 60
    info = credential.get_token_info("scope", options={"tenant_id": "t"})
    assert (info.token, info.token_type) == (connection.access_token, "Bearer")
    assert asked() == 0
    assert isinstance(credential, core.credentials.TokenCredential)
    assert isinstance(credential, core.credentials.SupportsTokenInfo)
    with credential as same:
        assert same is credential
    by_hand = azure_credential(Connection(Secret("by hand"), None, None))
    assert by_hand.get_token().token == by_hand.get_token(claims="{}").token == "by hand"


def test_a_platform_that_fails(connection: Connection, emulator: Emulator, clock: Any, caplog: Any) -> None:
    credential = azure_credential(connection)
    clock.forward(31)
    emulator.fault(Fault(status=503, body=b'{"detail": "down for a while"}'), path="*/anything", times=None)
    for claims in (None, "{}"):
        with pytest.raises(core.exceptions.ClientAuthenticationError, match="down for a while") as caught:
            credential.get_token("scope", claims=claims)
        assert isinstance(caught.value.__cause__, ServerError)
    assert caplog.text.count("cannot be renewed") == 1


def test_who_comes_second_with_a_challenge_gets_what_the_first_did(
    connection: Connection, emulator: Emulator, base44: Base44, asked: Callable[[], int]
) -> None:
    credential = azure_credential(connection)
    newer = emulator.expire(None, "anything")
    for _ in range(4):
        assert credential.get_token("scope", claims="{}").token == newer
    assert asked() == 2  # whether there is one that is newer still; after that it pauses
    with pytest.raises(RateLimitError):
        base44.renew(base44.as_service_role.connectors.get_connection("anything"))


def test_where_it_may_not_go(pipeline: Any, internet: Any, connection: Connection) -> None:
    get = pipeline(azure_credential(connection))
    with pytest.raises(core.exceptions.ServiceRequestError, match="non-TLS"):
        get(SUBSCRIPTIONS.replace("https", "http"))
    assert internet.sent == []


# --- awaiting


def awaited(settings: Settings, use: Callable[[Any, Connection], Any], **options: Any) -> None:
    async def main() -> None:
        async with AsyncBase44(settings=settings, **options) as base44:
            await use(base44, await base44.as_service_role.connectors.get_connection("anything"))

    asyncio.run(main())


def test_azure_core_awaiting(settings: Settings, emulator: Emulator, internet: Any) -> None:
    pytest.importorskip("aiohttp")
    from azure.core import AsyncPipelineClient
    from azure.core.pipeline.policies import AsyncBearerTokenCredentialPolicy
    from azure.core.rest import HttpRequest

    emulator.share("anything")

    async def use(base44: Any, connection: Connection) -> None:
        credential = azure_credential(connection, awaiting=True)
        assert isinstance(credential, core.credentials_async.AsyncTokenCredential)
        assert isinstance(credential, core.credentials_async.AsyncSupportsTokenInfo)
        policies = [AsyncBearerTokenCredentialPolicy(credential, "scope/.default")]
        async with AsyncPipelineClient("https://management.azure.com", policies=policies) as client, credential:
            answer = await client.send_request(HttpRequest("GET", SUBSCRIPTIONS))
            newer = emulator.expire(None, "anything")
            answer = await client.send_request(HttpRequest("GET", SUBSCRIPTIONS))
            assert answer.status_code == 200
            assert [each.token for each in internet.sent] == [connection.access_token] * 2 + [newer]

    awaited(settings, use)


def test_awaiting(settings: Settings, emulator: Emulator) -> None:
    emulator.share("anything")

    async def use(base44: Any, connection: Connection) -> None:
        async with azure_credential(connection, awaiting=True) as credential:
            assert type(await credential.get_token("scope")) is core.credentials.AccessToken
            newer = emulator.expire(None, "anything")
            assert (await credential.get_token("scope")).token == connection.access_token
            assert (await credential.get_token_info("scope", options={"claims": "{}"})).token == newer
            assert (await credential.get_token("scope")).token == newer
        other = azure_credential(await base44.as_service_role.connectors.get_connection("slack"), awaiting=True)
        emulator.fault(Fault(status=503), path="*/slack", times=None)
        with pytest.raises(core.exceptions.ClientAuthenticationError):
            await other.get_token("scope", claims="{}")
        by_hand = azure_credential(Connection(Secret("by hand"), None, None), awaiting=True)
        assert (await by_hand.get_token()).token == "by hand"

    awaited(settings, use)


@pytest.mark.parametrize("awaiting", [False, True])
def test_kiota(settings: Settings, emulator: Emulator, internet: Any, awaiting: bool) -> None:
    """Microsoft Graph's client is one of kiota's."""
    authentication = pytest.importorskip("kiota_authentication_azure.azure_identity_authentication_provider")
    adapters = pytest.importorskip("kiota_http.httpx_request_adapter")
    factory = pytest.importorskip("kiota_http.kiota_client_factory")
    from kiota_abstractions.method import Method
    from kiota_abstractions.request_information import RequestInformation

    emulator.share("anything")

    async def use(base44: Any, connection: Connection) -> None:
        credential: Any = azure_credential(connection, awaiting=True) if awaiting else azure_credential(connection)
        provider = authentication.AzureIdentityAuthenticationProvider(
            credential, allowed_hosts=["graph.microsoft.com"], scopes=["https://graph.microsoft.com/.default"]
        )
        client = factory.KiotaClientFactory.create_with_default_middleware()
        adapter = adapters.HttpxRequestAdapter(provider, http_client=client)

        async def me(url: str = ME) -> bytes:
            request = RequestInformation()
            request.http_method, request.url = Method.GET, url
            found = await adapter.send_primitive_async(request, "bytes", {})
            return bytes(found)

        assert b"Ada" in await me()
        newer = emulator.expire(None, "anything")
        assert b"Ada" in await me()
        assert [each.token for each in internet.sent] == [connection.access_token] * 2 + [newer]
        with pytest.raises(Exception, match=r"(?i)error|401|code"):
            await me("https://api.github.com/user")
        assert internet.sent[-1].token == ""
        internet.refuses = True
        before = len(emulator.requests)
        for _ in range(3):
            with pytest.raises(Exception, match=r"(?i)error|401|code"):
                await me()
        assert len(emulator.requests) - before <= 3
        await client.aclose()

    awaited(settings, use)


# --- of app users


@pytest.mark.parametrize("verification", ["platform", "none"])
def test_of_an_app_user_long_after(settings: Settings, emulator: Emulator, clock: Any, verification: str) -> None:
    """They are verified again, where anybody verifies them; what is at hand for the request is not asked."""
    from tests.drivers import changed

    ada = emulator.add_user("ada@test.example")
    emulator.connect(ada, CALENDAR_ID)
    with Base44(settings=changed(settings, verification=verification), token=emulator.sign_in(ada)) as hers:
        credential = azure_credential(hers.as_service_role.connectors.get_current_app_user_connection("calendar"))
        newer = emulator.expire(ada, CALENDAR_ID)
        clock.forward(600)
        assert credential.get_token().token == newer
        emulator.disconnect(ada, CALENDAR_ID)
        clock.forward(31)
        with pytest.raises(core.exceptions.ClientAuthenticationError):
            credential.get_token()


def test_nothing_shows_a_token(emulator: Emulator, base44: Base44, caplog: Any) -> None:
    emulator.share("anything")
    emulator._state.one("UPDATE connections SET token = ? WHERE connector = 'anything'", CANARY)
    connection = base44.as_service_role.connectors.get_connection("anything")
    for credential in (azure_credential(connection), azure_credential(connection, awaiting=True)):
        clean([credential, vars(credential)])
        with pytest.raises(TypeError):
            credential.__reduce_ex__(2)
    emulator._state.disconnect("shared", "anything")
    with pytest.raises(core.exceptions.ClientAuthenticationError) as caught:
        azure_credential(connection).get_token(claims="{}")
    frames_are_clean(caught.value)
    clean(caplog.text)
