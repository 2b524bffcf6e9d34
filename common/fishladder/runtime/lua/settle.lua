#!lua flags=allow-oom
-- Settle seqs of the open set (state store): results, open set and ledger in one step, or nothing.
-- KEYS lease, cursor, ledger, results, checkpoint
-- ARGV 1 lease token 2 field of the open set 3 epoch 4 analysis 5 result 6 results kept, bytes 7 results kept, ms
--      8 what became of them, as `fate:first-last` with a space between, ascending
-- Returns {ok, open set} or {lease} or {open, the set as it is} if some of it is not open.
-- include open_set
-- include results
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return {'lease'}
end
local set = redis.call('HGET', KEYS[2], ARGV[2]) or ''
local open = open_take(set, ARGV[3], ARGV[8])
if not open then
  return {'open', set}
end
local names = {cursor = KEYS[2], ledger = KEYS[3], results = KEYS[4], checkpoint = KEYS[5]}
local settled = table.concat({ARGV[4], 'backfill', ARGV[3], ARGV[8]}, ' ')
local bytes = keep_result(names, ARGV[5], settled, tonumber(ARGV[6]), tonumber(ARGV[7]))
redis.call('HSET', KEYS[2], ARGV[2], open, 'bytes', bytes)
for fate, first, last in string.gmatch(ARGV[8], '([%w_]+):(%d+)-(%d+)') do
  redis.call('HINCRBY', KEYS[3], ARGV[4] .. '/' .. fate, string.format('%.0f', last - first + 1))
end
return {'ok', open}
