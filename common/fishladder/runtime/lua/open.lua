#!lua
-- Give a camera's live log a new session (frame store). The old session can append no more.
-- What the old one left in the backfill lane is dropped: it is still open, so it will be asked for again.
-- KEYS owner, log, backfill
-- ARGV 1 boot 2 hello 3 session 4 epoch 5 remembers (1: the agent knows this epoch from before)
--      6 cursor epoch 7 cursor seq 8 next if the log must begin anew within `epoch`
--      9 fate of seqs no one can send again, log intact 10 the same, log lost
--      11.. pairs: an earlier epoch, its last captured seq; ascending, none before the cursor's
-- Returns {kept|rewound, next} or {stale} (a later hello of this boot was here) or {epoch, owner's epoch}.
local boot, hello, session, epoch = ARGV[1], tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4])
local remembers, cursor_epoch, cursor_seq = ARGV[5] == '1', tonumber(ARGV[6]), tonumber(ARGV[7])

local had = redis.call('HMGET', KEYS[1], 'boot', 'hello', 'epoch', 'next')
local at_epoch, at_next = tonumber(had[3]), tonumber(had[4])
if had[1] == boot and tonumber(had[2]) > hello then
  return {'stale'}
end
if at_epoch and (at_epoch > epoch or (at_epoch == epoch and had[1] ~= boot and not remembers)) then
  return {'epoch', at_epoch}
end

-- Does what is logged reach back to the cursor?
local intact = false
if at_epoch and (at_epoch > cursor_epoch or (at_epoch == cursor_epoch and at_next > cursor_seq)) then
  local entry = redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', 1)[1]
  if entry then
    local first_epoch, first_seq = string.match(entry[1], '^(%d+)-(%d+)$')
    first_epoch, first_seq = tonumber(first_epoch), tonumber(first_seq)
    if entry[2][1] == 'r' then
      first_seq = struct.unpack('>I8', entry[2][2], 13)
    elseif entry[2][1] == 'e' then
      first_epoch, first_seq = struct.unpack('>I8I8', entry[2][2])
      first_seq = first_seq + 1
    end
    intact = first_epoch < cursor_epoch or (first_epoch == cursor_epoch and first_seq <= cursor_seq + 1)
  else
    intact = at_epoch == cursor_epoch and at_next == cursor_seq + 1
  end
end

local next, fate
if intact then
  next, fate = at_next, tonumber(ARGV[9])
else
  redis.call('DEL', KEYS[1], KEYS[2])
  at_epoch, next, fate = cursor_epoch, cursor_seq + 1, tonumber(ARGV[10])
end

if at_epoch < epoch then
  -- Close the epochs in between: what of them no one has becomes a range, and a marker says where each ended.
  local last = {}
  for i = 11, #ARGV, 2 do
    last[#last + 1] = {tonumber(ARGV[i]), tonumber(ARGV[i + 1])}
  end
  last[#last + 1] = {epoch, 0}
  local reached = next - 1
  for _, step in ipairs(last) do
    if step[1] > at_epoch then
      redis.call('XADD', KEYS[2], string.format('%.0f-0', step[1]), 'e', struct.pack('>I8I8', at_epoch, reached))
      at_epoch, reached = step[1], 0
    end
    if step[1] == at_epoch and step[2] > reached then
      redis.call('XADD', KEYS[2], string.format('%.0f-%.0f', at_epoch, step[2]), 'r',
        struct.pack('>BBHI8I8I8i8i8', 1, fate, 0, at_epoch, reached + 1, step[2], 0, 0))
      reached = step[2]
    end
  end
  next = 1
elseif not intact then
  next = tonumber(ARGV[8])
end
redis.call('HSET', KEYS[1], 'boot', boot, 'hello', ARGV[2], 'session', session,
  'epoch', ARGV[4], 'next', string.format('%.0f', next), 'filled', '0')
redis.call('XTRIM', KEYS[3], 'MAXLEN', 0) -- not DEL, which would forget the last id
return {intact and 'kept' or 'rewound', next}
