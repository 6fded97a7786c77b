-- notes.lua - lines that jobs leave for bench.lua: tab-separated fields, one write a line, all in
-- $SKEIN_BENCH_DIR/notes.
local M = {}

local path, file

--- Where the lines go; in a worker the environment says it.
function M.open(dir)
  if file then file:close() end
  path, file = dir .. "/notes", nil
end

function M.add(...)
  if not file then
    if not path then M.open(assert(os.getenv "SKEIN_BENCH_DIR", "SKEIN_BENCH_DIR is not set")) end
    file = assert(io.open(path, "a"))
    file:setvbuf "line"
  end
  local fields = { ... }
  for i, field in ipairs(fields) do fields[i] = type(field) == "number" and ("%.17g"):format(field) or field end
  file:write(table.concat(fields, "\t"), "\n")
end

return M
