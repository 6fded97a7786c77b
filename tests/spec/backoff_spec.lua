-- The forms of the option backoff (lua/skein/backoff.lua).
local backoff = require "skein.backoff"

describe("a back-off", function()
  it("has a text for each of its forms", function()
    for text, form in pairs {
      exponential = "exponential", fibonacci = "fibonacci", ["constant"] = { "constant" }, [""] = print,
      ["constant;base=2;max=60;jitter=0.1"] = { "constant", base = 2, max = 60, jitter = 0.1 },
      ["list;1;5.5;30"] = { 1, 5.5, 30 }, ["list;0"] = { 0 },
      ["list;1;5;max=3;jitter=0.5"] = { 1, 5, max = 3, jitter = 0.5 },
      ["linear;base=0.000001"] = { "linear", base = 0.000001 },
    } do
      assert.equal(text, backoff.text(form))
    end
  end)

  it("is refused with what was expected", function()
    for _, wrong in ipairs {
      "exponental", "", 5, true, {}, { "constant", 5 }, { "constant", bas = 1 }, { "constant", base = "1" }, { 1, "2" },
      { -1 }, { 1 / 0 }, { 0 / 0 }, { 1, base = 2 }, { 1, x = 2 }, { [1] = 1, [3] = 3 }, { "constant", jitter = 2 },
      { 1, [0.5] = 1 },
    } do
      local text, expected = backoff.text(wrong)
      assert.is_nil(text)
      assert.matches("^\"exponential\", \"fibonacci\"", expected)
    end
    local _, expected = backoff.text { 1, base = 2 }
    assert.matches("%(.*base", expected)
  end)

  it("has numbers of at most six decimals, without zeros at the end", function()
    for text, form in pairs {
      ["list;0.1;2;1000000"] = { 0.1, 2, 1e6 }, ["list;0.333333"] = { 1 / 3 }, ["list;10;100"] = { 10, 100 },
      ["fibonacci;base=0.5;max=20"] = { "fibonacci", max = 20, base = 0.5 },
      ["exponential;jitter=0"] = { "exponential", jitter = 0 },
    } do
      assert.equal(text, backoff.text(form))
    end
  end)

  it("that is refused leaves what the core says in the message", function()
    local text, expected = backoff.text { "constant", jitter = 2 }
    assert.is_nil(text)
    assert.equal(backoff.expected, expected:sub(1, #backoff.expected))
    assert.matches("^ %(.*jitter.*%)$", expected:sub(#backoff.expected + 1))
    assert.same({ nil, backoff.expected }, { backoff.text(nil) })
  end)

  it("takes 64 numbers and not 65", function()
    local list = {}
    for i = 1, 64 do list[i] = i end
    assert.is_string(backoff.text(list))
    list[65] = 65
    assert.is_nil(backoff.text(list))
  end)
end)
