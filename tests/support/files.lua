-- files.lua - temporary directories, files, and files that other processes append lines to.
local uv = require "luv"

local M = {}

function M.make_dirs(path)
  local made = path:sub(1, 1) == "/" and "" or "."
  for part in path:gmatch "[^/]+" do
    made = made .. "/" .. part
    uv.fs_mkdir(made, 493) -- 0755
  end
end

function M.temp_dir()
  local dir = assert(uv.fs_mkdtemp((os.getenv "TMPDIR" or "/tmp") .. "/skein-test.XXXXXX"))
  uv.fs_chmod(dir, 493)
  return dir
end

function M.write(path, text)
  M.make_dirs(path:match "^(.*)/[^/]*$")
  local file = assert(io.open(path, "wb"))
  assert(file:write(text))
  assert(file:close())
end

function M.read(path)
  local file, err = io.open(path, "rb")
  if not file then return nil, err end
  local text = file:read "*a"
  file:close()
  return text
end

function M.exists(path) return uv.fs_stat(path) ~= nil end

function M.list(dir)
  local names, scan = {}, uv.fs_scandir(dir)
  while scan do
    local name = uv.fs_scandir_next(scan)
    if not name then break end
    names[#names + 1] = name
  end
  table.sort(names)
  return names
end

function M.remove(path)
  local stat = uv.fs_lstat(path)
  if not stat then return end
  if stat.type ~= "directory" then return uv.fs_unlink(path) end
  for _, name in ipairs(M.list(path)) do M.remove(path .. "/" .. name) end
  uv.fs_rmdir(path)
end

--- Copies a file or a folder; nothing when there is none.
function M.copy(from, to)
  local stat = uv.fs_lstat(from)
  if not stat then return end
  if stat.type ~= "directory" then return assert(uv.fs_copyfile(from, to)) end
  M.make_dirs(to)
  for _, name in ipairs(M.list(from)) do M.copy(from .. "/" .. name, to .. "/" .. name) end
end

-- -- a file that grows by lines --------------------------------------------------------------------------------------

local Lines = {}
Lines.__index = Lines

--- Follows a file that others append lines to; it need not exist yet.
function M.lines(path) return setmetatable({ path = path, offset = 0, rest = "", lines = {} }, Lines) end

--- All complete lines so far; only what is new is read.
function Lines:all()
  local file = io.open(self.path, "rb")
  if not file then return self.lines end
  file:seek("set", self.offset)
  local text = file:read "*a" or ""
  file:close()
  self.offset = self.offset + #text
  text = self.rest .. text
  local from = 1
  for line, after in text:gmatch "([^\n]*)\n()" do
    self.lines[#self.lines + 1] = line
    from = after
  end
  self.rest = text:sub(from)
  return self.lines
end

return M
