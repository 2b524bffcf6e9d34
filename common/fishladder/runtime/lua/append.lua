#!lua
-- Append to live logs (frame store), some cameras of one partition in one call.
-- KEYS owner, log of each camera
-- ARGV for each camera: session, epoch, n, then n times: first seq, last seq, field, value
-- Returns for each camera {0 accepted | 1 duplicate | 2 gap | 3 fenced, next}. What came before a gap is accepted.
-- Not `allow-oom`: over the memory limit the whole call is refused before anything is written.
local reply, at = {}, 1
for camera = 1, #KEYS / 2 do
  local owner, log = KEYS[2 * camera - 1], KEYS[2 * camera]
  local session, epoch, n = ARGV[at], ARGV[at + 1], tonumber(ARGV[at + 2])
  at = at + 3
  local have = redis.call('HMGET', owner, 'session', 'next')
  if have[1] ~= session then
    reply[camera] = {3, 0}
  else
    local before = tonumber(have[2])
    local next, status = before, 1
    for entry = at, at + 4 * (n - 1), 4 do
      local first, last = tonumber(ARGV[entry]), tonumber(ARGV[entry + 1])
      if first > next then
        status = 2
        break
      end
      if last >= next then
        redis.call('XADD', log, epoch .. '-' .. ARGV[entry + 1], ARGV[entry + 2], ARGV[entry + 3])
        next, status = last + 1, 0
      end
    end
    if next > before then
      redis.call('HSET', owner, 'next', string.format('%.0f', next))
    end
    reply[camera] = {status, next}
  end
  at = at + 4 * n
end
return reply
