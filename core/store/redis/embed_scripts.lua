-- Assembles the scripts that run inside Redis.
--   luajit embed_scripts.lua core/store/redis/scripts/*.lua             the C header with all of them
--   luajit embed_scripts.lua --text core/store/redis/scripts/get.lua    one as Redis gets it, for other clients
--
-- A script and each module of lib/ say what they need in lines "local NAME, NAME = ...", and a module says what it
-- gives in its last statement, "return NAME, NAME".  Each name is given by one module.  Where a script needs a name,
-- the module that gives it is put in, once, behind the modules that it needs itself.  What it gives is assigned to
-- locals of the script, since a function around each module would cost each call its making and its call:
--   local NAME, NAME do local PRIVATE = ... function NAME() ... end NAME = ... end
-- Only those definitions of a module are put in that the script needs, directly or through others.  So every statement
-- of a module begins at the left margin, and its other lines do not, but for those that begin with "end", "else" or
-- "}".  A needs line inside a block puts modules into that block, so that calls that do not enter the block do not pay
-- for them; a function with a needs line of its own is declared with "..." as its last parameter.  A need that no
-- module gives is a name of the script.  Comment lines are left out.  EVALSHA calls a script
-- by the SHA-1 of its text.
local function read(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read("*a")
  file:close()
  return text
end

-- The SHA-1 of a text in hex, from coreutils.
local function sha1(text)
  local path = os.tmpname()
  local file = assert(io.open(path, "wb"))
  file:write(text)
  file:close()
  local pipe = assert(io.popen("sha1sum " .. path))
  local sum = pipe:read(40)
  pipe:close()
  os.remove(path)
  return assert(sum and #sum == 40 and sum, "sha1sum failed")
end

local function words(text)
  local list = {}
  for word in text:gmatch("[%a_][%w_]*") do list[#list + 1] = word end
  return list
end

-- The names in a line of code: no fields, no texts.
local function names_in(line)
  line = line:gsub("%s%-%-%s.*$", ""):gsub('"[^"]*"', '""')
  local list = {}
  for before, word in (" " .. line):gmatch("([^%w_])([%a_][%w_]*)") do
    if before ~= "." and before ~= ":" then list[#list + 1] = word end
  end
  return list
end

-- The code of a file as lines: { text } or { needs = names }, each with its indent.
local function lines_of(path)
  local lines = {}
  for line in read(path):gmatch("([^\n]*)\n") do
    local indent, text = line:match("^(%s*)(.*)$")
    local needs = text:match("^local ([%w_, ]+) = %.%.%.$")
    if needs then
      lines[#lines + 1] = { needs = words(needs), indent = #indent }
    elseif not text:match("^%-%-") and text ~= "" then
      lines[#lines + 1] = { text, indent = #indent }
    end
  end
  return lines
end

-- The names that a statement of a module defines.
local function defined_by(text)
  local name = text:match("^local function ([%w_]+)") or text:match("^function ([%w_]+)")
  if name then return { name } end
  return words(text:match("^local ([%w_, ]+)") or "")
end

-- A module: its needs, and its statements in order, { lines, defines, uses }; the last one is its return.
local function module_of(path)
  local module = { needs = {}, statements = {}, path = path }
  for _, line in ipairs(lines_of(path)) do
    local statement = module.statements[#module.statements]
    if line.needs then
      for _, need in ipairs(line.needs) do module.needs[#module.needs + 1] = need end
    else
      if line.indent == 0 and not line[1]:match("^end") and not line[1]:match("^else")
          and not line[1]:match("^[})]") then
        statement = { lines = {}, uses = {}, defines = defined_by(line[1]) }
        module.statements[#module.statements + 1] = statement
      end
      statement.lines[#statement.lines + 1] = line[1]
      for _, name in ipairs(names_in(line[1])) do statement.uses[name] = true end
    end
  end
  local last = table.remove(module.statements)
  module.gives = words(table.concat(last.lines, " "):match("^return (.*)$") or error(path .. ": it gives nothing"))
  return module
end

-- The modules of a folder by each name that they give.
local function modules_of(folder)
  local giver = {}
  local pipe = assert(io.popen("ls " .. folder .. "*.lua"))
  for path in pipe:lines() do
    local module = module_of(path)
    for _, name in ipairs(module.gives) do
      if giver[name] then error(("%s and %s both give %s"):format(path, giver[name].path, name)) end
      giver[name] = module
    end
  end
  pipe:close()
  return giver
end

-- Marks the statements of a module that define the wanted names, and those that they need.  wanted: module -> set of
-- names.
local function want(name, module, giver, wanted)
  local own = wanted[module]
  if not own then
    own = { names = {}, statements = {} }
    wanted[module] = own
    for _, statement in ipairs(module.statements) do -- what defines nothing does something
      if #statement.defines == 0 then
        own.statements[statement] = true
        for used in pairs(statement.uses) do want(used, module, giver, wanted) end
      end
    end
  end
  if own.names[name] then return end
  own.names[name] = true
  for _, need in ipairs(module.needs) do
    if need == name and giver[name] then want(name, giver[name], giver, wanted) end
  end
  for _, statement in ipairs(module.statements) do
    for _, defined in ipairs(statement.defines) do
      if defined == name then
        own.statements[statement] = true
        for used in pairs(statement.uses) do want(used, module, giver, wanted) end
      end
    end
  end
end

local function only(names, set)
  local list = {}
  for _, name in ipairs(names) do
    if set[name] then list[#list + 1] = name end
  end
  return list
end

-- The first line of a statement, where the names that its module gives are not defined but assigned.
local function assigned(statement, is_given)
  local line, own = statement.lines[1], {}
  for _, name in ipairs(statement.defines) do
    if not is_given[name] then own[#own + 1] = name end
  end
  if #own == #statement.defines then return line end
  line = line:gsub("^local ", "")
  if not line:find("=", 1, true) and not line:find("^function") then line = "" end -- a name without a value
  return #own > 0 and ("local %s; %s"):format(table.concat(own, ", "), line) or line
end

-- Puts in the modules that give those names.  seen: module -> the indentation of the block that it stands in.
local function put_in(out, names, giver, wanted, seen, indent)
  for _, name in ipairs(names) do
    local module = giver[name]
    if module and not seen[module] then
      seen[module] = indent
      local own = wanted[module]
      local needs, gives = only(module.needs, own.names), table.concat(only(module.gives, own.names), ", ")
      put_in(out, needs, giver, wanted, seen, indent)
      out[#out + 1] = "local " .. gives
      out[#out + 1] = "do"
      local is_given = {}
      for _, given in ipairs(module.gives) do is_given[given] = own.names[given] end
      for _, statement in ipairs(module.statements) do
        if own.statements[statement] then
          out[#out + 1] = assigned(statement, is_given)
          for k = 2, #statement.lines do out[#out + 1] = statement.lines[k] end
        end
      end
      out[#out + 1] = "end"
    end
  end
end

local function script_of(path)
  local out, seen, wanted = {}, {}, {}
  local giver = modules_of(path:match("^(.*/)") .. "lib/")
  local lines = lines_of(path)
  for _, line in ipairs(lines) do
    for _, name in ipairs(line.needs or {}) do
      if giver[name] then want(name, giver[name], giver, wanted) end
    end
  end
  for _, line in ipairs(lines) do
    for module, indent in pairs(seen) do -- the block that it stands in has ended
      if indent > line.indent then seen[module] = nil end
    end
    if line.needs then
      put_in(out, line.needs, giver, wanted, seen, line.indent)
    else
      out[#out + 1] = line[1]
    end
  end
  return table.concat(out, "\n") .. "\n"
end

if arg[1] == "--text" then
  io.write(script_of(arg[2]))
  return
end

local scripts = {}
for _, path in ipairs(arg) do
  local name = path:match("([%w_]+)%.lua$")
  scripts[#scripts + 1] = { name = name, text = script_of(path) }
end
table.sort(scripts, function(a, b) return a.name < b.name end)
io.write("/* Generated by core/store/redis/embed_scripts.lua. */\n#include <stddef.h>\nenum rd_script {\n")
for _, s in ipairs(scripts) do io.write("  RD_SCRIPT_", s.name:upper(), ",\n") end
io.write("};\n#ifdef RD_WANT_SCRIPT_TEXTS\n")
for _, s in ipairs(scripts) do
  local bytes = {}
  for i = 1, #s.text do bytes[i] = s.text:byte(i) .. (i % 32 == 0 and ",\n" or ",") end
  io.write("static const char rd_text_", s.name, "[] = {\n", table.concat(bytes), "0};\n")
end
io.write("static const struct rd_script_source { const char *name, *sha1, *text; size_t bytes; } RD_SCRIPTS[] = {\n")
for _, s in ipairs(scripts) do
  io.write(('  { "%s", "%s", rd_text_%s, %d },\n'):format(s.name, sha1(s.text), s.name, #s.text))
end
io.write("};\n#endif\n")
