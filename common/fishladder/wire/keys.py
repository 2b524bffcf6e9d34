"""Names of everything kept in Redis or Valkey.

`{p}` is the partition and, in braces, the cluster hash tag: all keys of one partition live in one slot, so
scripts may touch them together. No script touches two partitions or both stores.

Frame store (memory only)
    fl:{p}:owner:<cam>      hash    boot, hello, session, epoch, next; filled = backfill entries of this session
    fl:{p}:log:<cam>        stream  units and ranges of the live lane, id = position of the last seq in the entry
    fl:{p}:backfill:<cam>   stream  units (also of context) and ranges of the backfill lane, in decode order, id = any

State store (durable)
    fl:{p}:cameras          set     names
    fl:{p}:camera:<cam>     hash    epoch, boot, hello, position, position_us, last:<epoch>, policy,
                                    policy_set (1: for this camera, not its gateway's default), meta,
                                    policy_ms (when it was set), asked (what the stack asks beyond it), flow (what its
                                    gateway sees of it, see `reports`), reported (what its agent says that it does),
                                    retired (since when nobody speaks of it; until it is heard of again)
    fl:{p}:cursor:<cam>     hash    live/<analysis> -> epoch-seq; open/<analysis> -> what is deferred (`open_set`);
                                    bytes = size of the results stream; poison = units that crash their worker;
                                    begun:<lane>, trying:<lane> = the worker at it, and the unit under suspicion
    fl:{p}:ledger:<cam>     hash    <analysis>/<fate> -> count; <analysis>/closed -> seqs of finished epochs
    fl:{p}:results:<cam>    stream  r = one commit's result, JSON; s = the same for the checkpoint (`lua/results.lua`)
    fl:{p}:forgetting:<cam> stream  results on their way to take the place of the others (`fishladder forget`)
    fl:{p}:checkpoint:<cam> hash    cursor, open set and ledger as they were before the oldest result that is kept;
                                    after = id of the last result that is in it
    fl:{p}:lease            string  a worker's random token, expiring
    fl:site:<site>          set     names of the site's cameras, for the limit on their number
    fl:poison               stream  samples of units that crashed their worker: camera, unit, units
    fl:workers              hash    worker -> heartbeat, JSON (these three: see `reports`)
    fl:uplinks              hash    <site>/<token's subject> -> what its agent says of the uplink, JSON
    fl:sinks                hash    sink -> how it does, JSON
    fl:sink:{name}          string  lease of a sink, a random token, expiring
    fl:sink:{name}:cursor   hash    camera -> id of the last result delivered
    fl:meta                 hash    schema, partitions (in both stores)

Publish/subscribe (state store)
    fl:{p}:committed        [[camera, epoch, seq], ...] after each durable commit
    fl:{p}:control          {"camera": ..., "keyframe": true} or {"camera": ..., "settled": true} (its open set has
                            changed) or {"camera": ..., "asked": {...}} from workers to gateways,
                            {"camera": ..., "policy": {...}} from who sets one
"""

SCHEMA = 1
META = "fl:meta"
WORKERS = "fl:workers"
POISON = "fl:poison"
UPLINKS = "fl:uplinks"
SINKS = "fl:sinks"

LIVE = "live"
BACKFILL = "backfill"
#: Name of a camera's only analysis until it has several.
ANALYSIS = "main"


def owner(partition: int, camera: str) -> str:
    return f"fl:{{{partition}}}:owner:{camera}"


def log(partition: int, camera: str) -> str:
    return f"fl:{{{partition}}}:log:{camera}"


def backfill(partition: int, camera: str) -> str:
    return f"fl:{{{partition}}}:backfill:{camera}"


def cameras(partition: int) -> str:
    return f"fl:{{{partition}}}:cameras"


def site(name: str) -> str:
    return f"fl:site:{name}"


def camera(partition: int, camera: str) -> str:
    return f"fl:{{{partition}}}:camera:{camera}"


def cursor(partition: int, camera: str) -> str:
    return f"fl:{{{partition}}}:cursor:{camera}"


def ledger(partition: int, camera: str) -> str:
    return f"fl:{{{partition}}}:ledger:{camera}"


def results(partition: int, camera: str) -> str:
    return f"fl:{{{partition}}}:results:{camera}"


def forgetting(partition: int, camera: str) -> str:
    return f"fl:{{{partition}}}:forgetting:{camera}"


def checkpoint(partition: int, camera: str) -> str:
    return f"fl:{{{partition}}}:checkpoint:{camera}"


def lease(partition: int) -> str:
    return f"fl:{{{partition}}}:lease"


def sink_lease(name: str) -> str:
    return f"fl:sink:{{{name}}}"


def sink_cursor(name: str) -> str:
    return f"fl:sink:{{{name}}}:cursor"


def committed(partition: int) -> str:
    return f"fl:{{{partition}}}:committed"


def control(partition: int) -> str:
    return f"fl:{{{partition}}}:control"
