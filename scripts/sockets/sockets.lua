-- Sockets, timers and files come from luv, on the worker's own loop: a job that waits holds up nobody.
--   skein enqueue sockets.start && skein run scripts/sockets --drain
local skein, uv = require "skein", require "luv"

skein.task("sockets.start", { timeout = 10 }, function()
  local server, client, answer = uv.new_tcp(), uv.new_tcp(), nil
  server:bind("127.0.0.1", 0)
  server:listen(1, function() -- answers each line in capitals
    local peer = uv.new_tcp()
    server:accept(peer)
    peer:read_start(function(_, data) if data then peer:write(data:upper()) else peer:close() end end)
  end)
  client:connect("127.0.0.1", server:getsockname().port, function()
    client:write "hello"
    client:read_start(function(_, data) answer = data end)
  end)
  repeat skein.sleep(0.01) until answer
  print("the server said " .. answer)
  for _, socket in ipairs { client, server } do socket:close() end
end)
