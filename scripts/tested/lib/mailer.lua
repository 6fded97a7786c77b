-- Sends mail. The spec replaces `send`.
local M = {}

function M.send(to, text) print(("to %s: %s"):format(to, text)) end

--- Tells the postmaster why a job died.
function M.report(_, err) M.send("postmaster", err.message) end

return M
