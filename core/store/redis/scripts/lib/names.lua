-- Names as clients may give them (core/base/limits.h), whatever locale Redis has.
local function is_name(name, bytes_max)
  return #name > 0 and #name <= bytes_max and not name:find("[^A-Za-z0-9_.:-]")
end
local NAME_BYTES_MAX, ID_BYTES_MAX = 200, 64

return is_name, NAME_BYTES_MAX, ID_BYTES_MAX
