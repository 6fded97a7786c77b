--- The transport of skein.testing: answers the requests of skein.client from the memory store (store.lua). An enqueue
-- records its jobs, or runs them at once in inline mode.
-- @module skein.testing.transport
local core = require "skein.core"
local errors = require "skein.errors"
local attempt = require "skein.testing.attempt"
local queues = require "skein.queues"
local runtime = require "skein.testing.runtime"
local store = require "skein.testing.store"
local parts = require("skein.worker").parts
local ipairs = ipairs
local concat = table.concat

local M = {
  loading = false, -- true while scripts load: they must send no request
}

local CODE, KIND, OP, STATE = core.CODE, core.KIND, core.OP, core.STATE
-- The states of a job that has ended; 0: the store does not know the job.
local FINAL = { [0] = true, [STATE.done] = true, [STATE.dead] = true, [STATE.cancelled] = true }

local go_on = parts.stopper(runtime)
local captured -- function of `capture` that receives the items of the next enqueue

-- Stops the running jobs that were cancelled.
local function stop_running()
  for _, id in ipairs(store.kit:stops()) do runtime.stop(id, KIND.cancelled) end
end

-- Decodes the items of an ENQUEUE request. Also returns the time to wait for room, in ms.
local function items_of(payload)
  local block_ms, _, n, offset = core.unpack("lbi", payload)
  local items = {}
  for i = 1, n do
    local item = {}
    item.record, item.due_ms, item.delay_ms, offset = core.unpack("sll", payload, offset)
    items[i] = item
  end
  return items, block_ms
end

local function pack_items(items)
  local out = { core.pack("lbi", 0, 0, #items) }
  for i, item in ipairs(items) do out[i + 1] = core.pack("sll", item.record, item.due_ms, item.delay_ms) end
  return concat(out)
end

-- Whether the enqueue of these jobs depends on other waiting jobs: through a queue's max_len or a lock.
local function matters(items)
  if #queues.list > 0 then return true end
  for _, item in ipairs(items) do
    local fields = core.job(item.record)
    if fields.id and fields.unique then return true end
  end
end

-- Enqueues all items. No job runs meanwhile, so a producer that waits for room in a full queue waits the whole time.
local function record_all(items, block_ms)
  if store.has_aside() and matters(items) then store.put_back() end
  local code, answer = store.kit:call(OP.ENQUEUE, pack_items(items))
  if code ~= "ok" then return code, answer end
  local full = false
  for i, item in ipairs(items) do
    if answer:byte(i) == CODE.ok then store.remember { core.job(item.record).id } end
    full = full or answer:byte(i) == CODE.limit
  end
  if full and block_ms > 0 then go_on(runtime.sleep_until(store.kit:clock() + block_ms)) end
  return code, answer
end

-- An item for a job that runs at once: without its delay and its limits.
local function for_now(item)
  local fields = core.job(item.record)
  local record = item.record
  if fields.limit then
    fields.limit = nil
    record = core.record(fields)
  end
  return { record = record, due_ms = 0, delay_ms = 0 }, fields.id
end

-- Enqueues and runs the items one after the other.
local function run_all(items, block_ms)
  local codes, holders = {}, {}
  for i, item in ipairs(items) do
    local now, id = for_now(item)
    local code, answer = record_all({ now }, block_ms)
    if code ~= "ok" then return code, answer end
    codes[i], holders[i] = answer:sub(1, 1), answer:sub(2)
    if answer:byte(1) == CODE.ok then attempt.run_now(id) end
  end
  return "ok", concat(codes) .. concat(holders)
end

local function enqueue(payload)
  local items, block_ms = items_of(payload)
  if captured then
    captured(items)
    return "ok", ("\0"):rep(#items)
  end
  if attempt.inline then return run_all(items, block_ms) end
  return record_all(items, block_ms)
end

-- Runs due jobs until the awaited job has ended. When none is due, moves the clock to the next due time or to the end
-- of the wait.
local function wait(payload)
  local id, timeout_ms = core.unpack("sl", payload)
  local until_ms = timeout_ms >= 0 and store.kit:clock() + timeout_ms
  while true do
    local code, view = store.kit:call(OP.GET, core.pack("is", 1, id))
    if code ~= "ok" or FINAL[view:byte(1)] then return code, view end
    local run, due_in_ms = store.fetch()
    if run then
      attempt.run(run)
    else
      local next_ms = due_in_ms >= 0 and store.kit:clock() + due_in_ms
      if not until_ms or store.kit:clock() >= until_ms then
        return "timeout", "wait: the job has not ended within the time given"
      end
      go_on(runtime.sleep_until(next_ms and next_ms < until_ms and next_ms or until_ms))
    end
  end
end

--- Answers a request, as client:call does (core/lua/client.h).
-- @tparam number operation of core.OP
-- @tparam string payload
-- @return code, and the answer or a message
-- @raise at the caller's line: a request while scripts load
function M.call(operation, payload)
  if M.loading and not runtime.attempt() then
    errors.misuse("jobs can be enqueued and looked at inside a job, not while scripts load (each worker loads them)")
  end
  store.declare()
  if operation == OP.ENQUEUE then return enqueue(payload) end
  store.put_back()
  if operation == OP.WAIT then return wait(payload) end
  local code, answer = store.kit:call(operation, payload)
  if operation == OP.CHANGE then stop_running() end
  return code, answer
end

--- Gives the items of the next enqueue to a function, in place of enqueueing the jobs.
-- @tparam ?function fn called as fn(items), each { record =, due_ms =, delay_ms = }; nil ends it
function M.capture(fn) captured = fn end

return M
