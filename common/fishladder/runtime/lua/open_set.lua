-- Included by scripts that keep an open set: a text of ranges, `epoch:first-last` with a space between, ascending.

-- The set with a range added. The live cursor only ascends, so what is deferred now comes after all deferred before.
local function open_add(set, epoch, first, last)
  local before, last_epoch, last_first, last_last = string.match(set, '^(.-)(%d+):(%d+)-(%d+)$')
  if last_epoch == epoch and tonumber(last_last) + 1 == tonumber(first) then
    return before .. epoch .. ':' .. last_first .. '-' .. last
  end
  return set .. (set ~= '' and ' ' or '') .. epoch .. ':' .. first .. '-' .. last
end

-- The set without `runs` (fate:first-last, ascending) of an epoch; nil if some of them are not in it.
local function open_take(set, epoch, runs)
  local take, left, at = {}, {}, 1
  for first, last in string.gmatch(runs, ':(%d+)-(%d+)') do
    take[#take + 1] = {tonumber(first), tonumber(last)}
  end
  local function keep(first, last)
    if first <= last then
      left[#left + 1] = string.format('%s:%.0f-%.0f', epoch, first, last)
    end
  end
  for this, first, last in string.gmatch(set, '(%d+):(%d+)-(%d+)') do
    if this ~= epoch then
      left[#left + 1] = this .. ':' .. first .. '-' .. last
    else
      first, last = tonumber(first), tonumber(last)
      while take[at] and take[at][1] <= last do
        local from, to = take[at][1], take[at][2]
        if from < first or to > last or to < from then
          return nil
        end
        keep(first, from - 1)
        first, at = to + 1, at + 1
      end
      keep(first, last)
    end
  end
  if take[at] then
    return nil
  end
  return table.concat(left, ' ')
end
