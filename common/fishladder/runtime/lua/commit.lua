#!lua flags=allow-oom
-- Settle the seqs after `from` up to `to` (state store): results, cursor and ledger in one step, or nothing.
-- KEYS lease, cursor, ledger, results, checkpoint, camera
-- ARGV 1 lease token 2 cursor field 3 from 4 to 5 analysis 6 result 7 results kept, bytes 8 results kept, ms
--      9 field of the open set
--      10 what became of them, as `fate:first-last` with a space between, ascending ('' for a step)
-- Within one epoch the ranges must cover the seqs settled without a gap; a step to another epoch goes to its seq 0 and
-- has none. What is deferred has no fate yet: it goes to the open set, which is for `settle` to empty.
-- Returns {ok} or {lease} or {cursor, where it is}.
-- include open_set
-- include results
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return {'lease'}
end
local cursor = redis.call('HGET', KEYS[2], ARGV[2]) or '0-0'
if cursor ~= ARGV[3] then
  return {'cursor', cursor}
end
local from_epoch, from_seq = string.match(ARGV[3], '^(%d+)-(%d+)$')
local to_epoch, to_seq = string.match(ARGV[4], '^(%d+)-(%d+)$')
local at, step = tonumber(from_seq), from_epoch ~= to_epoch
for _, first, last in string.gmatch(ARGV[10], '([%w_]+):(%d+)-(%d+)') do
  if tonumber(first) ~= at + 1 or tonumber(last) < tonumber(first) then
    return redis.error_reply('IMBALANCE ' .. first .. '-' .. last .. ' after ' .. string.format('%.0f', at))
  end
  at = tonumber(last)
end
if step and (ARGV[10] ~= '' or to_seq ~= '0' or tonumber(to_epoch) < tonumber(from_epoch)) then
  return redis.error_reply('IMBALANCE not a step to a later epoch: ' .. ARGV[3] .. ' to ' .. ARGV[4])
elseif not step and (at ~= tonumber(to_seq) or at == tonumber(from_seq)) then
  return redis.error_reply('IMBALANCE ' .. ARGV[10] .. ' is not ' .. ARGV[3] .. ' to ' .. ARGV[4])
end

local names = {cursor = KEYS[2], ledger = KEYS[3], results = KEYS[4], checkpoint = KEYS[5]}
local settled = step and '' or table.concat({ARGV[5], 'live', to_epoch, ARGV[10]}, ' ')
local bytes = keep_result(names, ARGV[6], settled, tonumber(ARGV[7]), tonumber(ARGV[8]))
redis.call('HSET', KEYS[2], ARGV[2], ARGV[4], 'bytes', bytes)
local open
for fate, first, last in string.gmatch(ARGV[10], '([%w_]+):(%d+)-(%d+)') do
  if fate == 'deferred' then
    open = open_add(open or redis.call('HGET', KEYS[2], ARGV[9]) or '', to_epoch, first, last)
  else
    redis.call('HINCRBY', KEYS[3], ARGV[5] .. '/' .. fate, string.format('%.0f', last - first + 1))
  end
end
if open then
  redis.call('HSET', KEYS[2], ARGV[9], open)
end
if step then
  redis.call('HINCRBY', KEYS[3], ARGV[5] .. '/closed', from_seq)
  redis.call('HDEL', KEYS[6], 'last:' .. from_epoch)
end
return {'ok'}
