--- The memory store of skein.testing with its clock (core/lua/testing.h). The module declares tasks and queues to the
-- store, remembers the order of the enqueues, and keeps the fetched jobs that a drain of one task has passed over.
-- @module skein.testing.store
local core = require "skein.core"
local queues = require "skein.queues"
local tasks = require "skein.tasks"
local ipairs = ipairs

local M = {
  kit = nil, -- the store, from `open` to `close`; nil: skein uses a real store
}

local declared_n, configured_n = 0, 0 -- number of entries of tasks.list and queues.list that the store knows
local positions, positions_n = {}, 0  -- job id -> position in the order of the enqueues; number of positions
local aside = {}                      -- fetched jobs that a drain of one task passed over

--- Makes an empty store. Its clock stands still until kit:clock moves it.
-- @tparam number now_ms ms since 1970
function M.open(now_ms)
  M.kit = core.testing(now_ms)
  declared_n, configured_n, positions, positions_n, aside = 0, 0, {}, 0, {}
end

--- Deletes the store and its jobs.
function M.close()
  M.kit:close()
  M.kit, aside = nil, {}
end

--- Adds jobs to the order of the enqueues.
-- @tparam table ids
function M.remember(ids)
  for _, id in ipairs(ids) do
    positions_n = positions_n + 1
    positions[id] = positions_n
  end
end

--- The position of a job in the order of the enqueues.
-- @tparam string id
-- @treturn number 0 for an unknown job
function M.position(id) return positions[id] or 0 end

--- Declares to the store the tasks and queues that scripts have declared since the last call.
function M.declare()
  for i = declared_n + 1, #tasks.list do M.kit:declare(tasks.list[i].record) end
  declared_n = #tasks.list
  if configured_n == #queues.list then return end
  for i, queue_settings in ipairs(queues.for_core()) do
    if i > configured_n then M.kit:configure(queue_settings) end
  end
  configured_n = #queues.list
end

--- Whether a drain has passed over jobs that are not back in their queues.
-- @treturn boolean
function M.has_aside() return aside[1] ~= nil end

--- Returns the jobs that a drain has passed over to their places in the queues.
function M.put_back()
  local list = aside
  aside = {}
  for _, run in ipairs(list) do M.kit:release(run) end
end

--- Fetches the next job. A job for which wanted(run) is false stays aside until put_back, so that a drain of one task
-- fetches each other job once, and not again for each job that runs.
-- @tparam[opt] function wanted without it any job is fetched, also a job that was passed over
-- @treturn[opt] table a run (core/lua/testing.h); nil: no such job is due
-- @treturn[opt] number without a run: ms until the next job is due; -1 when none is
function M.fetch(wanted)
  M.declare()
  if not wanted then M.put_back() end
  local run, due_in_ms = M.kit:fetch()
  while run and wanted and not wanted(run) do
    aside[#aside + 1] = run
    run, due_in_ms = M.kit:fetch()
  end
  return run, due_in_ms
end

return M
