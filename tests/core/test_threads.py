"""What threads share, while the interpreter changes threads as often as it can: no more than that is claimed here.

Nothing here says that it works without the GIL.
"""

from __future__ import annotations

import itertools
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from base44_web import AppUser, AuthenticationError, Settings
from base44_web._core.claims import Token
from base44_web._core.connections.memory import ConnectionMemory, Entry
from base44_web._core.engine.engine import Engine
from base44_web._core.identity import memory as identity_memory
from base44_web._core.identity.memory import KnownTokens
from base44_web._core.incoming.caller import Caller
from base44_web._core.platform.queues import Limiter, SingleFlight
from base44_web._core.secret import Secret
from base44_web._core.values import ConnectionRecord
from base44_web.testing import CALENDAR_ID, Emulator
from tests.conftest import Clock
from tests.core.test_connections import client_of
from tests.drivers import changed
from tests.serving import PATIENCE

THREADS, ROUNDS, USERS = 8, 300, 4


@pytest.fixture(autouse=True)
def restless() -> Iterator[None]:
    """Threads take turns after a microsecond, not after five thousand."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def hammer(work: Callable[[random.Random], None], rounds: int = ROUNDS) -> None:
    """Do something in many threads at once, many times; the first error of any is raised."""
    start, errors = threading.Barrier(THREADS), []

    def each(seed: int) -> None:
        dice = random.Random(seed)
        try:
            start.wait(PATIENCE)
            for _ in range(rounds):
                if errors:
                    return
                work(dice)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=each, args=(seed,), daemon=True) for seed in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    if errors:
        raise errors[0]
    assert not any(thread.is_alive() for thread in threads)


class Hesitant(Limiter):
    """Lets others in between reading how many are inside, and writing it."""

    @property
    def _inside(self) -> int:
        time.sleep(0)
        return self._count

    @_inside.setter
    def _inside(self, count: int) -> None:
        self._count = count


class Key(str):
    """Lets others in whenever it is looked up."""

    def __hash__(self) -> int:
        time.sleep(0)
        return super().__hash__()


def test_no_more_get_through_than_may() -> None:
    limiter, inside, most = Hesitant(3, THREADS), Counter[str](), 3

    def pass_through(dice: random.Random) -> None:
        ticket = limiter.ask()
        if ticket is not None:
            if dice.random() < 0.3:  # as one whose time is up, with or without the place in hand
                limiter.refuse(ticket)
                return
            ticket.result(PATIENCE)
        with counting:
            inside["now"] += 1
            inside["most"] = max(inside["most"], inside["now"])
        time.sleep(0)  # let others in
        with counting:
            inside["now"] -= 1
        limiter.leave()

    counting = threading.Lock()
    hammer(pass_through)
    assert 1 < inside["most"] <= most
    assert (limiter._inside, len(limiter._queue)) == (0, 0)


def test_one_leads_at_a_time_and_all_get_what_it_found() -> None:
    flights, leading, numbers, led = SingleFlight(), Counter[str](), itertools.count(), {}

    def ask(dice: random.Random) -> None:
        key = Key(dice.choice("ab"))
        flight, waiting = flights.join(key)
        if waiting is None:
            leading[key] += 1
            assert leading[key] == 1
            with flight:
                flight.outcome = led[flight] = next(numbers)
                leading[key] -= 1
        else:
            assert waiting.result(PATIENCE) == led[flight]

    hammer(ask)
    assert not flights._flying
    assert 0 < len(led) < THREADS * ROUNDS  # and some were told


def user(number: int) -> AppUser:
    record = {"id": f"user-{number}", "email": "a@test.example", "app_id": "demo-app", "notes": "n" * 100}
    return AppUser.from_record(record)


def caller(number: int, session: int) -> Caller:
    token = Token(Secret(f"{number}.{session}.c"))
    return Caller("demo-app", "https://base44.app", "https://base44.app", token=token, service_token=Secret("s"))


def test_no_token_is_known_as_anothers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity_memory, "_MOST_BYTES", 20_000)  # some ten: there is always one to push out
    monkeypatch.setattr(identity_memory, "_MOST", 10)
    known, seen = KnownTokens(60, Clock()), Counter[str]()

    def meet(dice: random.Random) -> None:
        number, session = dice.randrange(USERS), dice.randrange(5)
        who = caller(number, session)
        found = known.get(who)
        seen[type(found).__name__] += 1
        if isinstance(found, AppUser):
            assert found.id == f"user-{number}"
        elif found is not None:
            assert found.message == f"refused {number}.{session}"
        match dice.randrange(20):
            case 0:
                known.forget(f"user-{number}")
            case 1:
                known.drop(who)
            case 2 | 3 | 4:
                known.put(who, AuthenticationError(f"refused {number}.{session}"))
            case _:
                known.put(who, user(number))

    hammer(meet)
    assert {"AppUser", "AuthenticationError", "NoneType"} <= set(seen)
    for kept in (known._users, known._refused, known._verified):
        assert kept.currsize == sum(map(kept.getsizeof, kept.values())) <= kept.maxsize
    for number in range(USERS):
        known.forget(f"user-{number}")
    assert not known._users


def test_what_has_ended_is_not_found_again() -> None:
    ticks = itertools.count(1)

    class Ticking(Clock):
        def monotonic(self) -> float:
            now = next(ticks)
            time.sleep(0)  # let others in, between the time and what is done with it
            return now / 1e6

    clock = Ticking()
    memory, ends, hits = ConnectionMemory(3600, clock), [0.0, 0.0], Counter[int]()

    def use(dice: random.Random) -> None:
        number = dice.randrange(len(ends))
        entry = Entry("app_user", "calendar", "https://base44.app", "demo-app", None, str(number), None)
        match dice.randrange(4):
            case 0 | 1:
                began = clock.monotonic()
                memory.end("calendar", str(number))
                ends[number] = max(ends[number], began)
            case 2 if dice.random() < 0.2:
                found = memory.newer(entry, b"")
                if found is not None:
                    memory.reject(entry, found.fingerprint)
            case _:
                record = ConnectionRecord(Secret(f"token of {number}"), None, "googlecalendar")
                record.asked = clock.monotonic()
                memory.put(entry, record)
        ended = ends[number]
        found = memory.get(entry)
        memory.count("misses")
        if found is not None:
            with counting:
                hits[number] += 1
            assert found.token.reveal() == f"token of {number}"
            assert found.asked > ended

    counting = threading.Lock()
    hammer(use, 1000)
    assert memory.counts["hits"] == hits.total() > 0
    assert memory.counts["misses"] == THREADS * 1000
    assert memory._kept.currsize == sum(map(memory._kept.getsizeof, memory._kept.values()))


def each_gets_their_own(engine: Engine, emulator: Emulator, rounds: int) -> None:
    users = [emulator.add_user(f"user-{number}@test.example") for number in range(USERS)]
    tokens = {user.id: emulator.connect(user, CALENDAR_ID) for user in users}
    clients = {user.id: client_of(engine, emulator, user) for user in users}

    def visit(dice: random.Random) -> None:
        user = dice.choice(users)
        client = clients[user.id]
        match dice.randrange(10):
            case 0:
                client.forget()
            case 1:
                assert client.user() == user
            case _:
                found = client.as_service_role.connectors.get_current_app_user_connection("calendar")
                assert found.access_token == tokens[user.id]

    hammer(visit, rounds)
    for limiter in (engine.platform.limiter, engine.platform.unverified):
        assert (limiter._inside, len(limiter._queue)) == (0, 0)
    assert not engine.platform.flights._flying


def test_an_engine_in_this_process(settings: Settings, emulator: Emulator) -> None:
    engine = Engine(changed(settings, connection_ttl=30).complete(), emulator.transport)
    each_gets_their_own(engine, emulator, rounds=60)


def test_an_engine_over_http(settings: Settings, emulator: Emulator) -> None:
    engine = Engine(changed(settings, connection_ttl=0, identity_ttl=0).complete())
    each_gets_their_own(engine, emulator, rounds=10)


def test_an_engine_with_a_store(settings: Settings, emulator: Emulator, redis: str) -> None:
    pytest.importorskip("cryptography")
    secret = "a secret that all servers of the fleet have"
    engine = Engine(
        changed(settings, connection_ttl=30, connection_store=redis, secret=secret).complete(), emulator.transport
    )
    each_gets_their_own(engine, emulator, rounds=30)
