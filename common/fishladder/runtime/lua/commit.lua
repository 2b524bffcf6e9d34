#!lua flags=allow-oom
-- Settle the seqs after `from` up to `to` (state store): results, cursor and ledger in one step, or nothing.
-- KEYS lease, cursor, ledger, results, camera
-- ARGV 1 lease token 2 cursor field 3 from 4 to 5 analysis 6 result ('' for none)
--      7 results kept, bytes 8 results kept, ms 9 field of the open set
--      10 what is deferred, as `first-last` with a space between ('' for none), ascending 11.. pairs: fate, count
-- Within one epoch the counts must add up to the seqs settled; a step to another epoch goes to its seq 0 with none.
-- What is deferred has no fate yet: it goes to the open set, which is for `settle` to empty.
-- Returns {ok} or {lease} or {cursor, where it is}.
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
local settled = 0
local deferred = 0
for first, last in string.gmatch(ARGV[10], '(%d+)-(%d+)') do
  deferred = deferred + tonumber(last) - tonumber(first) + 1
end
for i = 11, #ARGV, 2 do
  local count = tonumber(ARGV[i + 1])
  if count <= 0 then
    return redis.error_reply('IMBALANCE ' .. ARGV[i + 1] .. ' frames are ' .. ARGV[i])
  end
  settled = settled + count
  if ARGV[i] == 'deferred' then
    deferred = deferred - count
  end
end
if deferred ~= 0 then
  return redis.error_reply('IMBALANCE the deferred ranges are not those counted: ' .. ARGV[10])
end
if from_epoch == to_epoch then
  if settled ~= tonumber(to_seq) - tonumber(from_seq) or settled <= 0 then
    return redis.error_reply('IMBALANCE ' .. settled .. ' fates for ' .. ARGV[3] .. ' to ' .. ARGV[4])
  end
elseif settled ~= 0 or to_seq ~= '0' or tonumber(to_epoch) < tonumber(from_epoch) then
  return redis.error_reply('IMBALANCE not a step to a later epoch: ' .. ARGV[3] .. ' to ' .. ARGV[4])
end

local bytes = keep_result(KEYS[4], KEYS[2], ARGV[6], tonumber(ARGV[7]), tonumber(ARGV[8]))
redis.call('HSET', KEYS[2], ARGV[2], ARGV[4], 'bytes', bytes)
if ARGV[10] ~= '' then
  -- The live cursor only ascends, so what is deferred now comes after all that was deferred before.
  local open = redis.call('HGET', KEYS[2], ARGV[9]) or ''
  for first, last in string.gmatch(ARGV[10], '(%d+)-(%d+)') do
    local before, epoch, open_first, open_last = string.match(open, '^(.-)(%d+):(%d+)-(%d+)$')
    if epoch == to_epoch and tonumber(open_last) + 1 == tonumber(first) then
      open = before .. epoch .. ':' .. open_first .. '-' .. last
    else
      open = open .. (open ~= '' and ' ' or '') .. to_epoch .. ':' .. first .. '-' .. last
    end
  end
  redis.call('HSET', KEYS[2], ARGV[9], open)
end
for i = 11, #ARGV, 2 do
  if ARGV[i] ~= 'deferred' then
    redis.call('HINCRBY', KEYS[3], ARGV[5] .. '/' .. ARGV[i], ARGV[i + 1])
  end
end
if from_epoch ~= to_epoch then
  redis.call('HINCRBY', KEYS[3], ARGV[5] .. '/closed', from_seq)
  redis.call('HDEL', KEYS[5], 'last:' .. from_epoch)
end
return {'ok'}
