-- Refusals of Redis: users without a right, and errors of scripts in the words of Redis 6.2.
local H = require "tests.system.harness"


-- A Redis of the test's own with a user "app", whose rights are those of a store's user and then the rules given.
local function with_user(t, ...)
  local server = t:own_redis()
  server:call("ACL", "SETUSER", "app", "reset", "on", ">secret", "~*", "&*", "+@all", ...)
  t:use((server:url(0):gsub("//", "//app:secret@")))
  return server
end

local TASK = [[skein.task("note", { keep = 0 }, function(_, n) fx("note", n) end)]]

describe("a Redis user", function()
  local LACKS = {
    ["channel rights"] = { { "resetchannels" }, "has no right to PUBLISH to channel {skein}:wake" },
    ["HSET"] = { { "-hset" }, "has no right to HSET" },
    ["two rights"] = { { "-zadd", "-hincrby" }, "has no right to HINCRBY, ZADD" },
    ["a right to the keys"] = { { "resetkeys", "~other:*" }, "has no right to use keys {skein}:*" },
    ["EVALSHA"] = { { "-evalsha" }, "has no right to EVALSHA" },
    ["EVAL and SCRIPT"] = { { "-eval", "-script" }, "NOPERM" },
  }
  for name, case in pairs(LACKS) do
    H.it_on("redis", ("without %s is told so by name, and nothing is done"):format(name), function(t)
      local server = with_user(t, unpack(case[1]))
      t:script("a.lua", TASK)
      for _, args in ipairs { { "enqueue", "note", "1" }, { "stats" }, { "run", t.scripts } } do
        local said = t:cli(args)
        assert.equal(69, said.code, args[1])
        assert.is_truthy(said.err:find(case[2], 1, true), args[1] .. ": " .. said.err)
        assert.is_nil(said.err:find("secret", 1, true))
      end
      local client = t:client [[
        local h, err = require "skein".enqueue("note", 1)
        print(h, err.code)]]
      assert.equal("nil\tunavailable\n", client.out, client.err)
      assert.equal(0, server:call("EXISTS", "{skein}:jobs"))
    end)
  end

  for _, rules in ipairs { { "-script" }, { "-@transaction" }, { "-eval" }, { "-info" }, { "-client" },
    { "-config" } } do
    H.it_on("redis", ("with %s enqueues and runs jobs, also after SCRIPT FLUSH"):format(rules[1]), function(t)
      local server = with_user(t, unpack(rules))
      t:script("a.lua", TASK)
      t:run { "-w", "1" }
      t:enqueue("note", 1)
      t:wait_effects("note", 1)
      server:call("SCRIPT", "FLUSH")
      t:enqueue("note", 2)
      t:wait_effects("note", 2)
      server:call("CONFIG", "RESETSTAT")
      t:enqueue("note", 3)
      t:wait_effects("note", 3)
      assert.is_true(tonumber(server:info "total_commands_processed") < 200)
    end)
  end

  H.it_on("redis", "whose right to publish is taken away enqueues what it reports", function(t)
    local server = with_user(t)
    t:script("a.lua", TASK)
    local said = t:client(([[
      local skein = require "skein"
      assert(skein.enqueue("note", 1))
      assert(os.execute "redis-cli -u %s acl setuser app resetchannels >/dev/null" == 0)
      print(skein.enqueue("note", 2) ~= nil, skein.enqueue_many({ { task = "note", args = { 3 } } })[1] ~= nil)
      local sigs = {}
      for i = 1, 100 do sigs[i] = { task = "note", args = { i } } end
      print(#assert(skein.enqueue_many(sigs)))]]):format(server:url(0)))
    assert.equal("true\ttrue\n100\n", said.out, said.err)
    assert.equal(103, server:call("HLEN", "{skein}:jobs"))
    assert.equal("103", server:call("HGET", "{skein}:counts", "2:default"))
  end)
end)

describe("errors in the words of Redis 6.2:", function()
  local function behind_62(t)
    t:own_redis()
    local p = t:proxy()
    p:as_redis_62()
    t:use(p:url(0))
    return p
  end

  H.it_on("redis", "an engine leaves a master that was demoted, and comes back to it", function(t)
    local p = behind_62(t)
    t:script("a.lua", TASK)
    local engine = t:run { "-w", "1" }
    t:enqueue("note", 1)
    t:wait_effects("note", 1)
    local before = p:stats().accepted
    assert(t.redis:call("REPLICAOF", "127.0.0.1", "1"))
    t:wait_for("a new connection", 20, function() return p:stats().accepted > before end)
    engine:wait_log("READONLY", 5)
    assert(t.redis:call("REPLICAOF", "NO", "ONE"))
    t:wait_for("an enqueue", 10, function() return t:cli({ "enqueue", "note", "2" }).code == 0 end)
    t:wait_effects("note", 2)
  end)

  H.it_on("redis", "a full Redis is no broken one", function(t)
    local p = behind_62(t)
    t:enqueue("note", 1)
    assert(t.redis:call("CONFIG", "SET", "maxmemory", "1"))
    local said = t:client [[
      local h, err = require "skein".enqueue("note", 2)
      print(h, err.code, err.message)]]
    assert.is_truthy(said.out:find "^nil\tunavailable\t.*OOM command not allowed", said.out .. said.err)
    assert.is_nil(said.out:find "Error running script")
    assert.is_true(p:stats().accepted > 0)
  end)

  H.it_on("redis", "a right that is missing is named", function(t)
    local server = with_user(t)
    local p = t:proxy()
    p:as_redis_62()
    t:use((p:url(0):gsub("//", "//app:secret@")))
    local said = t:client(([[
      local skein = require "skein"
      assert(skein.enqueue("note", 1))
      assert(os.execute "redis-cli -u %s acl setuser app -hmget >/dev/null" == 0)
      local h, err = skein.enqueue("note", 2)
      print(h, err.code, err.message)]]):format(server:url(0)))
    assert.is_truthy(said.out:find "^nil\tunavailable\t.*The user executing the script can't run this command",
      said.out .. said.err)
  end)
end)
