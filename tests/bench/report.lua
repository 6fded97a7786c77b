-- report.lua - numbers in, a table out.
local M = {}
local Report = {}
Report.__index = Report

--- The value below which a share p (0..1) of the list lies.
function M.percentile(list, p)
  local sorted = {}
  for i, value in ipairs(list) do sorted[i] = value end
  table.sort(sorted)
  return sorted[math.max(1, math.ceil(#sorted * p))]
end

function M.median(list) return M.percentile(list, 0.5) end

--- Element by element a / b.
function M.ratios(a, b)
  local list = {}
  for i, value in ipairs(a) do list[i] = value / b[i] end
  return list
end

--- 1234567 -> "1,234,567"
function M.count(n)
  local text, again = ("%.0f"):format(n), 1
  while again > 0 do text, again = text:gsub("^(%d+)(%d%d%d)", "%1,%2") end
  return text
end

function M.ms(seconds) return ("%.2f ms"):format(seconds * 1000) end
function M.mb(bytes) return ("%.1f MB"):format(bytes / 1e6) end

function M.new() return setmetatable({ rows = {} }, Report) end

-- A row is shown as soon as it is known, and again in the table.
local function add(self, row)
  self.rows[#self.rows + 1] = row
  io.stderr:write(("  %s: %s%s\n"):format(row[1], row[2], row[4] ~= "" and " - " .. row[4] or ""))
end

--- A figure without a budget.
function Report:say(what, measured, ...) add(self, { what, measured:format(...), "", "" }) end

--- A figure with one: `met` says whether it is kept.
function Report:judge(what, met, budget, measured, ...) add(self,
  { what, measured:format(...), budget, met and "ok" or "MISSED" }) end

--- Heads the rows that follow.
function Report:section(title)
  self.rows[#self.rows + 1] = { "**" .. title .. "**", "", "", "" }
  io.stderr:write(title, "\n")
end

--- Something could not be measured; the run fails at its end.
function Report:failed(what, why)
  self.broken = true
  add(self, { what, "could not run: " .. tostring(why):gsub("\n.*", ""), "", "FAILED" })
  io.stderr:write(tostring(why), "\n")
end

--- Runs fn(report, ...), whose failure does not keep the rest from being measured.
function Report:measure(what, fn, ...)
  local ok, err = xpcall(fn, debug.traceback, self, ...)
  if not ok then self:failed(what, err) end
end

function Report:print()
  local head, widths = { "what", "measured", "budget", "" }, {}
  for i = 1, 4 do
    widths[i] = #head[i]
    for _, row in ipairs(self.rows) do widths[i] = math.max(widths[i], #row[i]) end
  end
  local function line(row)
    local cells = {}
    for i = 1, 4 do cells[i] = row[i] .. (" "):rep(widths[i] - #row[i]) end
    print("| " .. table.concat(cells, " | ") .. " |")
  end
  line(head)
  print("|" .. ("-"):rep(widths[1] + 2) .. "|" .. ("-"):rep(widths[2] + 2) .. "|" .. ("-"):rep(widths[3] + 2) .. "|"
    .. ("-"):rep(widths[4] + 2) .. "|")
  for _, row in ipairs(self.rows) do line(row) end
end

return M
