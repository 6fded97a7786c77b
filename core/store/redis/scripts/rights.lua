-- rights: names the rights that the asking user lacks, so that no script fails halfway.  Writes nothing.
-- KEYS   1 a key of the store      ARGV   1 the channel of wake-ups
-- Reply  a list of texts; empty: nothing is missing.  Redis 6.2 cannot be asked: there only the channel is tried, with
--        an empty wake-up, which clients pass over.
local key, channel = KEYS[1], ARGV[1]
local missing = {}
if not redis.acl_check_cmd then
  local said = redis.pcall("PUBLISH", channel, "")
  if type(said) == "table" and said.err then missing[1] = "PUBLISH to channel " .. channel end
  return missing
end
local COMMANDS = {
  "TIME", "EVALSHA x 0", "EXISTS k", "DEL k", "UNLINK k",
  "HGET k f", "HMGET k f", "HGETALL k", "HKEYS k", "HLEN k", "HEXISTS k f", "HSET k f v", "HSETNX k f v", "HDEL k f",
  "HINCRBY k f 1",
  "HSCAN k 0",
  "LLEN k", "LINDEX k 0", "LRANGE k 0 1", "LPOP k", "LPUSH k v", "RPUSH k v", "LTRIM k 0 1",
  "SADD k m", "SREM k m", "SISMEMBER k m", "SMISMEMBER k m", "SMEMBERS k", "SCARD k", "SRANDMEMBER k 1",
  "ZADD k 0 m", "ZREM k m", "ZSCORE k m", "ZRANGE k 0 1", "ZREVRANGEBYSCORE k 1 0", "ZCOUNT k 0 1", "ZCARD k",
  "ZRANGEBYSCORE k 0 1", "ZRANGEBYLEX k - +",
  "ZLEXCOUNT k - +",
  "ZREMRANGEBYRANK k 0 1", "PUBLISH c m",
}
for _, text in ipairs(COMMANDS) do
  local words = {}
  for word in text:gmatch("%S+") do words[#words + 1] = word == "k" and key or word == "c" and channel or word end
  if not redis.acl_check_cmd(unpack(words)) then
    missing[#missing + 1] = words[1] == "PUBLISH" and "PUBLISH to channel " .. channel or words[1]
  end
end
return missing
