-- notes.lua - lines that jobs append to the run's files: one write each, to a file opened with O_APPEND.
--   S id attempt core worker time      a run began         E id how core worker time      it ended: done, failed
--   K worker time                      the worker is about to kill itself
--   B id n how time                    the callback of job n runs: how that ended, or "wrong" when it was given
-- something else
local ffi = require "ffi"
local skein = require "skein"

ffi.cdef "int getpid(void); int getppid(void); int kill(int, int); int open(const char *, int, ...); int close(int);"
local O_CREAT_EXCL = 0xC0

local M = {}
local dir = assert(os.getenv "CHAOS_DIR", "CHAOS_DIR is not set")
local core = ffi.C.getppid()
local file = assert(io.open(("%s/runs.%d"):format(dir, core), "a"))
assert(file:setvbuf("full", 65536))
M.pid = ffi.C.getpid()

local function line(fmt, ...)
  file:write(fmt:format(...))
  file:flush()
end

function M.started(job) line("S %s %d %d %d %.3f\n", job.id, job.attempt, core, M.pid, skein.now()) end
function M.ended(job, how) line("E %s %s %d %d %.3f\n", job.id, how, core, M.pid, skein.now()) end
function M.dying() line("K %d %.3f\n", M.pid, skein.now()) end
function M.callback(job, n, how) line("B %s %d %s %.3f\n", job.id, n, how, skein.now()) end

function M.die()
  M.dying()
  ffi.C.kill(M.pid, 9)
end

--- Declares a task whose runs are noted: S line, the handler, E line with how it ended.
function M.task(name, options, handler)
  options.backoff = options.backoff or { "constant", base = 0.2 }
  skein.task(name, options, function(job, ...)
    M.started(job)
    local ok, result = pcall(handler, job, ...)
    M.ended(job, ok and "done" or "failed")
    if not ok then error(result, 0) end
    return result
  end)
end

--- True for the first caller with that n, in whatever process.
function M.first_time(n)
  local fd = ffi.C.open(("%s/once.%d"):format(dir, n), O_CREAT_EXCL, ffi.cast("int", 384))
  if fd >= 0 then ffi.C.close(fd) end
  return fd >= 0
end

return M
