-- around.lua - the jobs of a chaos run that have limits, unique keys, callbacks or a bounded queue, or are cancelled
-- while they run.  scripts/around.lua has their tasks, check_around.lua the conditions that must hold for them.
local M = {}

--- The limits, by kind.  Keys are few, so that jobs are held back all the time.
M.LIMITED = { keys = 12, concurrency = 2 }
-- a multiple of the clients: all jobs of a key come from one client, which alone knows their order
M.STRICT = { keys = 8 }
M.PACED = { keys = 2, rate = 40, per = 1 }
M.UNIQUE_KEYS, M.REPLACED_KEYS = 8, 4
M.THROTTLED = { keys = 8, per = 0.5 }
M.BOUNDED = { queue = "tight", max_len = 10, concurrency = 4, block = 0.5 }
M.REPLACED_DELAY_S = 0.3
local CANCEL_AFTER_S = 0.3
local CALLER_SLEEP_S = 4 -- beyond a lease: some end where their job is another's by then, and may not enqueue anything

--- kind, share of all jobs, how it must end (plan.lua); "done or replaced": by a later job with its key.
M.KINDS = {
  { "limited", 0.06, "done" },
  { "strict", 0.02, "done" },
  { "paced", 0.02, "done" },
  { "unique", 0.02, "done" },
  { "replaced", 0.01, "done or replaced" },
  { "throttled", 0.01, "done" },
  { "bounded", 0.02, "done" },
  { "caller", 0.02, "done" },
  { "doomed", 0.005, "dead", error = "error", attempts = 2 },
  { "stopped", 0.005, "cancelled" }, -- while it runs, or just before or after
}

M.SHARE = 0
for _, kind in ipairs(M.KINDS) do M.SHARE = M.SHARE + kind[2] end

-- What befalls its first attempt.
local function trouble(x, fails, kills) return x < kills and "kill" or x < kills + fails and "fail" or "none" end

local function pick(x, prefix, n) return prefix .. math.floor(x * n) end

local FILL = {
  limited = function(job, random)
    job.key, job.sleep, job.trouble = pick(random() ^ 2, "l", M.LIMITED.keys), random() * 0.06,
      trouble(random(), 0.1, 0.003)
    job.options = { limit = { concurrency = M.LIMITED.concurrency, key = job.key } }
  end,
  strict = function(job, random)
    job.key, job.sleep, job.trouble = "s" .. job.n % M.STRICT.keys, random() * 0.03, trouble(random(), 0.15, 0.003)
    job.options = { limit = { order = "strict", key = job.key } }
  end,
  paced = function(job, random)
    job.key = pick(random(), "p", M.PACED.keys)
    job.options = { limit = { rate = M.PACED.rate, per = M.PACED.per, key = job.key } }
  end,
  unique = function(job, random)
    job.key, job.sleep, job.trouble = pick(random(), "u", M.UNIQUE_KEYS), random() * 0.1, trouble(random(), 0.2, 0.003)
    job.options = { unique = { key = job.key } }
  end,
  replaced = function(job, random)
    job.key, job.delay = pick(random(), "r", M.REPLACED_KEYS), M.REPLACED_DELAY_S
    job.options = { unique = { key = job.key, on_conflict = "replace" } }
  end,
  throttled = function(job, random)
    job.key = pick(random(), "t", M.THROTTLED.keys)
    job.options = { throttle = { per = M.THROTTLED.per, key = job.key } }
  end,
  bounded = function(job, random)
    job.sleep, job.options = random() * 0.2, { queue = M.BOUNDED.queue }
  end,
  caller = function(job, random)
    job.trouble = trouble(random(), 0.2, 0.003)
    job.sleep = random() < 0.1 and random() * CALLER_SLEEP_S or random() * 0.02
    job.options = {
      on_success = { task = "called", args = { job.n, "success" } }, on_error = { task = "mourned", args = { job.n } },
    }
  end,
  doomed = function(job)
    job.options = { on_success = { task = "called", args = { job.n, "success" } },
      on_error = { task = "mourned", args = { job.n } } }
  end,
  stopped = function(job, random) job.cancel_after = random() * CANCEL_AFTER_S end,
}

--- Fills in what plan.job leaves open: key, options (of its signature), sleep, trouble, delay, cancel_after.  False for
-- other kinds.
function M.fill(job, random)
  local fill = FILL[job.task]
  if not fill then return false end
  fill(job, random)
  job.arg = { sleep = job.sleep, trouble = job.trouble }
  return true
end

--- The attempt that ends it.
function M.attempts_of(job) return job.trouble == "fail" and 2 or 1 end

return M
