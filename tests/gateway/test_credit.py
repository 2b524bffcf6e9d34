"""Credit never promises more than there is room for, and comes back when there is."""

from hypothesis import given
from hypothesis import strategies as st

from fishladder.gateway.credit import FILL, FIRST_BYTES, SHARE, SUBJECT_SHARE, WINDOW_BYTES, Account, CreditPool, Holder

MB = 1024 * 1024
steps = st.lists(
    st.one_of(
        st.tuples(st.just("measure"), st.integers(0, 200 * MB)),
        st.tuples(st.just("spend"), st.integers(0, 3), st.integers(0, 20 * MB)),
        st.tuples(st.just("grant"), st.integers(0, 3)),
        st.tuples(st.just("reconnect"), st.integers(0, 3)),
    ),
    max_size=60,
)


@given(steps)
def test_never_more_than_the_room_is_granted(done: list[tuple[str, int] | tuple[str, int, int]]) -> None:
    pool = CreditPool()
    accounts = [pool.open(f"token {index % 2}") for index in range(4)]
    for step in done:
        if step[0] == "measure":
            pool.measured(limit_bytes=200 * MB, used_bytes=step[1], queued_bytes=0)
            room = (200 * MB * FILL - step[1]) * SHARE
        elif step[0] == "spend":
            pool.spend(accounts[step[1]], step[2])  # type: ignore[misc]
        elif step[0] == "reconnect":
            pool.close(accounts[step[1]])
            accounts[step[1]] = pool.open(accounts[step[1]].subject)
        else:
            before, others = accounts[step[1]].granted, pool.outstanding
            total = pool.grant(accounts[step[1]])
            if total is not None:
                assert total == accounts[step[1]].granted > before
                assert pool.outstanding > others
                assert pool.outstanding <= max(room, 0)
                assert accounts[step[1]].outstanding <= pool.window_bytes
                assert accounts[step[1]].holder.outstanding <= max(room * SUBJECT_SHARE, FIRST_BYTES)
        assert pool.outstanding == sum(account.outstanding for account in accounts)
        assert pool.waiting <= len(accounts)


def test_nothing_is_granted_before_the_store_was_measured_or_while_it_takes_nothing() -> None:
    pool = CreditPool()
    account = pool.open("token")
    assert pool.grant(account) is None
    pool.measured(limit_bytes=100 * MB, used_bytes=0, queued_bytes=0)
    pool.closed = True
    assert pool.grant(account) is None
    pool.closed = False
    assert pool.grant(account) == FIRST_BYTES


def measured(pool: CreditPool, *, used_bytes: int = 0, times: int = 1, limit_bytes: int = 1000 * MB) -> None:
    for _ in range(times):
        pool.measured(limit_bytes=limit_bytes, used_bytes=used_bytes, queued_bytes=0)


def test_a_grant_is_due_when_half_is_used() -> None:
    pool = CreditPool()
    account = pool.open("token")
    measured(pool)
    assert pool.grant(account) == 256 * 1024
    assert not pool.spend(account, 100 * 1024)
    assert pool.spend(account, 50 * 1024)
    assert pool.grant(account) == (150 + 512) * 1024
    assert pool.grant(account) is None


def use(pool: CreditPool, account: Account, *, every: int, rounds: int = 20) -> None:
    """Use up what is granted, half a window within `every` measurements."""
    for _ in range(rounds):
        measured(pool, times=every)
        pool.spend(account, max(account.outstanding, account.window // 2 + 1))
        pool.grant(account)


def test_who_uses_much_gets_a_large_window_who_uses_little_a_small_one() -> None:
    pool = CreditPool()
    account = pool.open("token")
    use(pool, account, every=1)
    assert account.outstanding == account.window == WINDOW_BYTES
    use(pool, account, every=25)
    assert account.outstanding == account.window == FIRST_BYTES


def test_idle_connections_leave_room_for_those_that_send() -> None:
    pool = CreditPool()
    measured(pool, limit_bytes=512 * MB)
    idle = [pool.open(f"token {index % 10}") for index in range(200)]
    for account in idle:
        pool.grant(account)
    busy = pool.open("busy")
    assert pool.grant(busy) == FIRST_BYTES
    assert pool.outstanding < 512 * MB * FILL * SHARE / 2


def test_one_token_does_not_take_all_the_room() -> None:
    pool = CreditPool()
    measured(pool, limit_bytes=100 * MB)
    for _ in range(2000):
        pool.grant(pool.open("greedy"))
    assert pool.grant(pool.open("other"))
    assert pool.waiting == 0, "there is room, only not for the greedy one"


def test_who_waits_for_room_is_counted_until_there_is_some() -> None:
    pool = CreditPool()
    account, gone = pool.open("token"), pool.open("token")
    measured(pool, used_bytes=900 * MB)
    assert pool.grant(account) is pool.grant(gone) is None
    assert pool.waiting == 2
    pool.close(gone)
    assert pool.waiting == 1
    measured(pool)
    assert pool.waiting == 0
    assert pool.grant(account)


def test_an_overdrawn_account_is_made_good_first() -> None:
    account = Account("token", Holder(), granted=10, used=25)
    assert (account.outstanding, account.overdrawn) == (0, 15)
