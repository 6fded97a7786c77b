-- left_over.lua - finds the things that a store still has when no job waits or runs, beside counters, registries and
-- kept records.  Anything found is a slot, a lock or a place in a lane that has leaked.
local uv = require "luv"
local process = require "tests.support.process"

local M = {}

-- Tables that must be empty then.  Jobs that are kept belong to their groups, without a slot; g = 0 is the turn of a
-- queue's jobs that have no limit; engines that run may hold nothing.
local KEPT_IN_GROUP = "(SELECT count(*) FROM job WHERE flags>>4=g)" -- sqlite.h: SQ_FLAG_BITS
local TABLES = { "lock", "limit_group WHERE slots<>0 OR jobs=0 OR jobs<>" .. KEPT_IN_GROUP, "group_member",
  "group_lane WHERE g<>0", "stop",
                 "hold WHERE engine NOT IN (SELECT num FROM engine)", "front", "later" }

--- path: of the SQLite file.  A list of texts, empty when nothing is left.
function M.sqlite(path)
  local parts = {}
  for i, name in ipairs(TABLES) do parts[i] = ("SELECT '%s', count(*) FROM %s"):format(name, name) end
  local child = process.start("sqlite3", {
    args = { "-readonly", "-separator", "|", path, table.concat(parts, " UNION ALL ") }, env = uv.os_environ(),
      name = "sqlite3",
  })
  if child:wait(10) ~= 0 then return { "sqlite3: " .. child.stderr } end
  local left = {}
  for name, n in child.stdout:gmatch "([^|\n]+)|(%d+)" do
    if n ~= "0" then left[#left + 1] = ("%s: %s rows"):format(name, n) end
  end
  return left
end

-- Keys that may stay, by the last part of their names.
local KEPT_KEYS = { head = true, jobs = true, queues = true, counts = true, tasks = true, templates = true,
  dead = true, done = true,
                    cancelled = true, kept = true, engines = true, leases = true, bounds = true }

-- Slots and lines that are left in the hash of groups (core/store/redis/scripts/lib/group.lua).
local function groups_left(connection, name, left)
  local fields = assert(connection:call("HGETALL", name))
  for i = 1, #fields, 2 do
    local field, value = fields[i], fields[i + 1]
    local kind = field:sub(1, 1)
    if kind == "#" or (kind == "=" and not value:find "^0 [1-9]") or (kind == "@" and value:sub(1, 1) ~= "0") then
      left[#left + 1] = ("%s: %s is %s"):format(name, field, value)
    end
  end
end

--- server: tests/support/redis.lua's; db: the number of its database.  The same.
function M.redis(server, db)
  local left, connection = {}, assert(server:connect())
  assert(connection:call("SELECT", db))
  for _, key in ipairs(server:keys(db)) do
    local part = key.name:match "[^:]*$"
    if part == "groups" then groups_left(connection, key.name, left)
    elseif not KEPT_KEYS[part] then left[#left + 1] = ("%s %s of %d"):format(key.name, key.type, key.size) end
  end
  connection:close()
  return left
end

return M
