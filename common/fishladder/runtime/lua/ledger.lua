#!lua flags=no-writes,allow-oom
-- Read all of a camera's ledger at one moment (state store). Not a transaction: those are refused when memory is full.
-- KEYS camera, cursor, ledger, checkpoint, results    ARGV 1 cursor field 2 field of the open set
-- Returns {camera's fields, cursor or '', ledger's fields, open set, checkpoint's fields, id of the last result or ''};
-- fields flat.
local last = redis.call('XREVRANGE', KEYS[5], '+', '-', 'COUNT', 1)[1]
return {
  redis.call('HGETALL', KEYS[1]),
  redis.call('HGET', KEYS[2], ARGV[1]) or '',
  redis.call('HGETALL', KEYS[3]),
  redis.call('HGET', KEYS[2], ARGV[2]) or '',
  redis.call('HGETALL', KEYS[4]),
  last and last[1] or '',
}
