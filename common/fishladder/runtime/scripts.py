"""The Lua scripts that run inside the stores, by name. Each script's own comment is its documentation."""

import re
from functools import cache
from hashlib import sha1
from importlib.resources import files
from typing import Any, NamedTuple

from redis.asyncio import Redis
from redis.exceptions import NoScriptError

_INCLUDE = re.compile(rb"^-- include (\w+)\n", re.MULTILINE)


class Script(NamedTuple):
    name: str
    source: bytes
    sha: str


@cache
def script(name: str) -> Script:
    """Load `lua/<name>.lua`. A line `-- include <other>` in it stands for that file."""
    source = _INCLUDE.sub(lambda line: _source(line[1].decode()), _source(name))
    return Script(name, source, sha1(source, usedforsecurity=False).hexdigest())


def _source(name: str) -> bytes:
    return (files("fishladder.runtime") / "lua" / f"{name}.lua").read_bytes()


async def run(store: Redis, name: str, keys: list[str], args: list[Any], *, reads_only: bool = False) -> Any:
    """Run a script, loading it first where the server does not have it (a restarted server has none).

    `reads_only`: for users who may not write the keys, which EVALSHA asks for whatever the script does with them.
    """
    it = script(name)
    call = store.evalsha_ro if reads_only else store.evalsha
    try:
        return await call(it.sha, len(keys), *keys, *args)
    except NoScriptError:
        await store.script_load(it.source)
        return await call(it.sha, len(keys), *keys, *args)


def text(value: bytes | str) -> str:
    """A name from a reply. Our clients do not decode replies, but redis-py's types allow for ones that do."""
    return value.decode() if isinstance(value, bytes) else value
