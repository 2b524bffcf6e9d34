-- Included by scripts that settle seqs, after `open_set`: adds a result to a camera's results stream, in words for
-- people (`r`) and for `checkpoint` (`s`: analysis, lane, epoch, then fate:first-last ...), and makes room first, so that
-- a full store still takes it; at most a few entries a call: it never stalls.
--
-- The checkpoint says where the camera stood before the oldest result that is kept: the fields of its cursor's and its
-- ledger's hash, as they were. What is forgotten moves it on. With nothing kept it is the present; `after` is the id of
-- the last entry that is in it though still in the stream.

local function checkpoint_begin(names, after)
  local fields = {'after', after}
  for _, name in ipairs({names.cursor, names.ledger}) do
    local found = redis.call('HGETALL', name)
    for i = 1, #found, 2 do
      if string.find(found[i], '/', 1, true) then
        fields[#fields + 1] = found[i]
        fields[#fields + 1] = found[i + 1]
      end
    end
  end
  redis.call('DEL', names.checkpoint)
  redis.call('HSET', names.checkpoint, unpack(fields))
end

local function checkpoint_move(checkpoint, settled)
  local analysis, lane, epoch, runs = string.match(settled, '^(%S+) (%S+) (%d+) (.*)$')
  local cursor_field, open_field = 'live/' .. analysis, 'open/' .. analysis
  local had = redis.call('HMGET', checkpoint, cursor_field, open_field)
  local open, last = had[2] or '', nil
  if lane == 'backfill' then
    open = open_take(open, epoch, runs) or open
  end
  for fate, first, to in string.gmatch(runs, '([%w_]+):(%d+)-(%d+)') do
    last = to
    if fate == 'deferred' then
      open = open_add(open, epoch, first, to)
    else
      redis.call('HINCRBY', checkpoint, analysis .. '/' .. fate, string.format('%.0f', to - first + 1))
    end
  end
  redis.call('HSET', checkpoint, open_field, open)
  if lane == 'live' then
    local epoch_before, seq_before = string.match(had[1] or '0-0', '^(%d+)-(%d+)$')
    if epoch_before ~= epoch then
      redis.call('HINCRBY', checkpoint, analysis .. '/closed', seq_before)
    end
    redis.call('HSET', checkpoint, cursor_field, epoch .. '-' .. last)
  end
end

local function id_after(id, other)
  local ms, n = string.match(id, '^(%d+)-(%d+)$')
  local other_ms, other_n = string.match(other, '^(%d+)-(%d+)$')
  return tonumber(ms) > tonumber(other_ms) or (ms == other_ms and tonumber(n) > tonumber(other_n))
end

-- names: results, cursor, ledger, checkpoint. Returns the stream's size, for the caller to keep as `bytes` in the
-- cursor's hash. Call it before the cursor, the open set and the ledger are changed.
local function keep_result(names, result, settled, keep_bytes, keep_ms)
  local bytes = #result
  local kept = redis.call('EXISTS', names.results) == 1
  if kept then
    bytes = bytes + tonumber(redis.call('HGET', names.cursor, 'bytes') or 0)
  end
  local after = redis.call('HGET', names.checkpoint, 'after')
  if not (kept and after) then
    local last = kept and redis.call('XREVRANGE', names.results, '+', '-', 'COUNT', 1)[1]
    after = last and last[1] or '0-0'
    checkpoint_begin(names, after)
  end
  local time = redis.call('TIME')
  local oldest_ms = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000) - keep_ms
  for _ = 1, 64 do
    local entry = redis.call('XRANGE', names.results, '-', '+', 'COUNT', 1)[1]
    if not entry or (bytes <= keep_bytes and tonumber(string.match(entry[1], '^%d+')) >= oldest_ms) then
      break
    end
    redis.call('XDEL', names.results, entry[1])
    bytes = bytes - #entry[2][2]
    if entry[2][4] and id_after(entry[1], after) then -- older versions wrote no `s`
      checkpoint_move(names.checkpoint, entry[2][4])
    end
  end
  if settled ~= '' then
    redis.call('XADD', names.results, '*', 'r', result, 's', settled)
    redis.call('PEXPIRE', names.results, keep_ms) -- those of a camera that is heard of no more go as well
  end
  return string.format('%.0f', bytes)
end
