-- declare: adds or replaces tasks, and what queues are bound to; or says that they still are (renew).  Two keys stand
-- in the place of a queue's:
-- KEYS   24 tasks: hash, task -> "priority:queue"
--        25 templates: hash, task -> the record that its jobs begin with; "@" task -> when it was declared last, ms
-- ARGV   owner: a word, or ""; "1" to renew; n; n times task, "priority:queue", template ("": none); then queue, what
--        it is bound to (lib/bound.lua; "": nothing) for each
-- In `bounds` "~" queue -> who binds it (core/logic/owners.h): what this owner has bound and binds no more goes, unless
-- another one binds it.  What nobody has declared or renewed for a week is forgotten, tasks too.
-- A task that has another limit than before: its groups are to be renewed (renew.lua).
-- Reply  1; 2 when renew is to be called
local call, now, argi, HEAD, BOUNDS, TAG, record_text, store_error = ...
if store_error then return store_error end
local TASKS, TEMPLATES = KEYS[24], KEYS[25]
-- The numbers of a template's limit.
local function numbers_of(template)
  local limit = template and record_text(template, TAG.LIMIT)
  return limit and limit:match("^(.*);") or "0;0;0;0;any"
end

local function note_limit(task, template)
  if call("HEXISTS", TASKS, task) == 0 then return end
  local before, now_numbers = numbers_of(call("HGET", TEMPLATES, task)), numbers_of(template)
  if before == now_numbers then return end
  local past, seen, n = { now_numbers, before }, { [now_numbers] = true, [before] = true }, 1
  for numbers in (call("HGET", HEAD, "limit:" .. task) or ""):gmatch("|([^|]*)") do
    if not seen[numbers] and n < 8 then
      seen[numbers] = true
      n = n + 1
      past[#past + 1] = numbers
    end
  end
  call("HSET", HEAD, "limit:" .. task, table.concat(past, "|"), "renew", "0")
end

local KEEP_MS = 7 * 86400000
local owner, renews, from = ARGV[argi + 1], ARGV[argi + 2] == "1", argi + 3
local tasks_end, bound = from + ARGV[from] * 3, {}

for k = from + 1, tasks_end, 3 do
  local task, template = ARGV[k], ARGV[k + 2]
  if not renews then
    note_limit(task, template)
    call("HSET", TASKS, task, ARGV[k + 1])
    if template ~= "" then call("HSET", TEMPLATES, task, template) else call("HDEL", TEMPLATES, task) end
  end
  if call("HEXISTS", TASKS, task) == 1 then call("HSET", TEMPLATES, "@" .. task, ("%.0f"):format(now)) end
end

local function unbind(queue) call("HDEL", BOUNDS, "=" .. queue, "@" .. queue, "~" .. queue) end

for k = tasks_end + 1, #ARGV, 2 do
  local queue, what = ARGV[k], ARGV[k + 1]
  if what ~= "" then
    bound[queue] = true
    if not renews then call("HSET", BOUNDS, "=" .. queue, what) end
  elseif not renews and (owner == "" or call("HEXISTS", BOUNDS, "~" .. queue) == 0) then
    unbind(queue)
  end
end

-- The owners of a queue after this declaration; "": none.
local function owners_now(owners, declares)
  local list = declares and { owner .. (" %.0f"):format(now) } or {}
  for other, ms in owners:gmatch("(%S+) (%d+)") do
    if other ~= owner and tonumber(ms) > now - KEEP_MS then list[#list + 1] = other .. " " .. ms end
  end
  return table.concat(list, " ")
end

local function own(queue)
  local owners = call("HGET", BOUNDS, "~" .. queue) or ""
  local declares = bound[queue]
  if renews then declares = (" " .. owners):find(" " .. owner .. " ", 1, true) end
  if not declares and owners == "" then return end -- nobody's: it was bound before there were owners, or without one
  owners = owners_now(owners, declares)
  if owners ~= "" then call("HSET", BOUNDS, "~" .. queue, owners) else unbind(queue) end
end

local function forget_tasks()
  for _, task in ipairs(call("HKEYS", TASKS)) do
    local seen = call("HGET", TEMPLATES, "@" .. task)
    if not seen then
      call("HSET", TEMPLATES, "@" .. task, ("%.0f"):format(now)) -- declared before this was known
    elseif tonumber(seen) <= now - KEEP_MS then
      call("HDEL", TASKS, task)
      call("HDEL", TEMPLATES, task, "@" .. task)
      call("HDEL", HEAD, "limit:" .. task)
    end
  end
end

if owner ~= "" then
  for _, field in ipairs(call("HKEYS", BOUNDS)) do
    if field:byte() == 61 then own(field:sub(2)) end -- "="
  end
  forget_tasks()
end
if not renews then redis.pcall("PUBLISH", ARGV[3], ARGV[2]) end
return call("HEXISTS", HEAD, "renew") + 1
