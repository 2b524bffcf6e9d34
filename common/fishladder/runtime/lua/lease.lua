#!lua flags=allow-oom
-- A worker's lease of one partition (state store): taken when free, kept by whoever holds the token.
-- KEYS lease    ARGV 1 acquire|renew|release 2 token 3 ttl_ms
-- Returns 1 if the caller holds the lease afterwards (release: if it held it before), else 0.
local holder = redis.call('GET', KEYS[1])
if ARGV[1] == 'acquire' and not holder then
  redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
  return 1
end
if holder ~= ARGV[2] then
  return 0
end
if ARGV[1] == 'release' then
  redis.call('DEL', KEYS[1])
else
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
end
return 1
