--- Finds unknown names in scripts without running them. `skein check` thus reports mistakes that would otherwise fail
-- only in a job.
-- @module skein.scan
local schema = require "skein.schema"
local util = require "jit.util"
local band, rshift = bit.band, bit.rshift
local getmetatable, ipairs, loadstring, pairs, rawget, type = getmetatable, ipairs, loadstring, pairs, rawget, type

local M = {}

--- Fields of the module ---------------------------------------------------------------------------------------------

-- Splits the text into tokens { text =, kind = "name" | "string" | "symbol", line = }; leaves out comments.
local function tokens_of(source)
  local tokens, at, line = {}, 1, 1
  local function lines_in(text)
    for _ in text:gmatch "\n" do line = line + 1 end
  end
  local function add(kind, text, whole)
    tokens[#tokens + 1] = { kind = kind, text = text, line = line }
    lines_in(whole)
    at = at + #whole
  end
  while at <= #source do
    local space = source:match("^%s+", at)
    local comment = source:match("^%-%-%[(=*)%[", at)
    local long = source:match("^%[(=*)%[", at)
    local quote = source:match("^[\"']", at)
    local name = source:match("^[%a_][%w_]*", at)
    if space then
      lines_in(space)
      at = at + #space
    elseif comment then
      local whole = source:match("^%-%-%[" .. comment .. "%[.-%]" .. comment .. "%]", at) or source:sub(at)
      lines_in(whole)
      at = at + #whole
    elseif source:find("^%-%-", at) then
      at = (source:find("\n", at, true) or #source + 1)
    elseif long then
      local whole = source:match("^%[" .. long .. "%[.-%]" .. long .. "%]", at) or source:sub(at)
      add("string", whole:sub(#long + 3, -#long - 3), whole)
    elseif quote then
      local to = at + 1
      while to <= #source and source:sub(to, to) ~= quote do to = to + (source:sub(to, to) == "\\" and 2 or 1) end
      add("string", source:sub(at + 1, to - 1), source:sub(at, to))
    elseif name then
      add("name", name, name)
    else
      local symbol = source:match("^%.%.%.?", at) or source:match("^[=~<>]=", at) or source:match("^[%d][%w.]*", at)
        or source:sub(at, at)
      add("symbol", symbol, symbol)
    end
  end
  return tokens
end

-- The index of the last token of a `require "skein"` that begins at token i; nil if another expression begins there.
local function require_end(tokens, i)
  local function text(k) return tokens[k] and tokens[k].text end
  local function is_skein(k) return tokens[k] and tokens[k].kind == "string" and tokens[k].text == "skein" end
  if text(i) ~= "require" or tokens[i].kind ~= "name" then return nil end
  if is_skein(i + 1) then return i + 1 end
  if text(i + 1) == "(" and is_skein(i + 2) and text(i + 3) == ")" then return i + 3 end
end

local OPENS, CLOSES = { ["("] = true, ["{"] = true, ["["] = true }, { [")"] = true, ["}"] = true, ["]"] = true }

-- The index of the name to which the expression at token i is assigned, as in `a, b = x, y`; nil if there is none.
local function target_of(tokens, i)
  local place, depth, k = 1, 0, i - 1
  while k > 0 and (tokens[k].text ~= "=" or depth > 0) do
    local text = tokens[k].kind ~= "string" and tokens[k].text
    if CLOSES[text] then depth = depth + 1 end
    if OPENS[text] then depth = depth - 1 end
    if depth < 0 or text == ";" or text == "local" then return nil end
    if text == "," and depth == 0 then place = place + 1 end
    k = k - 1
  end
  local names = {}
  k = k - 1
  while k > 0 and tokens[k].kind == "name" and tokens[k].text ~= "local" do
    table.insert(names, 1, k)
    if not tokens[k - 1] or tokens[k - 1].text ~= "," then break end
    k = k - 2
  end
  return names[place]
end

-- Adds to `bound` (name -> true) the names that a `local`, `function` or `for` at token i declares. A declaration whose
-- index is in `but` (name -> index) is left out.
local function note_bound(tokens, i, bound, but)
  local text, k = tokens[i].text, i + 1
  if text == "function" then
    while tokens[k] and tokens[k].text ~= "(" do k = k + 1 end
    k = k + 1
  elseif text ~= "local" and text ~= "for" then
    return
  end
  while tokens[k] and (tokens[k].kind == "name" or tokens[k].text == ",") and tokens[k].text ~= "in"
    and tokens[k].text ~= "function" do
    if tokens[k].kind == "name" and k ~= but[tokens[k].text] then bound[tokens[k].text] = true end
    k = k + 1
  end
end

--- Finds the uses of unknown fields of the module in a script.
-- @tparam string source the script's text
-- @tparam table module `skein`
-- @treturn table a list of { line =, message = }
function M.fields(source, module)
  local tokens, alias, bound, wrong = tokens_of(source), {}, {}, {}
  for i = 1, #tokens do
    if require_end(tokens, i) then
      local target = target_of(tokens, i)
      local after = tokens[require_end(tokens, i) + 1]
      local whole = not after or not (after.text == "." or after.text == ":" or after.text == "(" or after.text == "[")
      if target and whole then alias[tokens[target].text] = target end
    end
  end
  for i = 1, #tokens do
    if tokens[i].kind == "name" then note_bound(tokens, i, bound, alias) end
  end
  -- Checks the field after token i, the last token of the expression `what`.
  local function look(i, what, fields)
    local dot, field, after = tokens[i + 1], tokens[i + 2], tokens[i + 3]
    if not (dot and dot.text == "." and field and field.kind == "name") or (after and after.text == "=") then return end
    local value = rawget(fields, field.text)
    if value == nil then
      wrong[#wrong + 1] = { line = field.line, message = schema.unknown_field(what, field.text, fields) }
    elseif type(value) == "table" and field.text == "admin" then
      look(i + 2, what .. ".admin", value)
    end
  end
  for i = 1, #tokens do
    local token, before = tokens[i], tokens[i - 1]
    local is_alias = token.kind == "name" and alias[token.text] and not bound[token.text]
    if is_alias and not (before and (before.text == "." or before.text == ":")) then look(i, "skein", module) end
    local to = require_end(tokens, i)
    if to then look(to, "skein", module) end
  end
  return wrong
end

--- Global names -----------------------------------------------------------------------------------------------------

-- Instruction numbers differ between versions of LuaJIT. This function reads one from the bytecode of an example.
local function opcode(source, pc) return band(util.funcbc(loadstring(source), pc), 0xff) end

local GGET, GSET = opcode("return a", 1), opcode("a = b", 2)
local MOV = opcode("local a, b = 1, 2 local c = a return b, c", 3)
local INDEX = { [opcode("return a.b", 2)] = true, [opcode("return a[b]", 3)] = true, [opcode("return a[1]", 2)] = true }
local CALL = {
  [opcode("a(1) return b", 3)] = true, [opcode("return a()", 2)] = true, [opcode("a(b()) return c", 4)] = true,
  [opcode("return a(b())", 4)] = true,
}

-- The first use of a register's value from pc on: "called", "indexed", or nil for any other or unknown use.
local function use_of(fn, register, pc)
  while true do
    local code = util.funcbc(fn, pc)
    if not code then return nil end
    local op, a, d, b = band(code, 0xff), band(rshift(code, 8), 0xff), rshift(code, 16), rshift(code, 24)
    if CALL[op] and a == register then return "called" end
    if INDEX[op] and b == register then return "indexed" end
    if a <= register and not (op == MOV and d == register) then return nil end
    pc = pc + 1
  end
end

-- Calls see(name, is_set, use, line) for each access to a global in the function and the functions inside it.
local function walk(fn, see)
  local pc = 1
  while true do
    local code = util.funcbc(fn, pc)
    if not code then break end
    local op = band(code, 0xff)
    if op == GGET or op == GSET then
      local name = util.funck(fn, -rshift(code, 16) - 1)
      local use = op == GGET and use_of(fn, band(rshift(code, 8), 0xff), pc + 1)
      see(name, op == GSET, use, util.funcinfo(fn, pc).currentline)
    end
    pc = pc + 1
  end
  local k = -1
  while true do
    local constant = util.funck(fn, k)
    if constant == nil then break end
    if type(constant) == "proto" then walk(constant, see) end
    k = k - 1
  end
end

--- Finds the unknown globals that scripts call or index. A name that a script also tests (`if ngx then`) is not
-- reported.
-- @tparam table chunks { { file =, fn = } ... }
-- @tparam table globals the global table after the scripts have loaded
-- @treturn table a list of { file =, line =, message = }
function M.globals(chunks, globals)
  local meta = getmetatable(globals)
  if meta ~= nil then return {} end -- the lookup rules of such an environment are unknown
  local made, tested, used = {}, {}, {}
  for _, chunk in ipairs(chunks) do
    walk(chunk.fn, function(name, set, use, line)
      if set then
        made[name] = true
      elseif use then
        used[#used + 1] = { file = chunk.file, line = line, name = name }
      else
        tested[name] = true
      end
    end)
  end
  local wrong, known = {}, {}
  for name in pairs(globals) do known[name] = true end
  for name in pairs(made) do known[name] = true end
  for _, one in ipairs(used) do
    if not known[one.name] and not tested[one.name] then
      local near = schema.nearest(one.name, known)
      local hint = near and (' (did you mean "%s"?)'):format(near) or ""
      one.message = ("no global is named %s%s"):format(schema.show(one.name), hint)
      wrong[#wrong + 1] = one
    end
  end
  return wrong
end

return M
