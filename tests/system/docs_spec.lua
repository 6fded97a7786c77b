-- The examples of README.md and docs/*.md, run as they stand.  A block of Lua begins with its file's name:
--   -- jobs/NAME.lua   a script: the engine loads all scripts of a page together
--   -- NAME.lua        a program: it runs beside an engine that has the page's scripts, or, without `connect`, by
-- itself; it must succeed Lines of a shell block that begin with "$ skein" run in order in the page's folder and must
-- exit with 0.
local H = require "tests.system.harness"
local files = require "tests.support.files"

-- { lang, text } of every fenced block.
local function blocks_of(page)
  local list, block = {}, nil
  for line in files.read(page):gmatch "([^\n]*)\n" do
    local fence = line:match "^```(%w*)$"
    if fence and block then
      list[#list + 1] = block
      block = nil
    elseif fence then
      block = { lang = fence, text = "" }
    elseif block then
      block.text = block.text .. line .. "\n"
    end
  end
  assert(not block, page .. ": a block without an end")
  return list
end

local function read_page(page)
  local scripts, programs, commands = {}, {}, {}
  for _, block in ipairs(blocks_of(page)) do
    if block.lang == "lua" then
      local name = assert(block.text:match "^%-%- ([%w_/]+%.lua)", page
        .. ": a Lua block that does not begin with its file's name")
      local list = name:find "^jobs/" and scripts or programs
      list[#list + 1] = { name = name, text = block.text }
    else
      for command in block.text:gmatch "%$ (skein [^\n]*)" do commands[#commands + 1] = command end
    end
  end
  return scripts, programs, commands
end

-- What a page may build on: docs/README.md's order, tasks first.
local BASE = {
  ["jobs/add.lua"] = "docs/enqueueing.md",
  ["jobs/mail.lua"] = "docs/tasks.md",
}

local function write_scripts(t, scripts)
  for name, page in pairs(BASE) do
    for _, script in ipairs((read_page(page))) do
      if script.name == name then files.write(t.dir .. "/" .. name, script.text) end
    end
  end
  for _, script in ipairs(scripts) do files.write(t.dir .. "/" .. script.name, script.text) end
end

local function succeed(child, what)
  assert(child:wait(60) == 0, what .. "\n" .. child.stdout .. child.stderr)
end

-- `skein` is the binary under test.
local function shell(t, command)
  local path = H.skein:match "^(.*)/" .. ":" .. os.getenv "PATH"
  succeed(t:start({ "-c", command }, { program = "sh", env = { PATH = path } }), command)
end

local function needs_no_engine(command) return command:find "^skein check" or command:find "--drain" end

-- What counts as the name of a file, and files of users and libraries.
local FILES = { c = true, h = true, lua = true, md = true, sh = true }
local ELSEWHERE = { ["config.lua"] = true, ["uv.h"] = true }

describe("the documentation", function()
  local pages = { "README.md" }
  for _, name in ipairs(files.list "docs") do
    if name:find "%.md$" and name ~= "PROTOCOL.md" then pages[#pages + 1] = "docs/" .. name end
  end
  for _, page in ipairs(pages) do
    H.it("runs the examples of " .. page, function(t)
      local scripts, programs, commands = read_page(page)
      write_scripts(t, scripts)
      for _, command in ipairs(commands) do
        if needs_no_engine(command) then shell(t, command) end
      end
      local engine = t:run({}, { dir = t.dir .. "/jobs" })
      for _, command in ipairs(commands) do
        if not needs_no_engine(command) then shell(t, command) end
      end
      for _, program in ipairs(programs) do
        succeed(t:start_client(program.text, { cwd = t.dir }), page .. ": " .. program.name)
      end
      engine:stop()
    end)
  end

  H.it("names files that exist in ARCHITECTURE.md and CONTRIBUTING.md", function()
    local folders = { "", "core/", "lua/skein/", "core/lua/", "docs/", "core/store/", "core/engine/", "core/app/" }
    for _, page in ipairs { "ARCHITECTURE.md", "CONTRIBUTING.md" } do
      for name in files.read(page):gmatch "`([%w_/%.]+)`" do
        local extension = name:match "%.(%a+)$"
        if FILES[extension] and not name:find "NAME" and not ELSEWHERE[name] then
          local found = false
          for _, folder in ipairs(folders) do found = found or files.exists(folder .. name) end
          assert(found, page .. " names " .. name .. ", which is not there")
        end
      end
    end
  end)
end)
