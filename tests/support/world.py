"""Two cameras, their gateways, workers and real stores, driven one store call at a time from plain code; with what must
hold at any moment, and what must hold once everybody has finished.
"""

import asyncio
from collections import Counter
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, TypeVar

from redis.asyncio import Redis
from support.protocol import Agent, Frame, Hello, P, Worker, first_of, read_log, read_results, restore, snapshot
from support.stores import temporary_server

from fishladder.runtime import commits, frames, state
from fishladder.runtime.frames import Appended, Batch, Status
from fishladder.runtime.ledger import Ledger, read_ledger
from fishladder.runtime.store import connect
from fishladder.wire import keys
from fishladder.wire.fates import Fate
from fishladder.wire.ids import Position
from fishladder.wire.open_set import OpenRange, count

T = TypeVar("T")
CAMERAS = ("a/one", "a/two")
#: The one whose agent has a spool. The other's is of the first release, and knows no backfill.
SPOOLS = "a/one"
#: Fates of a frame that its agent could not send again, or that nobody could decode.
LOSSES = {Fate.SPOOL_LOST, Fate.LOG_LOST, Fate.STATE_LOST, Fate.NO_REFERENCE}


@dataclass
class Servers:
    loop: asyncio.AbstractEventLoop
    frames: Redis
    state: Redis

    def run(self, it: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(it)

    def limit_memory(self, maxmemory: int) -> None:
        for store in (self.frames, self.state):
            self.run(store.config_set("maxmemory", str(maxmemory)))


@contextmanager
def running_servers() -> Iterator[Servers]:
    with asyncio.Runner() as runner:
        run, one, two = runner.run, temporary_server("frame"), temporary_server("state")
        clients = connect(run(one.__aenter__()).url), connect(run(two.__aenter__()).url)
        try:
            yield Servers(runner.get_loop(), *clients)
        finally:
            for client in clients:
                run(client.aclose())
            run(one.__aexit__(None, None, None))
            run(two.__aexit__(None, None, None))


@dataclass
class World:
    servers: Servers
    boots: int = 0
    agents: dict[str, Agent] = field(default_factory=dict)
    latest: dict[str, Hello] = field(default_factory=dict)  #: each camera's last hello
    workers: tuple[Worker, Worker] = field(default_factory=lambda: (Worker("w1"), Worker("w2")))
    captured: dict[tuple[str, int, int], set[int]] = field(default_factory=dict)  #: tokens of (camera, epoch, seq)
    known: dict[str, Counter[int]] = field(default_factory=dict)  #: last seq of each epoch the state store was told of
    held: dict[str, dict[str, bytes | None]] = field(default_factory=dict)  #: the state store's backups
    went_back: set[str] = field(default_factory=set)  #: cameras whose state was restored

    def __post_init__(self) -> None:
        self.run = self.servers.run
        self.run(self.servers.frames.flushall())
        self.run(self.servers.state.flushall())
        for camera in CAMERAS:
            self.known[camera] = Counter()
            self.agents[camera] = self.new_agent(camera)
            self.agents[camera].capture(1)

    def new_agent(self, camera: str) -> Agent:
        self.boots += 1
        before = self.agents.get(camera)
        spool = before.spool if before else {}
        return Agent(camera, f"boot{self.boots}", spools=camera == SPOOLS, spool=dict(spool))

    # -- agents and their gateway ---------------------------------------------------------------------------------

    def say_hello(self, camera: str) -> Hello:
        self.latest[camera] = self.agents[camera].hello()
        return self.latest[camera]

    def claim(self, hello: Hello) -> None:
        if self.run(hello.claim(self.servers.state)):
            assert hello.granted is not None
            self._knows(hello.camera, Position(hello.granted.epoch, hello.position))
        elif self.agents[hello.camera].boot == hello.boot:  # superseded: it begins anew, with no memory
            self.agents[hello.camera] = self.new_agent(hello.camera)

    def open(self, hello: Hello) -> bool:
        if hello.granted is None or not self.run(hello.open(self.servers.frames)):
            return False
        agent = self.agents[hello.camera]
        if agent.boot != hello.boot or self.latest[hello.camera] is not hello:
            return True  # the answer reaches nobody
        epoch, cursor = hello.granted.epoch, hello.granted.cursor
        if hello.next > agent.position + 1:
            assert hello.camera in self.went_back, "the log has more of this epoch than its agent captured"
            self.agents[hello.camera] = self.new_agent(hello.camera)
            return True
        agent.welcome(hello.session, epoch, hello.next, cursor.seq if cursor.epoch == epoch else 0)
        return True

    def meet(self, camera: str) -> None:
        """A hello that its gateway takes at once, claiming again where it has to."""
        hello = self.say_hello(camera)
        for _ in range(3):
            self.claim(hello)
            if self.open(hello):
                break

    def report(self, camera: str, position: Position) -> None:
        self.run(state.record_position(self.servers.state, P, camera, position, 1))
        if self.ledger(camera).position.epoch == position.epoch:
            self._knows(camera, position)

    def hear_committed(self, camera: str) -> None:
        cursor = self.cursor(camera)
        if self.agents[camera].session and cursor.epoch == self.agents[camera].epoch:
            self.agents[camera].forget_committed(cursor.seq)

    def send(self, wanted: list[tuple[Agent, int, int]]) -> None:
        """One group commit: of each agent at most n seqs from `first` on."""
        batches = [self.batch(agent, first, n) for agent, first, n in wanted]
        replies = self.run(frames.append(self.servers.frames, P, batches))
        for (agent, first, _), batch, reply in zip(wanted, batches, replies, strict=True):
            self._check_reply(reply, first, batch)
            if reply.status is Status.FENCED:
                agent.session = ""
            else:
                agent.next = reply.next

    def defer(self, camera: str, n: int) -> None:
        agent = self.agents[camera]
        if agent.spools and agent.session:
            for seq in range(agent.next, agent.position + 1):  # its frame may be sent later, from the spool
                if seq in agent.ring:
                    self._remember(agent, seq, agent.ring[seq])
            agent.defer(n)

    def hear_open(self, camera: str) -> None:
        """What its gateway would tell the agent now."""
        self.agents[camera].hear_open(self.cursor(camera), self.open_set(camera))

    def fill(self, camera: str, skip: int, n: int, *, twice: bool = False) -> None:
        """The agent answers what is open, from somewhere on."""
        agent = self.agents[camera]
        if not (agent.spools and agent.session):
            return
        ranges = self.open_set(camera)
        wanted = [Position(it.epoch, seq) for it in ranges for seq in range(it.first, it.last + 1)][skip : skip + n]
        entries = agent.backfill(wanted)
        for _ in range(2 if twice else 1):
            reply = self.run(frames.fill(self.servers.frames, P, camera, agent.session, agent.fills + 1, entries))
            if reply.status is Status.FENCED:
                agent.session = ""
                return
            assert reply.next == agent.fills + 1 + len(entries)
        agent.fills += len(entries)

    def settle(self, worker: Worker, camera: str, limit: int) -> bool:
        """With whatever it believes: its lease may be lost, what it found may be settled."""
        holds = self.run(self.servers.state.get(keys.lease(P))) == worker.token.encode()
        before = count(self.open_set(camera))
        done = self.run(worker.settle((self.servers.frames, self.servers.state), camera, limit))
        assert done == (count(self.open_set(camera)) < before)
        assert holds or not done, "settled without the lease"
        return done

    def open_set(self, camera: str) -> tuple[OpenRange, ...]:
        return self.run(commits.read_open(self.servers.state, P, camera))

    def batch(self, agent: Agent, first: int, n: int) -> Batch:
        for seq in range(first, first + n):
            if seq in agent.ring:
                self._remember(agent, seq, agent.ring[seq])
        return Batch(agent.camera, agent.session, agent.epoch, agent.entries(first, n))

    def _check_reply(self, reply: Appended, first: int, batch: Batch) -> None:
        match reply.status:
            case Status.ACCEPTED:
                assert reply.next == batch.entries[-1].last + 1
            case Status.DUPLICATE:
                assert not batch.entries or batch.entries[-1].last < reply.next
            case Status.GAP:
                assert first > reply.next

    def _remember(self, agent: Agent, seq: int, frame: Frame) -> None:
        self.captured.setdefault((agent.camera, agent.epoch, seq), set()).add(frame.token)

    def _knows(self, camera: str, position: Position) -> None:
        self.known[camera][position.epoch] = max(self.known[camera][position.epoch], position.seq)

    # -- workers and stores ---------------------------------------------------------------------------------------

    def commit(self, worker: Worker, camera: str, limit: int) -> bool:
        """With whatever it believes: its lease may be lost, its cursor old."""
        holds = self.run(self.servers.state.get(keys.lease(P))) == worker.token.encode()
        before = self.cursor(camera)
        moved = self.run(worker.commit((self.servers.frames, self.servers.state), camera, limit))
        after = self.cursor(camera)
        assert moved == (after != before)
        assert after >= before
        assert holds or not moved, "a commit without the lease"
        return moved

    def trim(self, worker: Worker, camera: str) -> None:
        """Only what is committed, but perhaps long after."""
        cursor = self.cursor(camera)
        if worker.keep_from.get(camera, cursor) <= Position(cursor.epoch, cursor.seq + 1):
            self.run(worker.trim(self.servers.frames, camera))

    def expire_lease(self) -> None:
        self.run(self.servers.state.pexpire(keys.lease(P), 0))

    def back_up(self, camera: str) -> None:
        self.held[camera] = self.run(snapshot(self.servers.state, camera))

    def go_back(self, camera: str) -> None:
        self.run(restore(self.servers.state, self.held[camera]))
        self.went_back.add(camera)

    def cursor(self, camera: str) -> Position:
        return self.run(commits.read_cursor(self.servers.state, P, camera))

    def ledger(self, camera: str) -> Ledger:
        return self.run(read_ledger(self.servers.state, P, camera, now_us=1))

    # -- what must hold -------------------------------------------------------------------------------------------

    def check(self) -> None:
        """At any moment: ledgers close, logs have no gaps."""
        for camera in CAMERAS:
            ledger = self.ledger(camera)
            assert ledger.closes, ledger
            for earlier, later in pairwise(self.run(read_log(self.servers.frames, camera))):
                assert later.position > earlier.position
                assert first_of(later) <= Position(earlier.position.epoch, earlier.position.seq + 1), (earlier, later)

    def finish(self, camera: str) -> None:
        """Let the agent send and a worker commit all there is, from whatever state things are in."""
        worker = self.workers[0]
        self.expire_lease()
        assert self.run(worker.lease(self.servers.state))
        for _ in range(12):
            while self.commit(worker, camera, 50):
                self.trim(worker, camera)
            agent = self.agents[camera]
            if agent.session and self.cursor(camera) == Position(agent.epoch, agent.position):
                while self.open_set(camera) and agent.session:
                    self.fill(camera, 0, 9)
                    while self.settle(worker, camera, 20):
                        pass
                if agent.session:
                    return
            self.meet(camera)
            agent = self.agents[camera]
            while agent.session and agent.next <= agent.position:
                self.send([(agent, agent.next, 5)])
        raise AssertionError(f"{self.agents[camera]} and {self.ledger(camera)} do not come together")

    def account(self, camera: str) -> None:
        """After `finish`: the results settle every seq once, as the ledger says, and lose nothing they need not."""
        agent, ledger = self.agents[camera], self.ledger(camera)
        assert ledger.pending == 0, (ledger, agent)
        at, fates, lasts = Position(0, 0), Counter[Fate](), Counter[int]()
        deferred = set[Position]()
        for it in self.run(read_results(self.servers.state, camera)):
            for frame in it.frames:
                assert frame.pts_us in self.captured[camera, it.epoch, frame.seq], "inferred from another frame"
            if it.lane == keys.BACKFILL:
                for code, first, last in it.runs:
                    settled = {Position(it.epoch, seq) for seq in range(first, last + 1)}
                    assert settled <= deferred, f"{it} settles what is not open"
                    deferred -= settled
                    fates[Fate(code)] += last - first + 1
                    if Fate(code) in LOSSES and it.epoch == agent.epoch:
                        assert camera in self.went_back, f"{Fate(code)!r}: {first}..{last}, and its agent had them"
                continue
            at = max(at, Position(it.epoch, 0))
            assert (it.epoch, it.first) == (at.epoch, at.seq + 1), f"{it} does not follow {at}"
            assert it.last == it.runs[-1][2]
            for code, first, last in it.runs:
                assert at.seq + 1 == first <= last
                at = Position(it.epoch, last)
                if Fate(code) is Fate.DEFERRED:
                    deferred |= {Position(it.epoch, seq) for seq in range(first, last + 1)}
                    continue
                fates[Fate(code)] += last - first + 1
                if it.epoch == agent.epoch and Fate(code) in LOSSES:
                    assert camera in self.went_back, f"{Fate(code)!r}: {first}..{last}, and its agent had them"
            lasts[it.epoch] = at.seq
        assert at == Position(agent.epoch, agent.position) or not agent.position
        assert not deferred
        assert dict(fates) == ledger.fates
        assert lasts.total() == ledger.captured
        assert camera in self.went_back or all(lasts[epoch] >= seq for epoch, seq in self.known[camera].items())
