-- windows.lua - tells which jobs a chaos run may have lost when its Redis went back in time, and when Redis's clock
-- stepped.
--
-- A window is the time between the dump that was restored and the moment at which the store was reachable again:
--   { from (0 for FLUSHALL: the dump is empty), gone (the store of before was stopped), to (the restored one answers) }
-- What the store did in a window did not happen.  A job that was accepted in it may be gone, with its children and
-- callbacks; a job that was accepted earlier runs again when it ended in it.  Nothing else is excused.
--
-- A step is { from, to, by (seconds) }: Redis's clock was wrong by that much for so long.
local M = {}

local SETTLE_S = 1 -- a healthy store knows of a job's end within this
-- an engine has noticed within this that the store went back, and until then starts the jobs that it holds
local NOTICE_S = 1

-- When the store knew of an end at that time: soon, or soon after the outages that came in between.
local function settled_by(world, at)
  local by = at + SETTLE_S
  for _, outage in ipairs(world.outages) do -- by time
    if outage.from <= by and outage.to >= at then by = math.max(by, outage.to + SETTLE_S) end
  end
  return by
end

-- True when the span overlaps a window.  A FLUSHALL is no window for a job that had ended by then: nothing of it was
-- left to lose but its record (M.record_lost).
local function in_window(world, from, to)
  for _, window in ipairs(world.windows) do
    local begins = window.from > 0 and window.from or window.gone - SETTLE_S
    if from <= window.to + NOTICE_S and settled_by(world, to) >= begins then return true end
  end
  return false
end

-- The end of the last of a job's runs; far away when one of them was cut short.
local function last_end(runs, default)
  local last = default
  for _, run in ipairs(runs) do last = math.max(last, run.to or math.huge) end
  return last
end

--- True when any time between the first try to enqueue the job and its last end lies in a window.
function M.touched(world, entry, runs)
  if #world.windows == 0 then return false end
  local from = entry.first_try or (runs[1] and runs[1].from) or math.huge
  return in_window(world, from, last_end(runs, entry.cancelled or entry.last_try or from))
end

--- True when the job may be gone: it may have come into the store in a window, or before a FLUSHALL that it did not
-- outlive.
function M.may_be_gone(world, entry, runs)
  for _, window in ipairs(world.windows) do
    -- What has no try of a client was made by a job, before it began itself.
    local came_from = entry.first_try or (runs[1] and runs[1].from - NOTICE_S) or 0
    local came_by = entry.accepted_at or entry.last_try or came_from
    if came_from <= window.to and (came_by >= window.from or entry.unknown) then return true end
  end
  return false
end

--- True when the store may have forgotten the client's cancel of that time.
function M.cancel_lost(world, at)
  for _, window in ipairs(world.windows) do
    if at >= window.from and at <= window.to + NOTICE_S then return true end
  end
  return false
end

--- True when an attempt that ran so is repeated since the restored store does not know its end.
function M.repeats(world, run, again)
  for _, window in ipairs(world.windows) do
    local unknown = settled_by(world, run.to or math.huge) >= window.from
    if run.from <= window.to + NOTICE_S and unknown and again.from >= window.gone then return true end
  end
  return false
end

--- The times in which no engine owns what it runs, as { from, to } each: the restored store does not know of these
-- runs.
function M.unowned(world)
  local spans = {}
  for i, window in ipairs(world.windows) do spans[i] = { window.gone, window.to + NOTICE_S } end
  return spans
end

-- The time of a line of an engine's log, nil when it has none.
local function logged_at(line)
  local year, month, day, hour, min, sec = line:match "^(%d+)-(%d+)-(%d+)T(%d+):(%d+):([%d.]+)Z"
  if not year then return nil end
  local noon = { year = year, month = month, day = day, hour = 12 }
  local zone = os.time(noon) - os.time(os.date("!*t", os.time(noon)))
  return os.time { year = year, month = month, day = day, hour = hour, min = min, sec = 0 } + zone + tonumber(sec)
end

--- The times from a rollback until an engine has declared everything again, as { from, to } each: until then the store
-- knows no bounds of queues but those of its dump.
function M.undeclared(world)
  local spans = {}
  for i, window in ipairs(world.windows) do spans[i] = { window.gone, math.huge } end
  for _, life in pairs(world.lives) do
    for line in io.lines(life.log) do
      local at = (line:find("is not where it was left", 1, true) or line:find "serving %d+ task") and logged_at(line)
      for i, window in ipairs(world.windows) do
        if at and at >= window.to then spans[i][2] = math.min(spans[i][2], at + NOTICE_S) end
      end
    end
  end
  return spans
end

--- True when Redis's clock was wrong at some moment of that span.
function M.stepped(world, from, to)
  for _, step in ipairs(world.steps) do
    if from <= step.to and to >= step.from then return true end
  end
  return false
end

return M
