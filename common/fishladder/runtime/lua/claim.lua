#!lua flags=allow-oom
-- Grant an epoch to a session that claims a camera (state store).
-- KEYS cameras, camera, cursor
-- ARGV 1 camera 2 boot 3 hello 4 epoch the agent remembers (0: none) 5 its last captured seq 6 now_us
--      7 floor: an epoch known to be in use elsewhere 8 cursor field 9 meta (JSON; '' leaves it)
--      10 the gateway's default policy (JSON; '' for none), which holds unless one was set for this camera
--      11 field of the open set 12 how far ahead of the one known a claimed epoch may be
-- Returns {granted, epoch, cursor, policy, {epoch, last, ...} of earlier epochs not yet settled, open set}
--      or {stale} or {superseded, epoch} or {beyond, epoch} or {behind, the seq known of the epoch it claims}.
local boot, hello, claimed = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local had = redis.call('HMGET', KEYS[2], 'epoch', 'boot', 'hello', 'position')
local current = tonumber(had[1] or 0)
if had[2] == boot and tonumber(had[3]) > hello then
  return {'stale'}
end
local floor = tonumber(ARGV[7])
if claimed > 0 and claimed < math.max(current, floor) then
  return {'superseded', math.max(current, floor)}
end
if claimed > math.max(current, floor) + tonumber(ARGV[12]) then
  return {'beyond', math.max(current, floor)}
end
if claimed > 0 and claimed == current and had[2] ~= boot and tonumber(ARGV[5]) < tonumber(had[4] or 0) then
  return {'behind', tonumber(had[4])}
end
local epoch = claimed
if claimed == 0 then
  epoch = current
  if had[2] ~= boot or floor >= current then
    epoch = math.max(current, floor) + 1
  end
end
local position = tonumber(ARGV[5])
if epoch > current then
  if current > 0 then
    redis.call('HSET', KEYS[2], 'last:' .. string.format('%.0f', current), had[4] or '0')
  end
else
  position = math.max(position, tonumber(had[4] or 0))
end
redis.call('HSET', KEYS[2], 'epoch', string.format('%.0f', epoch), 'boot', boot, 'hello', ARGV[3],
  'position', string.format('%.0f', position), 'position_us', ARGV[6])
if ARGV[9] ~= '' then
  redis.call('HSET', KEYS[2], 'meta', ARGV[9])
end
if ARGV[10] ~= '' and redis.call('HEXISTS', KEYS[2], 'policy_set') == 0 then
  redis.call('HSET', KEYS[2], 'policy', ARGV[10])
end
redis.call('HDEL', KEYS[2], 'retired')
redis.call('SADD', KEYS[1], ARGV[1])

local cursor = redis.call('HGET', KEYS[3], ARGV[8]) or '0-0'
local cursor_epoch = tonumber(string.match(cursor, '^%d+'))
local earlier, fields = {}, redis.call('HGETALL', KEYS[2])
for i = 1, #fields, 2 do
  local e = tonumber(string.match(fields[i], '^last:(%d+)$'))
  if e and e >= cursor_epoch and e < epoch then
    earlier[#earlier + 1] = {e, tonumber(fields[i + 1])}
  end
end
table.sort(earlier, function(a, b) return a[1] < b[1] end)
return {'granted', epoch, cursor, redis.call('HGET', KEYS[2], 'policy') or '', earlier,
  redis.call('HGET', KEYS[3], ARGV[11]) or ''}
