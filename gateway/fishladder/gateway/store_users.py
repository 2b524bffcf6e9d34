"""The users of a stack's two stores: each part logs in as its own, and may do there what `acl/` says and no more. A
store is given the sums of their passwords, a part the URL with its own; those that are there already stay.
"""

import re
import secrets
from hashlib import sha256
from importlib.resources import files as resources
from pathlib import Path

STORES = ("frames", "state")
#: Where the stores find what is made for them.
_MOUNTED = "/run/fishladder"
_OPERATOR = "operator"
#: File -> the store it is for, and as whom.
_LOGINS = {
    "gateway/redis.url": ("state", "gateway"),
    "gateway/frames.url": ("frames", "gateway"),
    "worker/redis.url": ("state", "worker"),
    "worker/frames.url": ("frames", "worker"),
    "sink/redis.url": ("state", "sink"),
    "admin/redis.url": ("state", "admin"),
    "admin/reader.url": ("state", "reader"),
}


def files(place: Path) -> dict[str, bytes]:
    """What has to stand in which file below `place`. Passwords in the files that are there are kept."""
    made: dict[str, bytes] = {}
    passwords: dict[str, dict[str, str]] = {store: {} for store in STORES}
    for name, (store, user) in _LOGINS.items():
        password = passwords[store][user] = _kept(place / name, f"redis://{user}:(.+)@")
        made[name] = f"redis://{user}:{password}@{store}:6379/0\n".encode()
    for store in STORES:
        password = passwords[store][_OPERATOR] = _kept(place / store / "operator.password", "(.+)")
        made[f"{store}/operator.password"] = f"{password}\n".encode()
        made[f"{store}/users.acl"] = users(store, passwords[store]).encode()
        made[f"{store}/store.conf"] = f"aclfile {_MOUNTED}/users.acl\n".encode()
    return made


def users(store: str, passwords: dict[str, str]) -> str:
    """A store's `aclfile`, with the sums of these passwords. A user without one cannot log in."""
    text = (resources(__package__) / "acl" / f"{store}.acl").read_text()
    for user, password in passwords.items():
        text = text.replace(f">{user.upper()}_PASSWORD", f"#{sha256(password.encode()).hexdigest()}")
    return re.sub(r" >[A-Z]+_PASSWORD", "", text)


def _kept(path: Path, pattern: str) -> str:
    """The password in a file, or a new one."""
    found = re.match(pattern, path.read_text()) if path.exists() else None
    return found[1] if found else secrets.token_urlsafe(32)
