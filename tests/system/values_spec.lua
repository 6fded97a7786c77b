-- What may travel in args and results, exactly, and what is refused, with the path to it.  All of it is done inside of
-- jobs: one makes the values and enqueues another, which makes them again and compares.
local H = require "tests.system.harness"

-- lib/values.lua: { name, make } each; and `same`, which tells types, int64 from numbers, and arrays from objects.
local VALUES = [=[
local skein, ffi = require "skein", require "ffi"
local M = {}

local all_bytes = {}
for i = 0, 255 do all_bytes[i + 1] = string.char(i) end

M.list = {
  { "true", true }, { "false", false }, { "null", skein.null }, { "zero", 0 }, { "minus one", -1 }, { "0.1", 0.1 },
    { "1/3", 1 / 3 },
  { "1e308", 1e308 }, { "-1e308", -1e308 }, { "the largest double", 1.7976931348623157e308 },
    { "the smallest double", 5e-324 },
  { "1e21", 1e21 }, { "2^53", 2 ^ 53 }, { "2^53 - 1", 2 ^ 53 - 1 }, { "-2^53", -2 ^ 53 }, { "1.5", 1.5 },
    { "123456789.123456789", 123456789.123456789 },
  { "int64 max", 9223372036854775807LL }, { "int64 min", -9223372036854775807LL - 1 },
    { "uint64 max", 18446744073709551615ULL },
  { "2^53 + 1 as int64", 9007199254740993LL }, { "-2^53 - 1 as int64", -9007199254740993LL },
    { "2^63 as uint64", 9223372036854775808ULL },
  { "42LL", 42LL }, { "42ULL", 42ULL }, { "-42LL", -42LL },
  { "empty string", "" }, { "NUL", "a\0b" }, { "only NULs", "\0\0\0" }, { "invalid UTF-8", "\255\254\192\128" },
    { "cut UTF-8", "gr\195" },
  { "lone surrogate in UTF-8", "\237\160\128" }, { "every byte", table.concat(all_bytes) },
    { "quotes and slashes", "\"\\/\b\f\n\r\t</script>" },
  { "unicode", "Grüße, 世界, 🪿, \226\128\168" }, { "looks like an escape", "\\u0000 \\ud800" },
  { "empty object", {} }, { "empty array", skein.array {} }, { "array", { 1, 2, 3 } },
    { "object", { a = 1, b = "two" } },
  { "nested", { list = { { x = 1 }, { x = 2, y = { true, false, skein.null } } }, empty = {}, none = skein.array {},
    deep = { a = { b = { c = { 1 } } } } } },
  { "array of empties", { {}, skein.array {}, {}, "" } }, { "nulls in an array", { skein.null, 1, skein.null } },
  { "unicode keys", { ["ключ"] = 1, ["🪿"] = 2, [""] = 3, ["a b"] = 4, ["\0"] = 5, ["\255"] = 6 } },
  { "digits as keys", { ["1"] = "a", ["2"] = "b" } }, { "int64 inside",
    { id = 9223372036854775807LL, list = { 18446744073709551615ULL } } },
  { "a long string", ("x"):rep(100000) }, { "many elements", (function() local l = {} for i = 1, 10000 do l[i] = i end
    return l end)() },
}

local array_mt = getmetatable(skein.array {})

-- JSON's own kind of a table: an array, or an object.
local function is_array(t) return #t > 0 or getmetatable(t) == array_mt end

function M.same(a, b, path)
  path = path or "value"
  if type(a) == "cdata" or type(b) == "cdata" then
    local small = tonumber(a) and math.abs(tonumber(a)) < 2 ^ 53
    if small then return tonumber(a) == tonumber(b), path end
    return type(a) == type(b) and tostring(a) == tostring(b), path .. ": " .. tostring(a) .. " / " .. tostring(b)
  end
  if type(a) ~= type(b) then return false, path .. ": " .. type(a) .. " / " .. type(b) end
  if type(a) ~= "table" then return a == b, path .. ": " .. tostring(a) .. " / " .. tostring(b) end
  if is_array(a) ~= is_array(b) then return false, path .. ": array / object" end
  for k, v in pairs(a) do
    local ok, where = M.same(v, b[k], path .. "." .. tostring(k))
    if not ok then return false, where end
  end
  for k in pairs(b) do if a[k] == nil then return false, path .. "." .. tostring(k) .. ": too much" end end
  return true
end

return M
]=]

describe("values", function()
  H.it("of every kind arrive as they were sent, as args, in meta, and as results", function(t)
    t:file("lib/values.lua", VALUES)
    t:script("a.lua", [[
      local values = require "values"
      skein.task("receive", { keep = 60 }, function(job, i, value)
        local name, wanted = unpack(values.list[i])
        local ok, where = values.same(wanted, value)
        fx("arg", name, ok, where)
        ok, where = values.same(wanted, job.args[2])
        fx("job.args", name, ok, where)
        ok, where = values.same(wanted, job.meta.value)
        fx("meta", name, ok, where)
        return { value }
      end)
      skein.task("send", function()
        fx("count", #values.list)
        for i, entry in ipairs(values.list) do
          local small = type(entry[2]) ~= "string" and type(entry[2]) ~= "table" or #entry[2] < 1000
          local meta = {}
          if small then meta.value = entry[2] end
          local h, err = skein.enqueue({ task = "receive", meta = meta }, i, entry[2])
          if not h then fx("arg", entry[1], false, "not sent: " .. tostring(err)) end
          local result = h and h:wait(5)
          local ok, where = values.same(entry[2], result and result[1])
          fx("result", entry[1], ok, where)
          if not small then fx("big", entry[1]) end
        end
        fx("sent")
      end)]])
    t:run { "-w", "1" }
    t:enqueue "send"
    t:wait_effects("sent", 1, 20)
    local n = tonumber(t:effects("count")[1][1])
    local big = {}
    for _, f in ipairs(t:effects "big") do big[f[1]] = true end
    local wrong = {}
    for _, where in ipairs { "arg", "job.args", "meta", "result" } do
      local effects = t:effects(where)
      assert.equal(n, #effects, where)
      for _, f in ipairs(effects) do
        if f[2] ~= "true" and not (where == "meta" and big[f[1]]) then wrong[#wrong + 1] = where .. " " .. f[1] .. " ("
          .. tostring(f[3]) .. ")" end
      end
    end
    assert.same({}, wrong)
  end)

  H.it("nil in args is skein.null, also at the end", function(t)
    t:script("a.lua", [[
      skein.task("receive", function(job, ...) fx("got", select("#", ...), (...) == skein.null,
        select(3, ...) == skein.null, #job.args) end)
      skein.task("send", function() assert(skein.enqueue("receive", nil, 2, nil)) end)]])
    t:run { "-w", "1" }
    t:enqueue "send"
    assert.same({ { "3", "true", "true", "3" } }, t:wait_effects("got", 1))
  end)

  H.it("{} is an object and skein.array{} an array for whoever reads the JSON", function(t)
    t:script("a.lua", [[skein.task("both", function(job, a, b)
      return { skein.array {}, {}, a, b, { skein.array { 1 } } } end)]])
    t:run { "-w", "1" }
    assert.equal("[[],{},[],{},[[1]]]", t:ok("enqueue", "both", "[]", "{}", "--wait"):match "[^\n]*$")
  end)

  H.it("64-bit integers pass the command exactly", function(t)
    t:script("a.lua", [[skein.task("echo", function(job, ...) return { ... } end)]])
    t:run { "-w", "1" }
    local numbers = { "9223372036854775807", "-9223372036854775808", "18446744073709551615", "9007199254740993", "0.1" }
    local out = t:ok("enqueue", "echo", "--wait", "--", unpack(numbers)):match "[^\n]*$"
    assert.equal("[" .. table.concat(numbers, ",") .. "]", out)
  end)

  H.it("invalid UTF-8 comes out of the command as valid JSON", function(t)
    t:script("a.lua", [[skein.task("raw", function() return "a\255b" end)]])
    t:run { "-w", "1" }
    assert.equal("a\239\191\189b", t:wait_state(t:enqueue "raw", "done").result)
  end)
end)

describe("refused values", function()
  H.it("are named with their path, as an error at the caller's line, and nothing is enqueued", function(t)
    t:script("a.lua", [[
      local function nest(n) local v = {} for _ = 2, n do v = { v } end return v end
      local cycle = { list = {} } cycle.list[1] = cycle
      local cases = {
        { "function", 1, { callback = function() end } },
        { "plain function", print },
        { "userdata", { { a = { io.stdout } } } },
        { "coroutine", coroutine.create(print) },
        { "nan", { 1, 0 / 0 } },
        { "infinity", { x = 1 / 0 } },
        { "minus infinity", -1 / 0 },
        { "cycle", cycle },
        { "sparse", { [1] = 1, [3] = 3 } },
        { "mixed", { 1, 2, x = 3 } },
        { "boolean key", { [true] = 1 } },
        { "fraction key", { [1.5] = 1 } },
        { "zero key", { [0] = 1 } },
        { "cdata", ffi.new "int[3]" },
        { "too deep", nest(65) },
      }
      skein.task("receive", function() fx("received") end)
      skein.task("send", function()
        for _, case in ipairs(cases) do
          local ok, h, err = pcall(function()
            local handle, problem = skein.enqueue("receive", unpack(case, 2))
            return handle, problem
          end)
          fx("refused", case[1], ok and h ~= nil, (tostring(ok and err or h):gsub("%s+", " ")))
        end
        local ok, h, err = pcall(skein.enqueue_many, { { task = "receive" },
          { task = "receive", args = { 1, print } } })
        fx("many", ok and h ~= nil, tostring(ok and err or h))
        ok, h, err = pcall(skein.enqueue, { task = "receive", meta = { f = print } })
        fx("meta", ok and h ~= nil, tostring(ok and err or h))
        fx("sent")
      end)]])
    t:run { "-w", "1" }
    t:enqueue "send"
    t:wait_effects("sent", 1)
    local wanted = {
      ["function"] = "args%[2%]%.callback: a function cannot be stored",
        ["plain function"] = "args%[1%]: a function cannot be stored",
      userdata = "args%[1%]%[1%]%.a%[1%]: .*userdata", coroutine = "args%[1%]: .*t?h?read",
        nan = "args%[1%]%[2%]: .*[Nn]a[Nn]",
      infinity = "args%[1%]%.x: .*inf", ["minus infinity"] = "args%[1%]: .*inf",
        cycle = "args%[1%]%.list%[1%]: .*cycle",
      sparse = "args%[1%].*sparse", mixed = "args%[1%].*", ["boolean key"] = "args%[1%].*key",
        ["fraction key"] = "args%[1%].*",
      ["zero key"] = "args%[1%].*", cdata = "args%[1%]: .*cdata", ["too deep"] = "args%[1%].*64",
    }
    local seen = 0
    for _, f in ipairs(t:effects "refused") do
      seen = seen + 1
      assert.equal("false", f[2], f[1] .. " was taken")
      assert.matches(wanted[f[1]], f[3], 1, false, f[1] .. ": " .. f[3])
      assert.matches("a%.lua:%d+", f[3])
    end
    assert.equal(15, seen)
    local many, meta = t:effects("many")[1], t:effects("meta")[1]
    assert.equal("false", many[1])
    assert.matches("%[2%].*args%[2%]: a function", many[2])
    assert.equal("false", meta[1])
    assert.matches("meta%.f: a function", meta[2])
    assert.equal(0, t:count "received")
    assert.equal(1, t:counters().enqueued)
  end)

  H.it("nesting: 64 is taken, 65 refused", function(t)
    t:script("a.lua", [[
      local function nest(n) local v = skein.array {} for _ = 2, n do v = { v } end return v end
      local function depth(v) local n = 0 while type(v) == "table" do n = n + 1 v = v[1] end return n end
      skein.task("receive", function(job, v) fx("depth", depth(v)) end)
      skein.task("send", function()
        assert(skein.enqueue("receive", nest(64)))
        local ok, h = pcall(skein.enqueue, "receive", nest(65))
        fx("65", ok and h ~= nil)
      end)]])
    t:run { "-w", "1" }
    t:enqueue "send"
    assert.same({ { "64" } }, t:wait_effects("depth", 1))
    assert.same({ { "false" } }, t:wait_effects("65", 1))
    local function json(n) return ("["):rep(n) .. ("]"):rep(n) end
    t:ok("enqueue", "receive", json(64))
    local result = t:cli { "enqueue", "receive", json(65) }
    assert.equal(64, result.code)
    assert.matches("64", result.err)
  end)

  H.it("args of 1 MiB of JSON are taken, one byte more is refused with both numbers", function(t)
    t:script("a.lua", [[
      local MAX = 1024 * 1024
      local function text(n) return ("x"):rep(n - 4) end -- ["..."]
      skein.task("receive", function(job, s) fx("size", #s + 4) end)
      skein.task("send", function()
        assert(skein.enqueue("receive", text(MAX)))
        local ok, h, err = pcall(skein.enqueue, "receive", text(MAX + 1))
        fx("refused", ok and h ~= nil, tostring(ok and err or h))
      end)]])
    t:run { "-w", "1" }
    t:enqueue "send"
    assert.same({ { "1048576" } }, t:wait_effects("size", 1))
    local refused = t:wait_effects("refused", 1)[1]
    assert.equal("false", refused[1])
    assert.matches("1048576", refused[2])
    assert.matches("1048577", refused[2])
  end)

  H.it("args_bytes_max moves that limit", function(t)
    t:config "{ args_bytes_max = 100 }"
    t:script("a.lua", [[
      skein.task("receive", function(job, s) fx("size", #s) end)
      skein.task("send", function()
        assert(skein.enqueue("receive", ("x"):rep(96)))
        local ok, h, err = pcall(skein.enqueue, "receive", ("x"):rep(97))
        fx("refused", ok and h ~= nil, tostring(ok and err or h))
      end)]])
    t:run { "-w", "1" }
    t:enqueue "send"
    assert.same({ { "96" } }, t:wait_effects("size", 1))
    local refused = t:wait_effects("refused", 1)[1]
    assert.equal("false", refused[1])
    assert.matches("101", refused[2])
    assert.matches("100", refused[2])
  end)

  H.it("a result over 1 MiB fails its job with both numbers", function(t)
    t:script("a.lua", [[skein.task("fits", function() return ("x"):rep(1024 * 1024 - 2) end)
      skein.task("bad", { retries = 0 }, function() return ("x"):rep(1024 * 1024 - 1) end)]])
    t:run { "-w", "1" }
    assert.equal(1024 * 1024 - 2, #t:wait_state(t:enqueue "fits", "done").result)
    local job = t:wait_state(t:enqueue "bad", "dead")
    assert.equal("result", job.error.kind)
    assert.matches("1048576", job.error.message)
    assert.matches("1048577", job.error.message)
  end)

  H.it("more than 200 args, names that are too long or no names", function(t)
    t:script("a.lua", [[
      skein.task("receive", function(job, ...) fx("args", select("#", ...)) end)
      skein.task("send", function()
        local many = {} for i = 1, 201 do many[i] = i end
        assert(skein.enqueue("receive", unpack(many, 1, 200)))
        local function refused(what, ...)
          local ok, h, err = pcall(skein.enqueue, ...)
          fx("refused", what, ok and h ~= nil, tostring(ok and err or h))
        end
        refused("200", "receive", unpack(many))
        refused("200", ("n"):rep(201))
        refused("two words", "two words")
        refused("", "")
        refused("queue", { task = "receive", queue = "a/b" })
        refused("task", {})
        refused("number", 42)
        refused("delay", { task = "receive", delay = "soon" })
        refused("delay", { task = "receive", delay = -1 })
        refused("priority", { task = "receive", priority = 3 })
        fx("sent")
      end)]])
    t:run { "-w", "1" }
    t:enqueue "send"
    t:wait_effects("sent", 1)
    assert.same({ { "200" } }, t:wait_effects("args", 1))
    for i, f in ipairs(t:effects "refused") do
      assert.equal("false", f[2], "case " .. i)
      assert.is_truthy(f[3]:find(f[1], 1, true), "case " .. i .. ": " .. f[3])
    end
    assert.equal(10, t:count "refused")
  end)
end)
