#!lua flags=no-writes,allow-oom
-- Which seqs some entries of a live log hold (frame store), without what is in them.
-- KEYS log    ARGV 1 id to begin after 2 how many entries
-- Returns {id of the last one or '', epoch, first, last, ...}; ranges that touch are joined.
local reply, at = {''}, 0
for _, entry in ipairs(redis.call('XRANGE', KEYS[1], '(' .. ARGV[1], '+', 'COUNT', ARGV[2])) do
  reply[1] = entry[1]
  local epoch, last = string.match(entry[1], '^(%d+)-(%d+)$')
  epoch, last = tonumber(epoch), tonumber(last)
  local first = last
  if entry[2][1] == 'r' then
    first = struct.unpack('>I8', entry[2][2], 13)
  end
  if entry[2][1] ~= 'e' then
    if at > 0 and reply[at] == epoch and reply[at + 2] + 1 >= first then
      reply[at + 2] = last
    else
      at = #reply + 1
      reply[at], reply[at + 1], reply[at + 2] = epoch, first, last
    end
  end
end
return reply
