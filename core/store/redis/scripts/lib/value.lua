-- A job's value in `jobs`:
--   code place body      code: r READY in its list   f READY in front   g READY in its group's line (lib/group.lua)
--                              s SCHEDULED   t RETRY   d DONE   x DEAD   c CANCELLED
--                        place: none for r, else two numbers of 8 bytes, big-endian: due and seq (f, g, s, t); until and seq (d, x, c)
--   body := rank queue-length queue task-length task record        rank "0".."4" = 2 - priority; lengths are a byte
-- A job in `held` is RUNNING whatever its code says: it is where it was taken from, and returns there on release.
local function u64(n) return struct.pack(">I8", n) end
local function body_of(value) return value:sub(1, 1) == "r" and value:sub(2) or value:sub(18) end
-- Offsets within a body: where queue and task end.
local function body_ends(body)
  local queue_end = 2 + body:byte(2)
  return queue_end, queue_end + 1 + body:byte(queue_end + 1)
end
local function queue_of(body) return body:sub(3, 2 + body:byte(2)) end
-- Without making the body, which for Lua is a string of its own.
local function queue_in(value)
  local at = value:sub(1, 1) == "r" and 3 or 19
  return value:sub(at + 1, at + value:byte(at))
end
local function later_member(code, value, id) return value:sub(10, 17) .. code .. id end
