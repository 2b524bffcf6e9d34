"""The store scripts under every interleaving hypothesis can find: hellos claimed and opened late, stale sessions,
duplicates and gaps, lost leases, full memory, a lost log, a state store that went back, agents that remember and agents
that do not, what was deferred sent in any order and more than once. Whatever happened, the ledger closes after each
step; and once all is sent and committed, the results account for every seq exactly once, with nothing lost that its
agent still had.
"""

from collections.abc import Iterator

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from redis.exceptions import OutOfMemoryError
from support.protocol import Agent, Hello, P, Worker, read_log, reboot
from support.world import CAMERAS, Servers, World, running_servers

from fishladder.runtime import frames, leases
from fishladder.runtime.frames import Batch, Status
from fishladder.wire import keys
from fishladder.wire.fates import Fate
from fishladder.wire.ids import Position

CAMERA = st.sampled_from(CAMERAS)
WORKER = st.sampled_from([0, 1])
SOME = st.integers(1, 6)
FATE = st.sampled_from([None, None, Fate.GATED, Fate.SHED])


@pytest.fixture
def servers() -> Iterator[Servers]:
    with running_servers() as servers:
        yield servers


class Interleavings(RuleBasedStateMachine):
    hellos = Bundle("hellos")
    sessions = Bundle("sessions")  #: hellos whose log was opened, most of them long ago

    def __init__(self, servers: Servers) -> None:
        super().__init__()
        self.servers = servers
        self.run = servers.run
        servers.limit_memory(0)
        self.world = World(servers)

    @initialize(restores=st.booleans())
    def choose(self, restores: bool) -> None:
        """Half of all runs never see the state store go back: they must not lose anything."""
        self.restores = restores
        for camera in CAMERAS:
            self.world.back_up(camera)

    def worker(self, which: int) -> Worker:
        return self.world.workers[which]

    # -- agents ---------------------------------------------------------------------------------------------------

    @rule(camera=CAMERA, n=SOME, fate=FATE, clean=st.booleans())
    def captures(self, camera: str, n: int, fate: Fate | None, clean: bool) -> None:
        self.world.agents[camera].capture(n, fate=fate, clean=clean)

    @rule(camera=CAMERA)
    def reports_position(self, camera: str) -> None:
        agent = self.world.agents[camera]
        if agent.epoch:
            self.world.report(camera, Position(agent.epoch, agent.position))

    @rule(hello=sessions)
    def old_position_comes_late(self, hello: Hello) -> None:
        if hello.granted:
            self.world.report(hello.camera, Position(hello.granted.epoch, hello.position))

    @rule(camera=CAMERA, remembers=st.booleans())
    def agent_starts_again(self, camera: str, remembers: bool) -> None:
        boot = self.world.new_agent(camera).boot
        self.world.agents[camera] = reboot(self.world.agents[camera], boot, remembers=remembers)
        self.world.agents[camera].capture(1)

    @rule(camera=CAMERA)
    def hears_committed(self, camera: str) -> None:
        self.world.hear_committed(camera)

    # -- hellos, each step of which a gateway may take late, or never ---------------------------------------------

    @rule(target=hellos, camera=CAMERA)
    def says_hello(self, camera: str) -> Hello:
        return self.world.say_hello(camera)

    @rule(hello=hellos)
    def gateway_claims(self, hello: Hello) -> None:
        self.world.claim(hello)

    @rule(target=sessions, hello=consumes(hellos))
    def gateway_opens(self, hello: Hello) -> Hello:
        self.world.open(hello)
        return hello

    @rule(target=sessions, camera=CAMERA)
    def agent_and_gateway_meet(self, camera: str) -> Hello:
        self.world.meet(camera)
        return self.world.latest[camera]

    # -- the log --------------------------------------------------------------------------------------------------

    @rule(captured=SOME, one=st.tuples(st.integers(-4, 3), SOME), other=st.none() | st.tuples(st.integers(-4, 3), SOME))
    def agents_send(self, captured: int, one: tuple[int, int], other: tuple[int, int] | None) -> None:
        """One group commit of one camera or both, from some seqs before or after the next one."""
        wanted = []
        for camera, what in zip(CAMERAS, (one, other), strict=True):
            agent = self.world.agents[camera]
            if what is not None and agent.session:
                agent.capture(captured)
                wanted.append((agent, max(agent.next + what[0], 1), what[1]))
        self.world.send(wanted)

    @rule(camera=CAMERA, n=SOME)
    def agent_defers(self, camera: str, n: int) -> None:
        self.world.defer(camera, n)

    @rule(camera=CAMERA)
    def agent_hears_what_is_open(self, camera: str) -> None:
        self.world.hear_open(camera)

    @rule(camera=CAMERA, skip=st.integers(0, 5), n=SOME, twice=st.booleans())
    def agent_sends_backfill(self, camera: str, skip: int, n: int, twice: bool) -> None:
        self.world.fill(camera, skip, n, twice=twice)

    @rule(hello=sessions, n=SOME)
    def stale_session_appends(self, hello: Hello, n: int) -> None:
        """What a gateway still had of a session that is over must not reach the log."""
        now = self.run(frames.owner_session(self.servers.frames, P, hello.camera))
        if not hello.session or hello.granted is None or now == hello.session:
            return
        agent = Agent(hello.camera, "", epoch=hello.granted.epoch, position=hello.next + n)
        batch = Batch(hello.camera, hello.session, agent.epoch, agent.entries(hello.next, n))
        before = self.run(read_log(self.servers.frames, hello.camera))
        [reply] = self.run(frames.append(self.servers.frames, P, [batch]))
        assert reply.status is Status.FENCED
        assert self.run(read_log(self.servers.frames, hello.camera)) == before
        filled = self.run(frames.fill(self.servers.frames, P, hello.camera, hello.session, 1, [(b"u", b"stale")]))
        assert filled.status is Status.FENCED

    # -- workers --------------------------------------------------------------------------------------------------

    @rule(which=WORKER, forgets=st.booleans())
    def worker_takes_lease(self, which: int, forgets: bool) -> None:
        self.run(self.worker(which).lease(self.servers.state, forgets=forgets))

    @rule(which=WORKER, expires=st.booleans())
    def lease_ends(self, which: int, expires: bool) -> None:
        if expires:
            self.world.expire_lease()
        else:
            self.run(leases.release_lease(self.servers.state, P, self.worker(which).token))

    @rule(which=WORKER, camera=CAMERA, limit=st.integers(1, 9))
    def worker_commits(self, which: int, camera: str, limit: int) -> None:
        self.world.commit(self.worker(which), camera, limit)

    @rule(which=WORKER, camera=CAMERA, limit=st.integers(1, 9))
    def worker_settles(self, which: int, camera: str, limit: int) -> None:
        self.world.settle(self.worker(which), camera, limit)

    @rule(which=WORKER, camera=CAMERA)
    def worker_trims(self, which: int, camera: str) -> None:
        self.world.trim(self.worker(which), camera)

    @rule(hello=sessions)
    def worker_gives_up_a_log_it_saw_long_ago(self, hello: Hello) -> None:
        now = self.run(frames.owner_session(self.servers.frames, P, hello.camera))
        if hello.session and now != hello.session:
            assert not self.run(frames.forget(self.servers.frames, P, hello.camera, hello.session))
            assert self.run(frames.owner_session(self.servers.frames, P, hello.camera)) == now

    @rule(camera=CAMERA, which=WORKER, limit=st.integers(1, 9))
    def all_goes_well_for_a_while(self, camera: str, which: int, limit: int) -> None:
        """So that the rest happens to cameras that have come some way, too."""
        if not self.world.agents[camera].session:
            self.world.meet(camera)
        agent = self.world.agents[camera]
        if agent.session:
            self.world.send([(agent, agent.next, 20)])
        self.run(self.worker(which).lease(self.servers.state))
        self.world.commit(self.worker(which), camera, limit)
        self.world.fill(camera, 0, limit)
        self.world.settle(self.worker(which), camera, limit)
        self.world.trim(self.worker(which), camera)

    # -- what happens to stores -----------------------------------------------------------------------------------

    @rule()
    def frame_store_is_lost(self) -> None:
        self.run(self.servers.frames.flushall())

    @rule(camera=CAMERA, which=WORKER, hello=hellos)
    def memory_is_full(self, camera: str, which: int, hello: Hello) -> None:
        """What came in is still worked on and given back; more is refused, and nothing of it is written."""
        self.servers.limit_memory(1)
        agent = self.world.agents[camera]
        before = self.run(self.servers.frames.hgetall(keys.owner(P, camera)))
        batch = self.world.batch(agent, agent.next, 3)
        with pytest.raises(OutOfMemoryError):
            self.run(frames.append(self.servers.frames, P, [batch]))
        self.world.claim(hello)
        if hello.granted:
            with pytest.raises(OutOfMemoryError):
                self.world.open(hello)
        assert self.run(self.servers.frames.hgetall(keys.owner(P, camera))) == before
        self.world.expire_lease()
        assert self.run(self.worker(which).lease(self.servers.state))
        self.world.commit(self.worker(which), camera, 3)
        self.world.trim(self.worker(which), camera)
        self.world.check()
        self.servers.limit_memory(0)

    @precondition(lambda self: self.restores)
    @rule(camera=CAMERA)
    def state_is_backed_up(self, camera: str) -> None:
        self.world.back_up(camera)

    @precondition(lambda self: self.restores)
    @rule(camera=CAMERA)
    def state_goes_back(self, camera: str) -> None:
        self.world.go_back(camera)

    # -- what must hold -------------------------------------------------------------------------------------------

    @invariant()
    def nothing_is_wrong(self) -> None:
        self.world.check()

    def teardown(self) -> None:
        self.servers.limit_memory(0)
        for camera in CAMERAS:
            self.world.finish(camera)
            self.world.account(camera)


def test_every_interleaving(servers: Servers) -> None:
    run_state_machine_as_test(
        lambda: Interleavings(servers), settings=settings(max_examples=50, stateful_step_count=40)
    )
