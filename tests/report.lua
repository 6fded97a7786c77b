-- report.lua - busted's output as one plain line a test, what failed in full, and `N passed, N failed` as the last
-- line. An error outside a test (a spec that does not load) counts as a failure.  Tests that can't run here are listed
-- as pending.
local busted = require "busted"

local function text(message)
  if type(message) == "string" then return message end
  return message == nil and "nil error" or require("pl.pretty").write(message)
end

local function indented(s) return "    " .. s:gsub("%s+$", ""):gsub("\n", "\n    ") end

return function(options)
  local handler = require "busted.outputHandlers.base"()

  local function show(verdict, t)
    io.write(("%-7s %s\n"):format(verdict, t.name))
    io.flush()
  end

  local function show_failure(t)
    show("FAILED", t)
    io.write(indented(text(t.message)), "\n")
    if options.verbose and t.trace and t.trace.traceback then io.write(indented(t.trace.traceback), "\n") end
    io.flush()
  end

  local function test_end(_, _, status)
    if status == "success" then show("ok", handler.successes[#handler.successes])
    elseif status == "pending" then
      local t = handler.pendings[#handler.pendings]
      show("pending", t)
      if t.message then io.write(indented(text(t.message)), "\n") end
    elseif status == "failure" then show_failure(handler.failures[#handler.failures])
    else show_failure(handler.errors[#handler.errors]) end
    return nil, true
  end

  local function error_outside(element)
    if element.descriptor ~= "it" then show_failure(handler.errors[#handler.errors]) end
    return nil, true
  end

  local function suite_end()
    if handler.pendingsCount > 0 then io.write(("%d pending\n"):format(handler.pendingsCount)) end
    io.write(("%d passed, %d failed\n"):format(handler.successesCount, handler.failuresCount + handler.errorsCount))
    io.flush()
    return nil, true
  end

  busted.subscribe({ "test", "end" }, test_end, { predicate = handler.cancelOnPending })
  busted.subscribe({ "failure" }, error_outside)
  busted.subscribe({ "error" }, error_outside)
  busted.subscribe({ "suite", "end" }, suite_end)
  return handler
end
