-- Each of the ways to test a script; see `skein.testing`.
local skein = require "skein"
local t = require "skein.testing"
t.load("scripts/tested")
local mailer = require "mailer"
local WEEK = 7 * 24 * 3600

describe("scripts/tested", function()
  local sent, broken

  before_each(function()
    sent, broken = {}, false
    mailer.send = function(to, text)
      if broken and to ~= "postmaster" then error("connection refused", 0) end
      sent[#sent + 1] = to .. ": " .. text
    end
    t.fake()
  end)
  after_each(t.reset)

  it("perform: one handler, its result and its errors", function()
    assert.equal("ada", t.perform("tested.signup", "ada", WEEK).user)
    assert.has_error(function() t.perform("tested.mail", "no one", "hello") end)
  end)

  it("fake: what a job enqueues is recorded", function()
    t.perform("tested.signup", "ada", WEEK)
    local mail, reminder = unpack(t.enqueued())
    assert.same({ "ada", "welcome" }, { unpack(mail.args) })
    assert.equal("mail", mail.queue)
    assert.equal(skein.now() + WEEK, reminder.at)
    assert.same({}, sent)
  end)

  it("drain and advance: the whole of it, weeks of it, at once", function()
    skein.enqueue("tested.signup", "ada", WEEK)
    assert.equal(2, t.drain())
    t.advance(WEEK)
    assert.equal(2, t.drain())
    t.advance(WEEK)
    assert.equal(2, t.drain())
    assert.same({ "ada: welcome", "ada: still there?", "ada: still there?" }, sent)
    assert.equal(0, #t.enqueued())
  end)

  it("retries and deaths, by the task's own rules", function()
    broken = true
    local mail = skein.enqueue("tested.mail", "ada", "hello")
    t.drain()
    assert.equal("retry", mail:state())
    t.advance(60)
    t.drain()
    broken = false
    assert.is_nil(mail:wait(600))
    assert.same({ "ada: hello" }, sent)

    local lost = skein.enqueue("tested.mail", "no one", "hello")
    t.drain()
    assert.equal("dead", lost:state())
    assert.equal("postmaster: no such user: no one", sent[2])
  end)

  it("inline: enqueueing a job runs it", function()
    t.inline()
    skein.enqueue("tested.signup", "ada", WEEK)
    assert.same({ "ada: welcome", "ada: still there?", "ada: still there?" }, sent)
    assert.has_error(function() skein.enqueue("tested.mail", "no one", "hello") end)
  end)
end)
