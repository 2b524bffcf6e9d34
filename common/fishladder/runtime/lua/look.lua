#!lua flags=no-writes,allow-oom
-- See at one moment who writes a live log and what comes next in it (frame store). Not a transaction: those are refused
-- when memory is full.
-- KEYS owner, log    ARGV 1 id to look after
-- Returns {session, epoch, next, its first entry after that or ''}, '' for what is missing.
local owner = redis.call('HMGET', KEYS[1], 'session', 'epoch', 'next')
local entry = redis.call('XRANGE', KEYS[2], '(' .. ARGV[1], '+', 'COUNT', 1)[1]
return {owner[1] or '', owner[2] or '', owner[3] or '', entry or ''}
