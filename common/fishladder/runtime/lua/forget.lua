#!lua flags=allow-oom
-- Delete a live log that does not reach back to the cursor, with its owner (frame store): the next append is fenced.
-- KEYS owner, log    ARGV 1 session the caller saw ('' for none)
local session = redis.call('HGET', KEYS[1], 'session')
if (session or '') ~= ARGV[1] then
  return 0
end
redis.call('DEL', KEYS[1], KEYS[2])
return 1
