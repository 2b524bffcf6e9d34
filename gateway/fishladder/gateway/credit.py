"""How many bytes agents may send, so that what they send finds room in the frame store. Pure: fed with what the store
says of its memory, it answers with cumulative grants, one account a connection. What was granted cannot be taken back,
so an account begins small and grows as it is used, and all of one token's accounts share a part of the room.
"""

from dataclasses import dataclass

#: The store is filled up to this part of its limit; the rest is for replies, buffers and the allocator's waste.
FILL = 0.9
#: Of what is free a gateway gives away this part at most, as there may be others.
SHARE = 0.5
#: One token's connections hold this part of the room at most, or what one connection begins with.
SUBJECT_SHARE = 0.25
FIRST_BYTES = 256 * 1024
WINDOW_BYTES = 8 * 1024 * 1024
#: Less than this is not worth granting: it would only cut units into crumbs.
LEAST_BYTES = 4096
#: In measurements (two a second): half a window used within the first doubles it, hardly used in the second halves it.
GROW_WITHIN, SHRINK_AFTER = 4, 20


@dataclass(slots=True, eq=False)
class Holder:
    """A token's subject with its accounts."""

    accounts: int = 0
    outstanding: int = 0


@dataclass(slots=True, eq=False)
class Account:
    """One connection's bytes since it began. `window` is how far grants go ahead of what is used."""

    subject: str
    holder: Holder
    granted: int = 0
    used: int = 0
    window: int = FIRST_BYTES
    granted_at: int = 0  #: in measurements

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
        self._holders: dict[str, Holder] = {}
        self._sharing = 0  # accounts that were granted anything
        self._waiting: set[Account] = set()
        self._measured = 0  # times
        self._room = 0  # at the last measurement, less what has come in since

    @property
    def waiting(self) -> int:
        """How many accounts have nothing left because there is no room."""
        short = self.closed or self._room - self.outstanding < LEAST_BYTES
        return len(self._waiting) if short else 0

    def open(self, subject: str) -> Account:
        holder = self._holders.setdefault(subject, Holder())
        holder.accounts += 1
        return Account(subject, holder, window=min(FIRST_BYTES, self.window_bytes))

    def close(self, account: Account) -> None:
        """Once for each account."""
        holder = account.holder
        holder.outstanding -= account.outstanding
        self.outstanding -= account.outstanding
        self._sharing -= account.granted > 0
        self._waiting.discard(account)
        holder.accounts -= 1
        if not holder.accounts:
            del self._holders[account.subject]

    def measured(self, *, limit_bytes: int, used_bytes: int, queued_bytes: int) -> None:
        """What the store says of its memory, and what is on its way there and may or may not be in that figure."""
        self._room = int((limit_bytes * FILL - used_bytes) * SHARE) - queued_bytes
        self._measured += 1

    def spend(self, account: Account, size: int) -> bool:
        """Count bytes that came in; True when half of its window is used, so that a new grant is due."""
        left = account.granted - account.used
        if left > 0:
            taken = size if size < left else left
            self.outstanding -= taken
            account.holder.outstanding -= taken
        account.used += size
        self._room -= size
        return left - size < account.window >> 1

    def grant(self, account: Account) -> int | None:
        """The new cumulative grant of an account that has something to send, or None if it stays as it is."""
        if self.closed:
            self._wait(account)
            return None
        window = self._window(account)
        if window < account.window:
            account.window, account.granted_at = window, self._measured
        fair = min(window, self._room // max(self._sharing + (not account.granted), 1))
        free = self._room - self.outstanding
        more = min(fair - account.outstanding, free)
        if more < LEAST_BYTES:
            self._wait(account)
            return None
        more = min(more, max(int(self._room * SUBJECT_SHARE), FIRST_BYTES) - account.holder.outstanding)
        # Small steps would cost a message for each unit.
        if more < LEAST_BYTES or (account.outstanding >= LEAST_BYTES and more < fair // 4):
            return None
        self._waiting.discard(account)
        self._sharing += not account.granted
        account.window, account.granted_at = window, self._measured
        account.granted = max(account.granted, account.used) + more
        self.outstanding += more
        account.holder.outstanding += more
        return account.granted

    def _window(self, account: Account) -> int:
        """By how long the last grant lasted: about what is used in four seconds."""
        if not account.granted:
            return account.window
        lasted = self._measured - account.granted_at
        if lasted <= GROW_WITHIN and account.outstanding <= account.window >> 1:
            return min(account.window * 2, self.window_bytes)
        if lasted >= SHRINK_AFTER:
            return max(account.window >> 1, min(FIRST_BYTES, self.window_bytes))
        return account.window

    def _wait(self, account: Account) -> None:
        if account.outstanding < LEAST_BYTES:
            self._waiting.add(account)
