#!lua flags=allow-oom
-- Record how far a camera has captured (state store). Never goes back within an epoch.
-- KEYS camera    ARGV 1 epoch 2 last captured seq 3 now_us 4 what its gateway sees of it (JSON; '' leaves it)
local had = redis.call('HMGET', KEYS[1], 'epoch', 'position')
if had[1] ~= ARGV[1] then
  return 0
end
if tonumber(ARGV[2]) > tonumber(had[2] or 0) then
  redis.call('HSET', KEYS[1], 'position', ARGV[2])
end
redis.call('HSET', KEYS[1], 'position_us', ARGV[3])
if ARGV[4] and ARGV[4] ~= '' then
  redis.call('HSET', KEYS[1], 'flow', ARGV[4])
end
return 1
