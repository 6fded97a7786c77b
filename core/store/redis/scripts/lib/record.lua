-- The part of a job's record (core/logic/record.h) that the store itself changes: fields of small numbers.
local now = ...

local TAG = { ENQUEUED = 7, EXPIRES = 11, ATTEMPTS = 18, CRASHES = 19, UNKNOWNS = 20, RECOVERIES = 21, FINISHED = 26,
    LIMIT = 29 }

-- A number of base 128, lowest first: it, and where it ends; nil when it is cut short.
local function varint(s, at)
  local v, scale = 0, 1
  repeat
    local byte = s:byte(at)
    if not byte or scale > 2 ^ 42 then return nil end
    v = v + byte % 128 * scale
    scale = scale * 128
    at = at + 1
  until byte < 128
  return v, at
end

local function number_field(tag, v)
  local bytes = {}
  while v > 0 do
    bytes[#bytes + 1] = string.char(v % 256)
    v = math.floor(v / 256)
  end
  return #bytes > 0 and string.char(tag, #bytes) .. table.concat(bytes) or ""
end

-- record with the fields of `tags` (ascending) set to what change(tag, old) returns, 0 taking a field out; the same
-- bytes when it is not a record that this script can read.
local function record_edit(record, tags, change)
  if record:sub(1, 2) ~= "S\1" then return record end
  local out, at, next_tag = { "S\1" }, 3, 1
  while at <= #record do
    local tag, length_at = varint(record, at)
    local length, value_at
    if tag then length, value_at = varint(record, length_at) end
    if not length or value_at + length - 1 > #record then return record end
    while tags[next_tag] and tags[next_tag] < tag do
      out[#out + 1] = number_field(tags[next_tag], change(tags[next_tag], 0))
      next_tag = next_tag + 1
    end
    if tags[next_tag] == tag then
      local old = 0
      for i = value_at + length - 1, value_at, -1 do old = old * 256 + record:byte(i) end
      out[#out + 1] = number_field(tag, change(tag, old))
      next_tag = next_tag + 1
    else
      out[#out + 1] = record:sub(at, value_at + length - 1)
    end
    at = value_at + length
  end
  for i = next_tag, #tags do out[#out + 1] = number_field(tags[i], change(tags[i], 0)) end
  return table.concat(out)
end

-- For record_edit: the job is enqueued now, its time to expire keeps its distance to that, and what else is edited
-- counts from 0.
local function enqueued_anew()
  local enqueued
  return function(tag, old)
    if tag == TAG.ENQUEUED then
      enqueued = old
      return now
    end
    if tag == TAG.EXPIRES and old > 0 then return enqueued > 0 and math.max(old - enqueued + now, 1) or old end
    return 0
  end
end

-- A field's text; nil when it is not there, or the record cannot be read.
local function record_text(record, wanted)
  if record:sub(1, 2) ~= "S\1" then return nil end
  local at = 3
  while at <= #record do
    local tag, length_at = varint(record, at)
    local length, value_at
    if tag then length, value_at = varint(record, length_at) end
    if not length or tag > wanted then return nil end
    at = value_at + length
    if tag == wanted then return record:sub(value_at, at - 1) end
  end
end

return TAG, record_edit, enqueued_anew, record_text
