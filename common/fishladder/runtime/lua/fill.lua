#!lua
-- Append to one camera's backfill lane (frame store). A session's entries are numbered from 1, so that a write that is
-- repeated adds nothing.
-- KEYS owner, backfill    ARGV 1 session 2 number of the first entry, then pairs: field, value
-- Returns {0 accepted | 1 duplicate | 2 gap | 3 fenced, next number}.
-- Not `allow-oom`: over the memory limit it is refused before anything is written.
local have = redis.call('HMGET', KEYS[1], 'session', 'filled')
if have[1] ~= ARGV[1] then
  return {3, 0}
end
local number, filled = tonumber(ARGV[2]), tonumber(have[2] or 0)
if number > filled + 1 then
  return {2, filled + 1}
end
local before = filled
for i = 3, #ARGV, 2 do
  if number > filled then
    redis.call('XADD', KEYS[2], '*', ARGV[i], ARGV[i + 1])
    filled = number
  end
  number = number + 1
end
if filled > before then
  redis.call('HSET', KEYS[1], 'filled', filled)
end
return {filled > before and 0 or 1, filled + 1}
