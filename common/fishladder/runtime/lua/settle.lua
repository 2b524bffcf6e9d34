#!lua flags=allow-oom
-- Settle seqs of the open set (state store): results, open set and ledger in one step, or nothing.
-- KEYS lease, cursor, ledger, results
-- ARGV 1 lease token 2 field of the open set 3 epoch 4 analysis 5 result
--      6 results kept, bytes 7 results kept, ms 8.. triples: fate, first, last; ascending
-- Returns {ok, open set} or {lease} or {open, the set as it is} if some of it is not open.
-- include results
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return {'lease'}
end
local set = redis.call('HGET', KEYS[2], ARGV[2]) or ''
local left = {}
local function keep(epoch, first, last)
  if first <= last then
    left[#left + 1] = string.format('%s:%.0f-%.0f', epoch, first, last)
  end
end
local at = 8
for epoch, first, last in string.gmatch(set, '(%d+):(%d+)-(%d+)') do
  first, last = tonumber(first), tonumber(last)
  while epoch == ARGV[3] and at <= #ARGV and tonumber(ARGV[at + 1]) <= last do
    local from, to = tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
    if from < first or to > last or to < from then
      return {'open', set}
    end
    keep(epoch, first, from - 1)
    first, at = to + 1, at + 3
  end
  keep(epoch, first, last)
end
if at <= #ARGV then
  return {'open', set}
end
local open = table.concat(left, ' ')
local bytes = keep_result(KEYS[4], KEYS[2], ARGV[5], tonumber(ARGV[6]), tonumber(ARGV[7]))
redis.call('HSET', KEYS[2], ARGV[2], open, 'bytes', bytes)
for i = 8, #ARGV, 3 do
  redis.call('HINCRBY', KEYS[3], ARGV[4] .. '/' .. ARGV[i], string.format('%.0f', ARGV[i + 2] - ARGV[i + 1] + 1))
end
return {'ok', open}
