-- left_over.lua - what a store still has when no job waits or runs, beside counters, registries and kept records: nothing, or a slot, a
-- lock or a place in a line has leaked.
local uv = require "luv"
local process = require "tests.support.process"

local M = {}

-- Tables that must be empty then; g = 0 is the turn of a queue's jobs without a limit; engines that run may hold nothing.
local TABLES = { "lock", "grp", "member", "line WHERE g<>0", "stop", "hold WHERE engine NOT IN (SELECT num FROM engine)", "front", "later" }

--- path: of the SQLite file.  A list of texts, empty when nothing is left.
function M.sqlite(path)
  local parts = {}
  for i, name in ipairs(TABLES) do parts[i] = ("SELECT '%s', count(*) FROM %s"):format(name, name) end
  local child = process.start("sqlite3", {
    args = { "-readonly", "-separator", "|", path, table.concat(parts, " UNION ALL ") }, env = uv.os_environ(), name = "sqlite3",
  })
  if child:wait(10) ~= 0 then return { "sqlite3: " .. child.stderr } end
  local left = {}
  for name, n in child.stdout:gmatch "([^|\n]+)|(%d+)" do
    if n ~= "0" then left[#left + 1] = ("%s: %s rows"):format(name, n) end
  end
  return left
end

-- Keys that may stay, by the last part of their names.
local KEPT_KEYS = { head = true, jobs = true, queues = true, counts = true, tasks = true, dead = true, done = true, cancelled = true,
                    kept = true, engines = true, leases = true, bounds = true }

--- server: tests/support/redis.lua's; db: the number of its database.  The same.
function M.redis(server, db)
  local left = {}
  for _, key in ipairs(server:keys(db)) do
    if not KEPT_KEYS[key.name:match "[^:]*$"] then left[#left + 1] = ("%s %s of %d"):format(key.name, key.type, key.size) end
  end
  return left
end

return M
