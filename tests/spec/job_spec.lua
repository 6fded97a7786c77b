-- The job object (lua/skein/job.lua): meta that cannot be read.  Its other fields and methods are in testing_spec.lua.
local client = require "skein.client"
local core = require "skein.core"
local skein = require "skein"
local t = require "skein.testing"
local tasks = require "tests.support.testing_tasks"

-- Enqueues a job of task "plain" as another client might: with a meta of any bytes.
local function enqueue_with_meta(meta)
  local id = core.id()
  local record = core.record {
    id = id, task = "plain", queue = "default", args = "[]", meta = meta, enqueued_ms = skein.now() * 1000,
  }
  assert.equal("\0", client.call(core.OP.ENQUEUE, core.pack("lbi", 0, 0, 1) .. core.pack("sll", record, 0, 0)))
  return skein.handle(id)
end

describe("a job whose meta cannot be read", function()
  local act
  before_each(function() act = select(2, tasks.begin()) end)
  after_each(t.reset)

  local function dies_with(pattern, meta)
    local h = enqueue_with_meta(meta)
    t.drain()
    local job = h:info()
    assert.same({ "dead", 1, "fail", {} }, { job.state, job.attempts, job.error.kind, job.meta })
    assert.matches(pattern, job.error.message)
  end

  it("is dead at once when it reads it: another attempt could not read it either", function()
    act.plain = function(job) return job.meta.tenant end
    dies_with("^job%.meta: ", "{bad")
    dies_with("^job%.meta: it is 5$", "5")
  end)

  it("is dead at once when it enqueues, since what it passes along would be lost", function()
    act.plain = function() return skein.enqueue("other").id end
    dies_with("^job%.meta: ", "{bad")
    dies_with("^job%.meta: it is 5$", "5")
    assert.same({}, t.enqueued "other")
  end)

  it("runs when it does not need it", function()
    act.plain = function() return 1 end
    local h = enqueue_with_meta "{bad"
    t.drain()
    assert.equal("done", h:state())
  end)
end)
