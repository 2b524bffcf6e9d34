"""How many bytes agents may send, so that what they send finds room in the frame store. Pure: fed with what the store
says of its memory, it answers with cumulative grants, one account a connection.
"""

from dataclasses import dataclass

#: The store is filled up to this part of its limit; the rest is for replies, buffers and the allocator's waste.
FILL = 0.9
#: Of what is free a gateway gives away this part at most, as there may be others.
SHARE = 0.5
WINDOW_BYTES = 8 * 1024 * 1024
#: Less than this is not worth granting: it would only cut units into crumbs.
LEAST_BYTES = 4096


@dataclass(slots=True, eq=False)
class Account:
    """One connection's bytes since it began."""

    granted: int = 0
    used: int = 0

    @property
    def outstanding(self) -> int:
        return max(self.granted - self.used, 0)

    @property
    def overdrawn(self) -> int:
        return max(self.used - self.granted, 0)


class CreditPool:
    """Shares out the store's free memory. Before the first `measured`, and while `closed`, it grants nothing."""

    def __init__(self, *, window_bytes: int = WINDOW_BYTES) -> None:
        self.window_bytes = window_bytes
        self.closed = False  #: the store takes nothing at the moment
        self.outstanding = 0  #: granted and not used, of all accounts
        self._accounts = 0
        self._room = 0  # at the last measurement, less what has come in since

    def open(self) -> Account:
        self._accounts += 1
        return Account()

    def close(self, account: Account) -> None:
        """Once for each account."""
        self._accounts -= 1
        self.outstanding -= account.outstanding

    def measured(self, *, limit_bytes: int, used_bytes: int, queued_bytes: int) -> None:
        """What the store says of its memory, and what is on its way there and may or may not be in that figure."""
        self._room = int((limit_bytes * FILL - used_bytes) * SHARE) - queued_bytes

    def spend(self, account: Account, size: int) -> bool:
        """Count bytes that came in; True when half of its window is used, so that a new grant is due."""
        left = account.granted - account.used
        if left > 0:
            self.outstanding -= size if size < left else left
        account.used += size
        self._room -= size
        return left - size < self.window_bytes >> 1

    def grant(self, account: Account) -> int | None:
        """The new cumulative grant of an account, or None if it stays as it is."""
        if self.closed:
            return None
        fair = min(self.window_bytes, self._room // max(self._accounts, 1))
        more = min(fair - account.outstanding, self._room - self.outstanding)
        # Small steps would cost a message for each unit.
        if more < max(LEAST_BYTES, fair // 4):
            return None
        account.granted = max(account.granted, account.used) + more
        self.outstanding += more
        return account.granted
