-- Is a less than b, as bytes?  Lua's own < follows the locale that Redis was started with.
local function before(a, b)
  for k = 1, math.min(#a, #b) do
    local x, y = a:byte(k), b:byte(k)
    if x ~= y then return x < y end
  end
  return #a < #b
end

return before
