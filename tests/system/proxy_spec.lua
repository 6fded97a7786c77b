-- tests/support/proxy.c, the network that other tests make slow or break, does what its head says.
local proxies = require "tests.support.proxy"
local uv = require "luv"
local wait = require "tests.support.wait"

-- Gives back what it gets.
local function echo_server()
  local server = { listener = uv.new_tcp(), clients = {}, open = 0 }
  server.listener:bind("127.0.0.1", 0)
  server.port = server.listener:getsockname().port
  server.listener:listen(16, function()
    local client = uv.new_tcp()
    server.listener:accept(client)
    server.clients[#server.clients + 1] = client
    server.open = server.open + 1
    client:read_start(function(_, data)
      if data then
        client:write(data)
      else
        server.open = server.open - 1
        if not client:is_closing() then client:close() end
      end
    end)
  end)
  return server
end

local function connect(port)
  local c = { got = "", tcp = uv.new_tcp() }
  c.tcp:connect("127.0.0.1", port, function(err)
    c.connected, c.ended = not err, err
    if err then return end
    c.tcp:read_start(function(read_err, data)
      if data then c.got = c.got .. data else c.ended = read_err or "EOF" end
    end)
  end)
  wait.wait_for("a connection or its refusal", 5, function() return c.connected or c.ended end)
  function c:expect(text) wait.wait_for(("%q, not %q"):format(text, self.got), 5,
    function() return self.got == text end) end
  function c:close() if not self.tcp:is_closing() then self.tcp:close() end end
  return c
end

describe("the proxy", function()
  local server, proxy, a, b

  before_each(function()
    server = echo_server()
    proxy = proxies.start(server.port)
    a = connect(proxy.port)
    wait.wait_for("the proxy to know the connection", 5, function() return proxy:stats().open == 1 end)
  end)

  after_each(function()
    if a then a:close() end
    if b then b:close() end
    proxy:stop()
    for _, client in ipairs(server.clients) do
      if not client:is_closing() then client:close() end
    end
    server.listener:close()
    a, b = nil, nil
    uv.run "nowait"
  end)

  it("carries bytes both ways, in order, and counts them", function()
    local text = ("0123456789"):rep(200000)
    a.tcp:write(text)
    a:expect(text)
    assert.same({ open = 1, accepted = 1, to_target_bytes = #text, from_target_bytes = #text, lost = 0 },
      proxy:stats())
  end)

  it("adds its delay each way, parts of a millisecond too, and delays one thing no longer for another", function()
    proxy:command "delay 20.5"
    local start = wait.seconds()
    a.tcp:write "one"
    a:expect "one"
    assert.is_true(wait.seconds() - start >= 0.041)
    proxy:command "delay 100"
    start = wait.seconds()
    for _ = 1, 10 do a.tcp:write "x" end
    a:expect("one" .. ("x"):rep(10))
    assert.is_true(wait.seconds() - start < 0.9)
  end)

  it("pauses without losing anything", function()
    proxy:command "pause"
    a.tcp:write "late"
    wait.never("something came through a pause", 0.05, function() return a.got ~= "" end)
    proxy:command "pass"
    a:expect "late"
  end)

  it("swallows: mute in old and new connections, also when the other end is gone; later connections pass", function()
    proxy:command "swallow"
    a.tcp:write "lost"
    b = connect(proxy.port)
    b.tcp:write "lost"
    wait.wait_for("both at the server", 5, function() return #server.clients == 2 end)
    server.clients[1]:close()
    wait.never("a mute connection spoke or ended", 0.05, function() return a.got ~= "" or a.ended or b.got ~= ""
      or b.ended end)
    proxy:command "pass"
    wait.wait_for("the reset of the connection whose other end was gone", 5, function() return a.ended end)
    b.tcp:write "mute"
    local c = connect(proxy.port)
    c.tcp:write "heard"
    c:expect "heard"
    c:close()
    assert.equal("", b.got)
  end)

  it("closes by a reset, and carries new connections", function()
    proxy:command "close"
    wait.wait_for("the reset", 5, function() return a.ended end)
    assert.equal("ECONNRESET", a.ended)
    wait.wait_for("the reset at the target", 5, function() return server.open == 0 end)
    b = connect(proxy.port)
    b.tcp:write "new"
    b:expect "new"
  end)

  it("refuses until it passes again, on the same port", function()
    proxy:command "refuse"
    wait.wait_for("the reset", 5, function() return a.ended end)
    b = connect(proxy.port)
    assert.equal("ECONNREFUSED", b.ended)
    b:close()
    proxy:command "pass"
    b = connect(proxy.port)
    b.tcp:write "again"
    b:expect "again"
  end)

  it("closes one end when the other does", function()
    a.tcp:shutdown()
    wait.wait_for("the end at the target", 5, function() return server.open == 0 end)
    wait.wait_for("the end of the link", 5, function() return proxy:stats().open == 0 end)
    assert.equal("EOF", a.ended)
  end)

  it("says what it does not understand", function()
    local ok, err = pcall(proxy.command, proxy, "delay -1")
    assert.is_false(ok)
    assert.matches('error "delay %-1": expected delay MS %(0 to 60000%), pass', err)
  end)

  it("loses what a text is in, once, and resets all connections", function()
    proxy:lose "stranded"
    a.tcp:write "passes"
    a:expect "passes"
    a.tcp:write "is stranded here"
    wait.wait_for("the reset", 5, function() return a.ended end)
    a:expect "passes"
    assert.equal(1, proxy:stats().lost)
    b = connect(proxy.port)
    b.tcp:write "stranded no more"
    b:expect "stranded no more"
  end)

  it("carries new connections to another target", function()
    local other = echo_server()
    proxy:target(other.port)
    b = connect(proxy.port)
    b.tcp:write "hello"
    b:expect "hello"
    assert.equal(1, other.open)
    a.tcp:write "still there"
    a:expect "still there"
    b:close()
    wait.wait_for("the end at the other target", 5, function() return other.open == 0 end)
    other.listener:close()
  end)

  it("reads no faster than a thin line carries", function()
    proxy:upload(1e6)
    local text, from = ("x"):rep(300000), wait.seconds()
    a.tcp:write(text)
    a:expect(text)
    assert.is_true(wait.seconds() - from > 0.2)
    proxy:upload(0)
    from = wait.seconds()
    a.tcp:write(text)
    a:expect(text .. text)
    assert.is_true(wait.seconds() - from < 0.2)
  end)

  it("words errors of scripts as Redis 6.2 does", function()
    proxy:as_redis_62()
    local sha = ("0123456789"):rep(4)
    local behind = " script: " .. sha .. ", on @user_script:12.\r\n"
    a.tcp:write("+OK\r\n-READONLY You can't write" .. behind .. "-ERR no right" .. behind
      .. "-ERR other\r\n$3\r\nabc\r\n")
    local said = "-ERR Error running script (call to f_" .. sha .. "): @user_script:12: @user_script: 12: "
    a:expect("+OK\r\n" .. said .. "-READONLY You can't write \r\n" .. said
      .. "no right \r\n-ERR other\r\n$3\r\nabc\r\n")
  end)
end)
