-- lint_calls.lua [ROOT [FOLDER...]] - checks the shape of the source tree:
--   Calls between the C files of one folder of core/ form no circle.
--   No C function of core/ is longer than 60 lines.
--   No line of C or Lua is wider than 120 columns, and no file reaches 800 lines.
--   No Redis script is longer than 600 lines once it is assembled from its parts.
-- The check reads definitions and calls as text.  It relies on two rules of the tree: functions that other files call
-- begin with sk_, and every definition starts at the left margin.  Mistakes in the FOLDERs are not reported.
-- Each mistake is printed as "file:line: message".  The exit status is 1 when there is one.
local ROOT = arg[1] or "."
local PASSED_OVER = { unpack(arg, 2) }
local FUNCTION_LINES_MAX, COLUMNS_MAX, FILE_LINES_MAX, SCRIPT_LINES_MAX = 60, 120, 800, 600
local SCRIPTS, ASSEMBLER = "core/store/redis/scripts", "core/store/redis/embed_scripts.lua"
local mistakes = 0

-- True when the mistake is to be reported.  path: of the file or folder that is wrong.
local function complain(path, text, ...)
  for _, folder in ipairs(PASSED_OVER) do
    if path == folder or path:sub(1, #folder + 1) == folder .. "/" then return false end
  end
  print(path .. text:format(...))
  mistakes = mistakes + 1
  return true
end

local function files_of(...)
  local list = {}
  local pipe = assert(io.popen(("cd %s && find %s 2>/dev/null | LC_ALL=C sort"):format(ROOT,
    table.concat({ ... }, " "))))
  for path in pipe:lines() do list[#list + 1] = path end
  pipe:close()
  return list
end

local function lines_of(path)
  local list = {}
  for line in io.lines(ROOT .. "/" .. path) do list[#list + 1] = line end
  return list
end

-- The width of a line; a character of several bytes in UTF-8 is one column.
local function columns(line) return select(2, line:gsub("[^\128-\191]", "")) end

local function check_sizes(path, lines)
  if #lines >= FILE_LINES_MAX then
    complain(path, ":%d: %d lines; at %d a file has two jobs: split it by noun", #lines, #lines, FILE_LINES_MAX)
  end
  for number, line in ipairs(lines) do
    local width = columns(line)
    if width > COLUMNS_MAX then complain(path, ":%d: %d columns, at most %d", number, width, COLUMNS_MAX) end
  end
end

-- The source without its comments, and with empty strings and characters, so that only code looks like code.
local function without_text(source)
  return (source:gsub("/%*.-%*/", function(comment) return (comment:gsub("[^\n]", "")) end)
    :gsub("//[^\n]*", ""):gsub('\\[\\"\']', ""):gsub('"[^"\n]*"', '""'):gsub("'[^'\n]*'", "0"))
end

-- Calls f(name, number, body_text, lines_n) for each function that is defined in the text.
local function each_function(source, f)
  local name, started, body
  local number, head = 0, ""
  for line in (source .. "\n"):gmatch "([^\n]*)\n" do
    number = number + 1
    if name then
      body[#body + 1] = line
      if line:find "^}" then
        f(name, started, table.concat(body, "\n"), number - started + 1)
        name = nil
      end
    elseif line:find "^[%a_]" and not line:find "^typedef" then
      head, started = line, number
    elseif head ~= "" and line:find "^%s" then
      head = head .. " " .. line
    else
      head = ""
    end
    if not name and head:find "{%s*$" or not name and head:find "{.*}%s*$" then
      local found = not head:find "^[^%(]*=" and not head:find "^%s*enum" and head:match "([%w_]+)%s*%("
      if found and not head:find "^struct%s+[%w_]+%s*{" then
        if head:find "}%s*$" then f(found, started, head, number - started + 1)
        else name, body = found, { head } end
      end
      head = ""
    elseif head:find ";%s*$" then
      head = ""
    end
  end
end

local defined_in, functions = {}, {}
for _, path in ipairs(files_of("core", "-name", "'*.c'")) do
  each_function(without_text(table.concat(lines_of(path), "\n")), function(name, number, body, lines_n)
    if lines_n > FUNCTION_LINES_MAX then
      complain(path, ":%d: %s has %d lines, at most %d", number, name, lines_n, FUNCTION_LINES_MAX)
    end
    if name:find "^sk_" then defined_in[name] = path end
    functions[#functions + 1] = { name = name, path = path, body = body }
  end)
end

-- The folder of a file.
local function room(path) return path:match "^(.*)/[^/]*$" end

-- calls[a][b]: one call from file a into file b of the same room, as text.
local calls, files = {}, {}
for _, f in ipairs(functions) do
  if not calls[f.path] then
    calls[f.path] = {}
    files[#files + 1] = f.path
  end
  for callee in f.body:gmatch "([%w_]+)%s*%(" do
    local target = defined_in[callee]
    if target and target ~= f.path and room(target) == room(f.path) then
      calls[f.path][target] = calls[f.path][target] or ("%s -> %s"):format(f.name, callee)
    end
  end
end

-- Tarjan's strongly connected components: each with more than one file is a circle.
local index, low, on_stack, stack, counter = {}, {}, {}, {}, 0
local function connect(file)
  counter = counter + 1
  index[file], low[file], on_stack[file] = counter, counter, true
  stack[#stack + 1] = file
  for target in pairs(calls[file] or {}) do
    if not index[target] then
      connect(target)
      low[file] = math.min(low[file], low[target])
    elseif on_stack[target] then
      low[file] = math.min(low[file], index[target])
    end
  end
  if low[file] ~= index[file] then return end
  local circle, member = {}
  repeat
    member = table.remove(stack)
    on_stack[member] = nil
    circle[#circle + 1] = member
  until member == file
  if #circle == 1 then return end
  table.sort(circle)
  if not complain(room(file), ": %d files call each other in a circle:", #circle) then return end
  for _, from in ipairs(circle) do
    for _, to in ipairs(circle) do
      local call = calls[from] and calls[from][to]
      if call then print(("    %s to %s: %s"):format(from:match "[^/]+$", to:match "[^/]+$", call)) end
    end
  end
end
for _, file in ipairs(files) do if not index[file] then connect(file) end end

for _, path in ipairs(files_of("core lua scripts tests", "-name", "'*.[ch]'", "-o", "-name", "'*.lua'")) do
  check_sizes(path, lines_of(path))
end

-- What Redis gets is one text; its length counts, since an error of a script names a line of it.
for _, path in ipairs(files_of(SCRIPTS, "-maxdepth", "1", "-name", "'*.lua'")) do
  local pipe = assert(io.popen(("cd %s && luajit %s --text %s"):format(ROOT, ASSEMBLER, path)))
  local lines = select(2, pipe:read "*a":gsub("\n", ""))
  pipe:close()
  if lines > SCRIPT_LINES_MAX then complain(path, ":1: %d lines when assembled, at most %d", lines,
    SCRIPT_LINES_MAX) end
end

if mistakes > 0 then
  print(mistakes .. " mistakes")
  os.exit(1)
end
