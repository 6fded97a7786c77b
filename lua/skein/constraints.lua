--- Locks (the options `unique`, `debounce` and `throttle`) and limits (the option `limit`) of jobs. The module checks
-- the options, writes them as text into a task's template, and writes them with the job's key into a job's record
-- (core/logic/lock.h, core/logic/limit.h).
--
-- A key is the task's name, "/" and a part that the option `key` selects:
--
-- - "args": the digest of all args.
-- - A number n: the n-th arg. A string stands as it is, any other value as JSON.
-- - A function: the value that it returns for the args.
-- - Any other string: that string.
--
-- A key of more than 200 bytes is replaced by its digest. The key of a limit then still begins with the task's name
-- and "/", if both together have at most 256 bytes. No name contains "/", so two tasks never share a key. Clients in
-- all languages make the same keys.
-- @module skein.constraints
local core = require "skein.core"
local schema = require "skein.schema"
local concat, floor, sort = table.concat, math.floor, table.sort

local M = {}

local LIMITS = core.LIMITS
local KEY_PLAIN_MAX = 200 -- bytes; longer keys are digested. Clients in other languages use the same length
local MODES = { reject = true, replace = true }
local ORDERS = { any = true, strict = true }

-- Stands for a key function of a script that this process has not loaded.
local ELSEWHERE = {}

local function ms(seconds)
  local whole = floor(seconds * 1000 + 0.5)
  return whole == 0 and seconds > 0 and 1 or whole
end

--- The options ------------------------------------------------------------------------------------------------------

local function is_position(value)
  return type(value) == "number" and value >= 1 and value <= LIMITS.args and value % 1 == 0
end

local function task_key(value)
  if value == "args" or is_position(value) or schema.callable(value) == nil then return nil end
  return '"args", the number of an arg, or a function(...) of the args'
end

local function job_key(value)
  if type(value) == "string" and value ~= "" or is_position(value) or schema.callable(value) == nil then return nil end
  return '"args", another text that is the key itself, the number of an arg, or a function(...) of the args'
end

-- Makes the check of debounce or throttle: seconds, or a table with the time under `name`. With `off`, false is allowed
-- too and turns off the task's option.
local function time_or(name, key, off)
  local expected = ("a number of seconds, more than 0, or { %s =, key = }"):format(name)
  local fields = schema.fields({ [name] = schema.positive_seconds, key = key }, expected)
  return function(value, path)
    if type(value) == "number" then return schema.positive_seconds(value) and expected end
    if off and value == false then return nil end
    local wrong, problem = fields(value, path)
    if wrong or problem or off or value[name] ~= nil then return wrong, problem end
    return nil, ("option %s.%s is missing, expected a number of seconds, more than 0"):format(path, name)
  end
end

local function unique_check(key)
  local fields = schema.fields({ key = key, ttl = schema.positive_seconds, on_conflict = schema.one_of(MODES) },
    "true, false or { key =, ttl =, on_conflict = }")
  return function(value, path)
    if type(value) ~= "boolean" then return fields(value, path) end
  end
end

-- The message if the fields of a limit contradict each other; nil if they fit.
local function limit_problem(limit, path)
  if not limit.rate and (limit.per or limit.burst) then
    return ("option %s.%s needs %s.rate"):format(path, limit.per and "per" or "burst", path)
  end
  if limit.order == "strict" and limit.concurrency and limit.concurrency ~= 1 then
    return ('option %s.concurrency is %s, expected 1 with order = "strict"'):format(path,
      schema.show(limit.concurrency))
  end
end

local function limit_check(key, off)
  local fields = schema.fields({
    concurrency = schema.integer(1, LIMITS.concurrency), rate = schema.integer(1, LIMITS.rate),
    per = schema.positive_seconds, burst = schema.integer(1, LIMITS.rate), order = schema.one_of(ORDERS), key = key,
  }, "a table { concurrency =, rate =, per =, burst =, key =, order = }")
  return function(value, path)
    if off and value == false then return nil end
    local wrong, problem = fields(value, path)
    if wrong or problem then return wrong, problem end
    problem = limit_problem(value, path)
    if problem then return nil, problem end
    if not off and not (value.concurrency or value.rate or value.order or value.key) then
      return nil, ("option %s: a concurrency, a rate or a key is expected in it"):format(path)
    end
  end
end

--- The checks of the options of a task: a part of its schema.
M.task_options = {
  unique = unique_check(task_key), debounce = time_or("wait", task_key), throttle = time_or("per", task_key),
  limit = limit_check(task_key),
}
--- The checks of the options of one job: a part of its schema.
M.job_options = {
  unique = unique_check(job_key), debounce = time_or("wait", job_key, true), throttle = time_or("per", job_key, true),
  limit = limit_check(job_key, true),
}

--- Locks ------------------------------------------------------------------------------------------------------------

-- The lock of the option debounce or throttle, whose time is in the field `time_name`; or nil and a message.
local function timed(mode, option, time_name, base)
  if type(option) == "number" then option = { [time_name] = option } end
  local time = option[time_name]
  base = base and base.mode == mode and base or { key = "args" }
  if not (time or base.ttl_ms) then
    return nil, ("option %s.%s is missing, expected a number of seconds, more than 0"):format(mode, time_name)
  end
  return { mode = mode, ttl_ms = time and ms(time) or base.ttl_ms, key = option.key or base.key }
end

--- Reads the lock from the options unique, debounce and throttle, which exclude each other.
-- @tparam table options they were checked
-- @tparam[opt] table base the task's lock: its values stand for those that the options leave out
-- @treturn[1] ?table|boolean { mode =, ttl_ms =, key = }; false if the options turn the lock off; nil without these
-- options
-- @return[2] nil
-- @treturn[2] string the message of a mistake
function M.lock(options, base)
  local unique, debounce, throttle = options.unique, options.debounce, options.throttle
  if unique == nil and debounce == nil and throttle == nil then return nil end
  if (unique and (debounce or throttle)) or (debounce and throttle) then
    return nil, "the options unique, debounce and throttle exclude each other"
  end
  if debounce then return timed("debounce", debounce, "wait", base) end
  if throttle then return timed("throttle", throttle, "per", base) end
  if not unique then return false end
  if unique == true then unique = {} end
  base = base and MODES[base.mode] and base or { mode = "reject", ttl_ms = 0, key = "args" }
  return {
    mode = unique.on_conflict or base.mode,
    ttl_ms = unique.ttl and ms(unique.ttl) or base.ttl_ms,
    key = unique.key or base.key,
  }
end

--- Limits -----------------------------------------------------------------------------------------------------------

--- Reads the limit from the option limit.
-- @tparam table options they were checked
-- @tparam[opt] table base the task's limit: its values stand for those that the option leaves out
-- @treturn[1] ?table|boolean { concurrency =, rate =, per_ms =, burst =, order =, key = }, where 0 is no limit; false
-- if the option turns the limit off; nil without the option
-- @return[2] nil
-- @treturn[2] string the message of a mistake
function M.limit(options, base)
  local limit = options.limit
  if not limit then return limit end
  base = base or { concurrency = 0, rate = 0, per_ms = 0, burst = 0, order = "any" }
  local rate = limit.rate or base.rate
  local spec = {
    concurrency = limit.concurrency or base.concurrency, rate = rate,
    per_ms = limit.per and ms(limit.per) or base.per_ms, burst = limit.burst or base.burst,
    order = limit.order or base.order, key = limit.key or base.key,
  }
  if rate > 0 and spec.per_ms == 0 then spec.per_ms = 1000 end
  if rate > 0 and spec.burst == 0 then spec.burst = 1 end
  if spec.order == "strict" and spec.concurrency == 0 then spec.concurrency = 1 end
  if rate == 0 and (spec.per_ms > 0 or spec.burst > 0) then return nil, "option limit: per and burst need a rate" end
  if rate == 0 and spec.concurrency == 0 and not spec.key then
    return nil, "option limit: a concurrency, a rate or a key is expected in it"
  end
  if spec.order == "strict" and spec.concurrency ~= 1 then
    return nil, ('option limit.concurrency is %d, expected 1 with order = "strict"'):format(spec.concurrency)
  end
  return spec
end

--- Templates --------------------------------------------------------------------------------------------------------

-- The text of a task's option `key` in its template.
local function source_text(key)
  if key == nil then return "task" end
  if key == "args" then return "args" end
  if type(key) == "number" then return "arg:" .. key end
  return "fn"
end

local function key_of_source(source)
  if source == "task" then return nil end
  if source == "args" then return "args" end
  local n = source:match("^arg:(%d+)$")
  return n and tonumber(n) or ELSEWHERE
end

--- Writes a lock as the text for a task's template.
-- @tparam[opt] table lock as from `lock`
-- @treturn[opt] string nil without a lock
function M.lock_template(lock)
  return lock and ("%s;%d;%s"):format(lock.mode, lock.ttl_ms, source_text(lock.key)) or nil
end

--- Reads a lock from the text in a task's template. A key function cannot be read: jobs need a key of their own then.
-- @tparam[opt] string text as from `lock_template`
-- @treturn[opt] table as from `lock`; nil without a text, or for a text that is no lock
function M.read_lock(text)
  if not text then return nil end
  local mode, ttl_ms, source = text:match("^(%l+);(%d+);(.+)$")
  return mode and { mode = mode, ttl_ms = tonumber(ttl_ms), key = key_of_source(source) }
end

local function limit_numbers(limit)
  return ("%d;%d;%d;%d;%s;"):format(limit.concurrency, limit.rate, limit.per_ms, limit.burst, limit.order)
end

--- Writes a limit as the text for a task's template.
-- @tparam[opt] table limit as from `limit`
-- @treturn[opt] string nil without a limit
function M.limit_template(limit)
  return limit and limit_numbers(limit) .. source_text(limit.key) or nil
end

--- Reads a limit from the text in a task's template. A key function cannot be read: jobs need a key of their own then.
-- @tparam[opt] string text as from `limit_template`
-- @treturn[opt] table as from `limit`; nil without a text, or for a text that is no limit
function M.read_limit(text)
  if not text then return nil end
  local concurrency, rate, per_ms, burst, order, source = text:match("^(%d+);(%d+);(%d+);(%d+);(%l+);(.+)$")
  return concurrency and {
    concurrency = tonumber(concurrency), rate = tonumber(rate), per_ms = tonumber(per_ms), burst = tonumber(burst),
    order = order, key = key_of_source(source),
  }
end

--- Sets the keys of a task's lock and limit; for `skein enqueue`, whose options are strings.
-- @tparam[opt] table lock as from `read_lock`; it is changed
-- @tparam[opt] table limit as from `read_limit`; it is changed
-- @tparam[opt] string unique_key key of the lock; without a lock it makes the job unique
-- @tparam[opt] string limit_key key of the limit; without a limit the jobs of all keys get equal shares of the queue
-- @treturn[opt] table the lock
-- @treturn[opt] table the limit
function M.given(lock, limit, unique_key, limit_key)
  if unique_key then
    lock = lock or M.lock({ unique = true })
    lock.key = unique_key
  end
  if limit_key then
    limit = limit or M.limit({ limit = { key = limit_key } })
    limit.key = limit_key
  end
  return lock, limit
end

--- Keys of jobs -----------------------------------------------------------------------------------------------------

-- Encodes a decoded value as JSON in which the keys of objects are sorted.
local function canonical(value)
  if type(value) ~= "table" or next(value) == nil then return core.encode(value) end
  local parts, keys = {}, {}
  if value[1] ~= nil then
    for i = 1, #value do parts[i] = canonical(value[i]) end
    return "[" .. concat(parts, ",") .. "]"
  end
  for key in pairs(value) do keys[#keys + 1] = key end
  sort(keys)
  for i, key in ipairs(keys) do parts[i] = core.encode(key) .. ":" .. canonical(value[key]) end
  return "{" .. concat(parts, ",") .. "}"
end

-- Sorts the keys of the objects in a JSON text. A text without objects is returned as it is.
local function in_order(json)
  return json:find("{", 1, true) and canonical(core.decode(json)) or json
end

-- The text of a value in a key; or nil and a message.
local function value_text(value)
  if type(value) == "string" then return value end
  local json, problem = core.encode(value, "the key")
  if not json then return nil, problem end
  return in_order(json)
end

-- Calls a script's key function. Returns its result as text; false if the job has no key; or nil and a message.
local function called(task_name, option, fn, args)
  local value = fn(unpack(args, 1, args.n or table.maxn(args)))
  if value == false then return false end
  if type(value) == "string" then return value end
  local text = type(value) == "number" and value_text(value)
  if text then return text end
  return nil, ("the key function of %s of task %s returned %s, expected a text, a number, or false for none")
    :format(option, task_name, schema.show(value))
end

local function whole_key(task_name, part)
  local key = part and task_name .. "/" .. part or task_name
  return #key > KEY_PLAIN_MAX and core.digest(key) or key
end

-- The key of a limit. It begins with the task's name, by which the stores find the groups of a task when its limit
-- changes.
local function whole_group(task_name, part)
  local key = whole_key(task_name, part)
  if not part or key:sub(1, #task_name + 1) == task_name .. "/" or #task_name + 1 + #key > LIMITS.key_bytes then
    return key
  end
  return task_name .. "/" .. key
end

-- The key of one job; false if the key function says that the job has none; or nil and a message.
local function key_of(task_name, option, key, json, args)
  local part, problem
  if key == nil then return whole_key(task_name) end
  if key == "args" then
    part = core.digest(in_order(json))
  elseif type(key) == "number" then
    part, problem = value_text(args[key] == nil and core.null or args[key])
  elseif type(key) == "string" then
    part = key
  elseif key == ELSEWHERE then
    problem = ("task %s makes the key of its %s with a function of its script, which this program has not loaded: "
      .. 'give the key in the signature, %s = { key = "..." }'):format(task_name, option, option)
  else
    part, problem = called(task_name, option, key, args)
  end
  if part == false then return false end
  if not part then return nil, problem end
  return (option == "limit" and whole_group or whole_key)(task_name, part)
end

local function lock_text(lock, key)
  if lock.mode == "debounce" then return "replace;0;=" .. key, lock.ttl_ms end
  return ("%s;%d;=%s"):format(lock.mode, lock.ttl_ms, key), 0
end

--- Writes a job's lock and limit as the texts for its record.
-- @tparam string task_name
-- @tparam[opt] table lock as from `lock` or `read_lock`
-- @tparam[opt] table limit as from `limit` or `read_limit`
-- @tparam string json the args as JSON
-- @tparam table args the args as a list; its field `n`, if set, is their number
-- @treturn[opt] string the lock; nil without one
-- @treturn[opt] string the limit; nil without one
-- @treturn number ms by which the lock delays the job
-- @treturn[opt] string the message of a mistake; lock and limit are nil then
-- @raise the errors of a script's key function
function M.of_job(task_name, lock, limit, json, args)
  local unique, group, delay_ms = nil, nil, 0
  if lock then
    local key, problem = key_of(task_name, MODES[lock.mode] and "unique" or lock.mode, lock.key, json, args)
    if problem then return nil, nil, 0, problem end
    if key then unique, delay_ms = lock_text(lock, key) end
  end
  if limit then
    local key, problem = key_of(task_name, "limit", limit.key, json, args)
    if problem then return nil, nil, 0, problem end
    group = key and limit_numbers(limit) .. "=" .. key or nil
  end
  return unique, group, delay_ms
end

return M
