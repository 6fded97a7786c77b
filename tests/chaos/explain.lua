-- explain.lua - finds the reason why an attempt of a job ran more than once.
--
-- Skein promises at least once: a run whose settle did not reach the store is repeated.  That takes a fault which hit
-- the process that ran it, between its start and its repeat, or a store that went back in time.  An outage of the store
-- ends no lease, so it explains no repeat by itself.  A repeat that no fault explains is a bug.
local windows = require "tests.chaos.windows"

local M = {}

local SETTLE_S = 1        -- a finished job's settle reaches a healthy store long before this
local ORPHAN_S = 0.5      -- a worker whose core is gone has ended by then
local LEAVE_S = 1         -- an engine that was given up learns of it within this
local THAW_S = 0.2        -- a thawed engine has asked within this whether it was, and until then starts what it holds

local function overlaps(outages, from, to)
  for _, outage in ipairs(outages) do
    if outage.from <= to and outage.to >= from then return true end
  end
  return false
end

-- Could the outcome of `run` still be unsettled at that time?
local function unsettled(world, run, at)
  return run.to == nil or at - run.to < SETTLE_S or overlaps(world.outages, run.to, at)
end

-- Frozen for so long that others may have seen it do nothing for a lease; its last beat was a third of one earlier at
-- most.  A store that is away ends nobody's lease (core/logic/lease.h), so an outage explains no repeat by itself.
local function long_freeze(world, fault) return fault.what == "freeze" and fault.to - fault.from > world.lease / 2 end

local function by_engine(world, run, again)
  local life = world.lives[run.core]
  for _, fault in ipairs(life and life.faults or {}) do
    if fault.what ~= "freeze" and fault.from + ORPHAN_S >= run.from and fault.from <= again.from
      and unsettled(world, run, fault.from) then
      return fault.what == "kill" and "engine killed" or "engine stopped before the job's end"
    end
    if long_freeze(world, fault) and fault.to + THAW_S >= run.from and fault.from <= again.from
      and unsettled(world, run, fault.from) then
      return "engine frozen beyond its lease"
    end
  end
  -- The other way round: the repeat is what a frozen engine still had, before it knew that it was given up.
  life = world.lives[again.core]
  for _, fault in ipairs(life and life.faults or {}) do
    if long_freeze(world, fault) and fault.from <= again.from
      and fault.to + LEAVE_S >= again.from then return "engine frozen beyond its lease" end
  end
end

--- The cause as a short text, nil when there is none.  context: { died, client (its ledger entry), parent_runs }.
function M.cause(world, run, again, context)
  local died = context.died[run.worker]
  if died and died >= run.from and died <= again.from and unsettled(world, run,
    died) then return "worker killed by a job" end
  local engine = by_engine(world, run, again)
  if engine then return engine end
  if windows.repeats(world, run, again) then return "the store went back in time" end
  local client = context.client
  if client and client.unknown and client.unknown <= again.from
    and run.to then return "enqueued again after an unknown fate" end
  if context.parent_runs and context.parent_runs > 1 then return "its parent ran again" end
  return nil
end

return M
