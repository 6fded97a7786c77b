-- The world outside, which the spec puts something else in the place of.
local M = {}

function M.send(to, text) print(("to %s: %s"):format(to, text)) end

return M
