-- testing_tasks.lua - the tasks that the specs of skein.testing run, and the facts that the tasks record for them.
local assert = require "luassert"
local t = require "skein.testing"
local skein = require "skein"

local M = {}
local ran, act, heard -- of the spec that runs: see begin

local function task(name, options, handler)
  skein.task(name, options, function(job, ...)
    ran[#ran + 1] = name
    return (act[name] or handler or function() end)(job, ...)
  end)
end

task("add", {}, function(_, a, b) return a + b end)
task("echo", {}, function(_, ...) return { select("#", ...), ... } end)
task("plain", {})
task("other", { queue = "side" })
task("urgent", { priority = 2 })
task("flaky", { retries = 2, backoff = { 10, 60 } })
task("brittle", { retries = 0 })
task("dropped", { retries = 0, dead = false })
task("timed", { retries = 0, timeout = 5 })
task("kept", { keep = 100 })
task("short", { expires = 60 })
task("backed", { retries = 3, backoff = function(attempt) return attempt * 100 end })
task("unique", { unique = { key = "args", ttl = 600 } })
task("latest", { unique = { key = 1, on_conflict = "replace" } })
task("quiet", { debounce = { wait = 10, key = 1 } })
task("seldom", { throttle = { per = 60, key = 1 } })
task("single", { limit = { concurrency = 1, key = 1 } })
task("rated", { limit = { rate = 2, per = 60, burst = 2 } })
skein.queue("bounded", { max_len = 2 })
skein.queue("patient", { max_len = 1, overflow = "block", block = 5 })
task("handled", {
  retries = 1, backoff = { 1 },
  on_error = function(job, err) heard[#heard + 1] = { "error", job.task, err.attempt, err.message } end,
  on_death = function(job, err) heard[#heard + 1] = { "death", job.task, err.attempt, err.message } end,
})

--- A recorded job's args as a list.
function M.list(job) return { unpack(job.args) } end

--- fn raises that at a line of the spec.
function M.misuse(pattern, fn)
  local ok, err = pcall(fn)
  assert.is_false(ok, "it was taken: " .. pattern)
  assert.matches(pattern, tostring(err))
  assert.matches("tests/spec/testing[%a_]*_spec%.lua:%d+: ", tostring(err))
end

--- Begins a spec: fakes, and returns tables that fill while it runs: the names of the tasks that ran; what they do, by
-- name, for the spec to set; what the handlers of the task "handled" have heard.
function M.begin()
  ran, act, heard = {}, {}, {}
  t.fake()
  return ran, act, heard
end

return M
