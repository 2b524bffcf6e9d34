#!lua flags=allow-oom
-- Record how far a camera has captured (state store). Never goes back within an epoch.
-- KEYS camera    ARGV 1 epoch 2 last captured seq 3 now_us
local had = redis.call('HMGET', KEYS[1], 'epoch', 'position')
if had[1] ~= ARGV[1] then
  return 0
end
if tonumber(ARGV[2]) > tonumber(had[2] or 0) then
  redis.call('HSET', KEYS[1], 'position', ARGV[2])
end
redis.call('HSET', KEYS[1], 'position_us', ARGV[3])
return 1
