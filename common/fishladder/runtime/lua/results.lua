-- Included by scripts that settle seqs: adds a result ('' for none) to a camera's results stream and returns the stream's
-- size, for the caller to keep as `bytes` in the cursor's hash. Makes room first, so that a full store still takes it; at
-- most a few entries a call: it never stalls.
local function keep_result(results, cursor, result, keep_bytes, keep_ms)
  local bytes = #result
  if redis.call('EXISTS', results) == 1 then
    bytes = bytes + tonumber(redis.call('HGET', cursor, 'bytes') or 0)
  end
  local time = redis.call('TIME')
  local oldest_ms = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000) - keep_ms
  for _ = 1, 64 do
    local entry = redis.call('XRANGE', results, '-', '+', 'COUNT', 1)[1]
    if not entry or (bytes <= keep_bytes and tonumber(string.match(entry[1], '^%d+')) >= oldest_ms) then
      break
    end
    redis.call('XDEL', results, entry[1])
    bytes = bytes - #entry[2][2]
  end
  if result ~= '' then
    redis.call('XADD', results, '*', 'r', result)
    redis.call('PEXPIRE', results, keep_ms) -- those of a camera that is heard of no more go as well
  end
  return string.format('%.0f', bytes)
end
