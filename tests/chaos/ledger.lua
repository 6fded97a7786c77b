-- ledger.lua - reads what clients and jobs wrote during a chaos run.
local files = require "tests.support.files"

local M = {}

--- What became of each try to enqueue: id -> { accepted, accepted_at, unknown (time of the first doubt), first_try,
-- last_try, cancelled (when) }, and totals { tries, accepted, refused, unknown, taken, longest = { call -> seconds },
-- finished (clients) }.
function M.clients(dir)
  local jobs, totals = {}, { tries = 0, accepted = 0, refused = 0, unknown = 0, there = 0, taken = 0, finished = 0,
    longest = {}, wrong = {} }
  local function job_of(id)
    local job = jobs[id]
    if not job then
      job = {}
      jobs[id] = job
    end
    return job
  end
  local NOTE = {
    T = function(job, at)
      -- An earlier try without an answer: its client was killed.
      if job.trying then job.unknown = job.unknown or job.trying end
      job.trying, job.first_try, job.last_try = at, job.first_try or at, at
      totals.tries = totals.tries + 1
    end,
    A = function(job, at)
      job.accepted_at = job.accepted_at or at
      job.accepted, job.accepts, job.trying = true, (job.accepts or 0) + 1, nil
      totals.accepted = totals.accepted + 1
    end,
    X = function(job, _, id)
      if not job.unknown and not job.accepted then totals.wrong[#totals.wrong + 1] = id end
      job.accepted, job.trying = true, nil
      totals.there = totals.there + 1
    end,
    D = function(job)
      job.trying = nil
      totals.taken = totals.taken + 1
    end,
    N = function(job)
      job.trying = nil
      totals.refused = totals.refused + 1
    end,
    U = function(job, at)
      job.unknown, job.trying = job.unknown or at, nil
      totals.unknown = totals.unknown + 1
    end,
    C = function(job, at) job.cancelled = at end,
  }
  for _, name in ipairs(files.list(dir)) do
    if name:match "^client%.%d+$" then
      for line in io.lines(dir .. "/" .. name) do
        local kind, rest = line:match "^(%u) (.*)$"
        if NOTE[kind] then
          local at = tonumber(rest:match "^%S+")
          for id in rest:gmatch "%f[%S]j%d+" do NOTE[kind](job_of(id), at, id) end
        elseif kind == "L" then
          local took, call = rest:match "^(%S+) (%S+)$"
          totals.longest[call] = math.max(totals.longest[call] or 0, tonumber(took))
        elseif kind == "F" then
          totals.finished = totals.finished + 1
        end
      end
    end
  end
  for _, job in pairs(jobs) do
    if job.trying then job.unknown = job.unknown or job.trying end
  end
  return jobs, totals
end

--- Runs by job id, each list by time of start: { { attempt, core, worker, from, to (nil: cut short), how } }, and by
-- worker the time at which it killed itself; and the runs of callbacks: { id, n, how, at }.
function M.runs(dir)
  local runs, died, callbacks = {}, {}, {}
  for _, name in ipairs(files.list(dir)) do
    if name:match "^runs%." then
      local open = {}
      for line in io.lines(dir .. "/" .. name) do
        local kind, id, what, core, worker, at = line:match "^([SE]) (%S+) (%S+) (%d+) (%d+) ([%d.]+)$"
        if kind == "S" then
          local run = { attempt = tonumber(what), core = tonumber(core), worker = tonumber(worker),
            from = tonumber(at) }
          local list = runs[id]
          if list then list[#list + 1] = run else runs[id] = { run } end
          local key = id .. " " .. worker
          open[key] = open[key] or {}
          table.insert(open[key], run)
        elseif kind == "E" then
          local key = id .. " " .. worker
          local run = assert(open[key] and table.remove(open[key], 1), "an end without a start: " .. line)
          run.to, run.how = tonumber(at), what
          if #open[key] == 0 then open[key] = nil end
        elseif line:byte() == 66 then -- B
          local callback, n, how, when = line:match "^B (%S+) (%d+) (%S+) ([%d.]+)$"
          callbacks[#callbacks + 1] = { id = assert(callback, line), n = tonumber(n), how = how, at = tonumber(when) }
        else
          local dead, when = line:match "^K (%d+) ([%d.]+)$"
          assert(dead, "not a line of a run: " .. line)
          died[tonumber(dead)] = tonumber(when)
        end
      end
    end
  end
  for _, list in pairs(runs) do table.sort(list, function(a, b) return a.from < b.from end) end
  return runs, died, callbacks
end

return M
