-- skein.enqueue_many and a finalizer that changes the list while it is read.  Its other behaviour is in
-- client_spec.lua.
local files = require "tests.support.files"

-- A program of its own, since its few live objects make the collector run many whole cycles in one call.
local PROGRAM = [[
local skein = require "skein"
assert(skein.connect "memory:")
collectgarbage("setpause", 100)
collectgarbage("setstepmul", 5000)

-- Calls fn in the n-th finalizer from now on.
local function in_finalizer(n, fn)
  getmetatable(newproxy(true)).__gc = function()
    if n > 1 then return in_finalizer(n - 1, fn) end
    fn()
  end
end

local changed, wrong = 0, 0
for round = 1, 60 do
  local signatures, junk = {}, {}
  for i = 1, 300 do
    signatures[i] = {
      task = "t" .. i % 7 .. "." .. round, queue = "queue" .. i % 5 .. round,
      id = "id" .. round .. "." .. i, args = { i },
    }
  end
  in_finalizer(round, function()
    for i, signature in ipairs(signatures) do
      signature.queue, signature.id = "other" .. i, "ot" .. round .. "." .. i
    end
    collectgarbage() -- frees the old strings, and new ones of their sizes take their places
    for i = 1, 400 do junk[i] = ("ID%d.%03d"):format(round, i) end
  end)
  for i, handle in ipairs(assert(skein.enqueue_many(signatures))) do
    local job = handle:info() or { args = {} }
    local after = job.id == "ot" .. round .. "." .. i and job.queue == "other" .. i
    local before = job.id == "id" .. round .. "." .. i and job.queue == "queue" .. i % 5 .. round
    if not (before or after) or job.task ~= "t" .. i % 7 .. "." .. round or job.args[1] ~= i then wrong = wrong + 1 end
    changed = changed + (after and 1 or 0)
  end
end
print(changed > 0, wrong)
]]

describe("skein.enqueue_many", function()
  it("reads each signature as it was before or after a finalizer changed it, with its strings collected", function()
    local dir = files.temp_dir()
    finally(function() files.remove(dir) end)
    files.write(dir .. "/program.lua", PROGRAM)
    local pipe = assert(io.popen("luajit " .. dir .. "/program.lua 2>&1"))
    local output = pipe:read "*a"
    pipe:close()
    assert.equal("true\t0\n", output)
  end)
end)
