-- A job's value in `jobs`:
--   code place body      code: r READY in its list   f READY in front   g READY in its group's line (lib/group.lua)
--                              s SCHEDULED   t RETRY   d DONE   x DEAD   c CANCELLED
--                        place: none for r, else two numbers of 8 bytes, big-endian: due and seq (f, g, s, t); until
--                        and seq (d, x, c)
--   body := rank queue-length queue task-length task record        rank "0".."4" = 2 - priority; lengths are a byte
-- A job in `held` is RUNNING whatever its code says: it is where it was taken from, and returns there on release.
local function u64(n) return struct.pack(">I8", n) end
local function body_of(value) return value:sub(1, 1) == "r" and value:sub(2) or value:sub(18) end
-- Offsets within a body: where queue and task end.  What is no value has parts of some kind, too, but raises no error.
local function body_ends(body)
  local queue_end = 2 + (body:byte(2) or 0)
  return queue_end, queue_end + 1 + (body:byte(queue_end + 1) or 0)
end
local function queue_of(body) return body:sub(3, 2 + (body:byte(2) or 0)) end
-- Without making the body, which for Lua is a string of its own.
local function queue_in(value)
  local at = value:sub(1, 1) == "r" and 3 or 19
  return value:sub(at + 1, at + (value:byte(at) or 0))
end
-- Is it a value?
local function is_value(value)
  local at = value:find("^[fgstdxc]") and 19 or value:sub(1, 1) == "r" and 3
  if not at or not value:sub(at - 1, at - 1):find("^[0-4]$") or (value:byte(at) or 0) == 0 then return false end
  local task_at = at + 1 + value:byte(at)
  return task_at + (value:byte(task_at) or #value) <= #value
end
-- The body of a job that belongs to a queue, whatever its value says: rank queue task, and the rest.
local function body_in(value, queue)
  if not is_value(value) then return "2" .. string.char(#queue) .. queue .. "\1?", value end
  local body = body_of(value)
  local queue_end, task_end = body_ends(body)
  return body:sub(1, 1) .. string.char(#queue) .. queue .. body:sub(queue_end + 1, task_end), body:sub(task_end + 1)
end
local function later_member(code, value, id) return value:sub(10, 17) .. code .. id end

return u64, body_of, body_ends, queue_of, queue_in, is_value, body_in, later_member
