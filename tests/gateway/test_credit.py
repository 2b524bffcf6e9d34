"""Credit never promises more than there is room for, and comes back when there is."""

from hypothesis import given
from hypothesis import strategies as st

from fishladder.gateway.credit import FILL, SHARE, Account, CreditPool

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
    accounts = [pool.open() for _ in range(4)]
    for step in done:
        if step[0] == "measure":
            pool.measured(limit_bytes=200 * MB, used_bytes=step[1], queued_bytes=0)
            room = (200 * MB * FILL - step[1]) * SHARE
        elif step[0] == "spend":
            pool.spend(accounts[step[1]], step[2])  # type: ignore[misc]
        elif step[0] == "reconnect":
            pool.close(accounts[step[1]])
            accounts[step[1]] = pool.open()
        else:
            before, others = accounts[step[1]].granted, pool.outstanding
            total = pool.grant(accounts[step[1]])
            if total is not None:
                assert total == accounts[step[1]].granted > before
                assert pool.outstanding > others
                assert pool.outstanding <= max(room, 0)
                assert accounts[step[1]].outstanding <= pool.window_bytes
        assert pool.outstanding == sum(account.outstanding for account in accounts)


def test_nothing_is_granted_before_the_store_was_measured_or_while_it_takes_nothing() -> None:
    pool = CreditPool()
    account = pool.open()
    assert pool.grant(account) is None
    pool.measured(limit_bytes=100 * MB, used_bytes=0, queued_bytes=0)
    pool.closed = True
    assert pool.grant(account) is None
    pool.closed = False
    assert pool.grant(account) == 8 * MB


def test_a_grant_is_due_when_half_is_used() -> None:
    pool = CreditPool()
    account = pool.open()
    pool.measured(limit_bytes=1000 * MB, used_bytes=0, queued_bytes=0)
    pool.grant(account)
    assert not pool.spend(account, 3 * MB)
    assert pool.spend(account, 2 * MB)
    assert pool.grant(account) == 13 * MB
    assert pool.grant(account) is None


def test_an_overdrawn_account_is_made_good_first() -> None:
    account = Account(granted=10, used=25)
    assert (account.outstanding, account.overdrawn) == (0, 15)
