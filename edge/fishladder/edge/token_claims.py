"""What a token says of itself. The agent cannot verify it, and need not: the gateway does. Pure."""

from base64 import urlsafe_b64decode

import msgspec


class Claims(msgspec.Struct, frozen=True):
    jti: str  #: a renewed token has that of the one before
    exp: float


def claims(token: str) -> Claims | None:
    """None if it is nothing of the kind."""
    parts = token.split(".")
    if len(parts) != 3 or not all("!" <= sign <= "~" for sign in token):
        return None
    try:
        found = msgspec.json.decode(urlsafe_b64decode(f"{parts[1]}=="), type=Claims)
    except (ValueError, msgspec.DecodeError, RecursionError):
        return None
    return found if found.jti else None


def renews(kept: str, seed: str) -> bool:
    """Whether `kept` is the same token as `seed`, good for longer.

    Any other seed was put there by somebody, who wants it used, and it may be for other cameras. The two are compared
    with each other, not with this host's clock, which may be wrong: of two that have expired neither helps.
    """
    ours, theirs = claims(kept), claims(seed)
    return ours is not None and theirs is not None and ours.jti == theirs.jti and ours.exp >= theirs.exp
