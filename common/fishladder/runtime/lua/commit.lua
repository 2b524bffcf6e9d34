#!lua flags=allow-oom
-- Settle the seqs after `from` up to `to` (state store): results, cursor and ledger in one step, or nothing.
-- KEYS lease, cursor, ledger, results, camera
-- ARGV 1 lease token 2 cursor field 3 from 4 to 5 analysis 6 result ('' for none)
--      7 results kept, bytes 8 results kept, ms 9.. pairs: fate, count
-- Within one epoch the counts must add up to the seqs settled; a step to another epoch goes to its seq 0 with none.
-- Returns {ok} or {lease} or {cursor, where it is}.
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
for i = 9, #ARGV, 2 do
  local count = tonumber(ARGV[i + 1])
  if count <= 0 then
    return redis.error_reply('IMBALANCE ' .. ARGV[i + 1] .. ' frames are ' .. ARGV[i])
  end
  settled = settled + count
end
if from_epoch == to_epoch then
  if settled ~= tonumber(to_seq) - tonumber(from_seq) or settled <= 0 then
    return redis.error_reply('IMBALANCE ' .. settled .. ' fates for ' .. ARGV[3] .. ' to ' .. ARGV[4])
  end
elseif settled ~= 0 or to_seq ~= '0' or tonumber(to_epoch) < tonumber(from_epoch) then
  return redis.error_reply('IMBALANCE not a step to a later epoch: ' .. ARGV[3] .. ' to ' .. ARGV[4])
end

-- Make room first, so that a full store still takes commits. At most a few entries a commit: it never stalls.
local keep_bytes, keep_ms = tonumber(ARGV[7]), tonumber(ARGV[8])
local bytes = #ARGV[6]
if redis.call('EXISTS', KEYS[4]) == 1 then
  bytes = bytes + tonumber(redis.call('HGET', KEYS[2], 'bytes') or 0)
end
local time = redis.call('TIME')
local oldest_ms = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000) - keep_ms
for _ = 1, 64 do
  local entry = redis.call('XRANGE', KEYS[4], '-', '+', 'COUNT', 1)[1]
  if not entry or (bytes <= keep_bytes and tonumber(string.match(entry[1], '^%d+')) >= oldest_ms) then
    break
  end
  redis.call('XDEL', KEYS[4], entry[1])
  bytes = bytes - #entry[2][2]
end

if ARGV[6] ~= '' then
  redis.call('XADD', KEYS[4], '*', 'r', ARGV[6])
  redis.call('PEXPIRE', KEYS[4], ARGV[8]) -- those of a camera that is heard of no more go as well
end
redis.call('HSET', KEYS[2], ARGV[2], ARGV[4], 'bytes', string.format('%.0f', bytes))
for i = 9, #ARGV, 2 do
  redis.call('HINCRBY', KEYS[3], ARGV[5] .. '/' .. ARGV[i], ARGV[i + 1])
end
if from_epoch ~= to_epoch then
  redis.call('HINCRBY', KEYS[3], ARGV[5] .. '/closed', from_seq)
  redis.call('HDEL', KEYS[5], 'last:' .. from_epoch)
end
return {'ok'}
