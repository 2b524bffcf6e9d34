#!lua flags=allow-oom
-- Note the name of one of a site's cameras (state store), unless the site has too many.
-- KEYS site    ARGV 1 name 2 how many there may be 3 1: a camera of old, which is noted in any case
-- Returns 1 if it is one of the site's cameras, else 0.
if redis.call('SISMEMBER', KEYS[1], ARGV[1]) == 1 then
  return 1
end
if ARGV[3] ~= '1' and redis.call('SCARD', KEYS[1]) >= tonumber(ARGV[2]) then
  return 0
end
redis.call('SADD', KEYS[1], ARGV[1])
return 1
