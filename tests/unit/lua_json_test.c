/* lua_json_test.c - the codec between Lua values and JSON text, in a real state.
 *
 * A case is a Lua expression.  Its value is encoded, decoded and compared by Lua itself, exactly and with types. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <lauxlib.h>
#include <locale.h>
#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "logic/json.h"
#include "lua/json.h"

/* same(a, b): equal in value and type, NaN apart; tables by content and by whether they are marked as arrays when
 * empty. */
static const char PRELUDE[] =
    "ffi = require 'ffi'\n"
    "function nested(n) local t = {} for i = 2, n do t = {t} end return t end\n"
    "function cycle() local t = {1, {}} t[2].back = t return t end\n"
    "function same(a, b)\n"
    "  if type(a) ~= type(b) then return false end\n"
    "  if type(a) == 'cdata' then return tostring(a) == tostring(b) end\n"
    "  if type(a) == 'number' then return a == b and 1 / a == 1 / b end\n"
    "  if type(a) ~= 'table' then return a == b end\n"
    "  if next(a) == nil and getmetatable(a) ~= getmetatable(b) then return false end\n"
    "  for k, v in pairs(a) do if not same(v, b[k]) then return false end end\n"
    "  for k in pairs(b) do if a[k] == nil then return false end end\n"
    "  return true\n"
    "end\n"
    "local R = math.random\n"
    "local makers = {\n"
    "  function() return R(-1000, 1000) end,\n"
    "  function() return (R() - 0.5) * 10 ^ R(-320, 300) end,\n"
    "  function() return R(-1e6, 1e6) / 10 ^ R(0, 6) end,\n"
    "  function() return R(0, 2 ^ 31) * R(0, 2 ^ 31) * 2 ^ R(-5, 5) end,\n"
    "  function() local s = {} for i = 1, R(0, 40) do s[i] = string.char(R(0, 255)) end return table.concat(s) end,\n"
    "  function() return R() < 0.5 end,\n"
    "  function() return null end,\n"
    "  function() return ffi.cast('int64_t', R(2 ^ 22, 2 ^ 31 - 1)) * 0x100000000LL + R(0, 2 ^ 31) end,\n"
    "  function() return -(ffi.cast('int64_t', R(2 ^ 22, 2 ^ 31 - 1)) * 0x100000000LL) - R(0, 2 ^ 31) end,\n"
    "  function() return ffi.cast('uint64_t', R(2 ^ 31, 2 ^ 32 - 1)) * 0x100000000ULL + R(0, 2 ^ 31) end,\n"
    "}\n"
    "function random_value(depth)\n"
    "  local kind = R(depth > 0 and 14 or 10)\n"
    "  if kind <= 10 then return makers[kind]() end\n"
    "  local t = {}\n"
    "  if kind <= 12 then for i = 1, R(0, 40) - 5 do t[i] = random_value(depth - 1) end return array(t) end\n"
    "  for i = 1, R(0, 24) - 3 do t[makers[5]()] = random_value(depth - 1) end\n"
    "  return t\n"
    "end\n";

static int setup(void **state) {
  lua_State *L = luaL_newstate();
  luaL_openlibs(L);
  sk_lua_json_open(L);
  sk_lua_json_open(L); /* again changes nothing */
  lua_pushcfunction(L, sk_lua_json_array);
  lua_setglobal(L, "array");
  sk_lua_json_push_null(L);
  lua_setglobal(L, "null");
  if (luaL_dostring(L, PRELUDE) != 0) return -1;
  *state = L;
  return lua_gettop(L);
}

static int teardown(void **state) {
  int left = lua_gettop(*state); /* every test leaves the stack as it was */
  lua_close(*state);
  return left;
}

/* Pushes what the expression makes; returns how many values. */
static int eval(lua_State *L, const char *expression) {
  char chunk[1200];
  int top = lua_gettop(L);
  snprintf(chunk, sizeof chunk, "return %s", expression);
  if (luaL_dostring(L, chunk) != 0) fail_msg("%s: %s", expression, lua_tostring(L, -1));
  return lua_gettop(L) - top;
}

static void assert_text(const struct sk_buf *b, const char *about, const char *expected) {
  if (!sk_str_eq_c(sk_buf_str(b), expected))
    fail_msg("%s: %.*s, expected %s", about, SK_STR_ARG(sk_buf_str(b)), expected);
}

/* The expression's text is as given, and what is decoded from it is the same value. */
static void assert_round_trip(lua_State *L, const char *expression, const char *text) {
  struct sk_buf b = { 0 };
  struct sk_err err = { 0 };
  int top = lua_gettop(L);
  lua_getglobal(L, "same");
  assert_int_equal(eval(L, expression), 1);
  if (sk_lua_json_encode(L, -1, "value", &b, &err) != SK_OK) fail_msg("%s: %s", expression, err.message);
  assert_int_equal(lua_gettop(L), top + 2);
  if (text) assert_text(&b, expression, text);
  assert_int_equal(sk_json_check(sk_buf_str(&b), SK_JSON_DEPTH_MAX, NULL), SK_OK);
  if (sk_lua_json_decode(L, sk_buf_str(&b), &err) != SK_OK) fail_msg("%s: %s", expression, err.message);
  assert_int_equal(lua_gettop(L), top + 3);
  lua_call(L, 2, 1);
  if (!lua_toboolean(L, -1))
    fail_msg("%s came back as something else from %.*s", expression, SK_STR_ARG(sk_buf_str(&b)));
  lua_settop(L, top);
  sk_buf_fini(&b);
}

static void assert_refused(lua_State *L, const char *expression, enum sk_code code, const char *message) {
  struct sk_buf b = { 0 };
  struct sk_err err = { 0 };
  int top = lua_gettop(L);
  sk_buf_add_c(&b, "before");
  int n = eval(L, expression);
  assert_int_equal(sk_lua_json_encode_args(L, top + 1, top + n, &b, &err), code);
  assert_text(&b, expression, "before");
  assert_int_equal(lua_gettop(L), top + n);
  if (message && strcmp(err.message, message) != 0)
    fail_msg("%s: \"%s\", expected \"%s\"", expression, err.message, message);
  lua_settop(L, top);
  sk_buf_fini(&b);
}

static void plain_values_round_trip(void **state) {
  lua_State *L = *state;
  assert_round_trip(L, "true", "true");
  assert_round_trip(L, "false", "false");
  assert_round_trip(L, "null", "null");
  assert_round_trip(L, "'text'", "\"text\"");
  assert_round_trip(L, "''", "\"\"");
  assert_round_trip(L, "{}", "{}");
  assert_round_trip(L, "array{}", "[]");
  assert_round_trip(L, "{1, 'two', {three = array{}}}", "[1,\"two\",{\"three\":[]}]");
  assert_round_trip(L, "{['']={}}", "{\"\":{}}");
}

static void numbers_round_trip_in_their_shortest_form(void **state) {
  lua_State *L = *state;
  const char *cases[][2] = {
    { "0", "0" },
    { "-0.0", "-0.0" },
    { "42", "42" },
    { "-42", "-42" },
    { "2^53-1", "9007199254740991" },
    { "-(2^53-1)", "-9007199254740991" },
    { "2^53", "9007199254740992.0" },
    { "-2^53", "-9007199254740992.0" },
    { "0.1", "0.1" },
    { "-0.1", "-0.1" },
    { "0.1+0.2", "0.30000000000000004" },
    { "1/3", "0.3333333333333333" },
    { "1e15", "1000000000000000" },
    { "1e300", "1e+300" },
    { "1e308", "1e+308" },
    { "5e-324", "4.94065645841247e-324" },
    { "1.7976931348623157e308", "1.7976931348623157e+308" },
    { "2.2250738585072014e-308", NULL },
    { "123456.789", "123456.789" },
    { "0.0001", "0.0001" },
    { "0.00001", "1e-05" },
    { "1e20", "1e+20" },
    { "2^60", NULL },
    { "100.5", "100.5" },
    { "1732550400.123", "1732550400.123" },
    { "0.000123", "0.000123" },
    { "1e-7", "1e-07" },
    { "0.999999", "0.999999" },
    { "123456789012.5", "123456789012.5" },
    { "2251799813685248.5", "2251799813685248.5" },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) assert_round_trip(L, cases[i][0], cases[i][1]);
}

static void wide_integers_round_trip_exactly(void **state) {
  lua_State *L = *state;
  assert_round_trip(L, "9007199254740993LL", "9007199254740993");
  assert_round_trip(L, "-9007199254740993LL", "-9007199254740993");
  assert_round_trip(L, "0x7fffffffffffffffLL", "9223372036854775807");
  assert_round_trip(L, "-0x7fffffffffffffffLL-1", "-9223372036854775808");
  assert_round_trip(L, "0x8000000000000000ULL", "9223372036854775808");
  assert_round_trip(L, "0xffffffffffffffffULL", "18446744073709551615");
  assert_round_trip(L, "{9007199254740993LL, {x = 0xffffffffffffffffULL}}", NULL);
}

/* What the expression encodes to, and what the text decodes to, where the two are not the same value. */
static void assert_decodes(lua_State *L, const char *text, const char *expression) {
  struct sk_err err = { 0 };
  lua_getglobal(L, "same");
  assert_int_equal(eval(L, expression), 1);
  if (sk_lua_json_decode(L, sk_str_c(text), &err) != SK_OK) fail_msg("%s: %s", text, err.message);
  lua_call(L, 2, 1);
  if (!lua_toboolean(L, -1)) fail_msg("%s is not %s", text, expression);
  lua_pop(L, 1);
}

static void integers_become_the_narrowest_type_that_holds_them(void **state) {
  lua_State *L = *state;
  struct sk_buf b = { 0 };
  eval(L, "{42LL, 42ULL, -1LL}");
  assert_int_equal(sk_lua_json_encode(L, -1, "x", &b, NULL), SK_OK);
  assert_text(&b, "small cdata", "[42,42,-1]");
  lua_pop(L, 1);
  sk_buf_fini(&b);
  assert_decodes(L, "9007199254740992", "2^53");
  assert_decodes(L, "9007199254740993", "9007199254740993LL");
  assert_decodes(L, "-9007199254740992", "-2^53");
  assert_decodes(L, "-9223372036854775809", "-2^63");
  assert_decodes(L, "9223372036854775808", "9223372036854775808ULL");
  assert_decodes(L, "18446744073709551616", "2^64");
  assert_decodes(L, "1000000000000000000000000000000", "1e30");
  assert_decodes(L, "-0", "-0.0");
  assert_decodes(L, "1.0", "1");
  assert_decodes(L, "1E5", "100000");
  assert_decodes(L, "-2.5e-3", "-0.0025");
  assert_decodes(L, "0e999999999999", "0");
  assert_decodes(L, "1e-999999999999", "0");
  assert_decodes(L, "0.1000000000000000055511151231257827021181583404541015625", "0.1");
  assert_decodes(L, "9007199254740993.0", "2^53"); /* half way: to even */
  assert_decodes(L, "9007199254740995.0", "2^53+4");
  assert_decodes(L, "1e22", "1e22");
  assert_decodes(L, "1e23", "1e23");
  assert_decodes(L, "123456789012345678e-30", "123456789012345678e-30");
}

static void long_literals_are_read_whole(void **state) {
  lua_State *L = *state;
  char text[2000] = "0.1";
  memset(text + 3, '0', 1500);
  strcpy(text + 1503, "1e1");
  assert_decodes(L, text, "1");
  memset(text, '1', 300);
  text[300] = '\0';
  assert_decodes(L, text, "tonumber(('1'):rep(300))");
}

static void strings_hold_any_bytes(void **state) {
  lua_State *L = *state;
  assert_round_trip(L, "'a\\0b'", "\"a\\u0000b\"");
  assert_round_trip(L, "'\"\\\\/\\n\\r\\t\\b\\f\\127'", "\"\\\"\\\\/\\n\\r\\t\\u0008\\u000c\x7f\"");
  assert_round_trip(L, "'\\255\\254\\128'", "\"\xff\xfe\x80\"");
  assert_round_trip(L, "'h\xc3\xa9llo \xe2\x82\xac \xf0\x9f\x98\x80'",
                    "\"h\xc3\xa9llo \xe2\x82\xac \xf0\x9f\x98\x80\"");
  assert_round_trip(L, "('\\0'):rep(5000)", NULL);
  assert_round_trip(L, "('x'):rep(100000) .. '\\n'", NULL);
  assert_round_trip(L, "{['\\0\"\\255'] = 'k'}", "{\"\\u0000\\\"\xff\":\"k\"}");
  assert_decodes(L, "\"\\u0041\\u00e9\\ud83d\\ude00\\/\"", "'A\xc3\xa9\xf0\x9f\x98\x80/'");
  assert_decodes(L, "\"\\ud800x\\udfff\"", "'\\237\\160\\128x\\237\\191\\191'");
}

static void tables_of_every_size_round_trip(void **state) {
  lua_State *L = *state;
  char expression[200];
  for (int n = 0; n <= 70; n++) {
    snprintf(expression, sizeof expression,
             "(function() local t = {} for i = 1, %d do t[i] = {i} end return array(t) end)()", n);
    assert_round_trip(L, expression, NULL);
    snprintf(expression, sizeof expression,
             "(function() local t = {} for i = 1, %d do t['k' .. i] = {i} end return t end)()", n);
    assert_round_trip(L, expression, NULL);
  }
}

static void decoded_arrays_are_marked_and_objects_are_not(void **state) {
  lua_State *L = *state;
  assert_int_equal(sk_lua_json_decode(L, SK_STR_LIT("{\"a\":[],\"b\":[1],\"c\":{}}"), NULL), SK_OK);
  lua_setglobal(L, "decoded");
  assert_int_equal(
      eval(L,
           "getmetatable(decoded.a) == getmetatable(array{}) and getmetatable(decoded.b) == getmetatable(array{}) and "
           "not getmetatable(decoded.c) and not getmetatable(decoded) and "
           "getmetatable(decoded.a).__jsontype == 'array' and getmetatable(decoded.a).__name == 'skein.array'"),
      1);
  assert_true(lua_toboolean(L, -1));
  lua_pop(L, 1);
}

static void arrays_are_recognised_whatever_their_layout(void **state) {
  lua_State *L = *state;
  assert_round_trip(L, "{[3] = 'c', [2] = 'b', [1] = 'a'}", "[\"a\",\"b\",\"c\"]");
  assert_round_trip(L, "(function() local t = {} for i = 40, 1, -1 do t[i] = i % 7 end return t end)()", NULL);
  assert_round_trip(
      L, "(function() local t = {1, 2, 3, 4, 5, 6} for i = 1, 4 do t[#t] = nil end t[3] = 'x' return t end)()",
      "[1,2,\"x\"]");
  struct sk_buf b = { 0 };
  eval(L, "setmetatable({}, {__jsontype = 'array'})");
  assert_int_equal(sk_lua_json_encode(L, -1, "x", &b, NULL), SK_OK);
  assert_text(&b, "__jsontype", "[]");
  lua_pop(L, 1);
  sk_buf_fini(&b);
}

static void the_last_of_equal_keys_wins(void **state) {
  assert_decodes(*state, "{\"a\":1,\"b\":2,\"a\":3}", "{a = 3, b = 2}");
  assert_decodes(*state, "{\"a\":1,\"1\":0,\"2\":0,\"3\":0,\"4\":0,\"5\":0,\"6\":0,\"7\":0,\"8\":0,\"a\":3}",
                 "{a = 3, ['1'] = 0, ['2'] = 0, ['3'] = 0, ['4'] = 0, ['5'] = 0, ['6'] = 0, ['7'] = 0, ['8'] = 0}");
}

static void what_cannot_be_stored_is_refused_with_its_path(void **state) {
  lua_State *L = *state;
  const char *cases[][2] = {
    { "1, {callback = print}", "args[2].callback: a function cannot be stored" },
    { "print", "args[1]: a function cannot be stored" },
    { "{{1, {deep = coroutine.create(print)}}}", "args[1][1][2].deep: a thread cannot be stored" },
    { "io.stdout", "args[1]: a userdata cannot be stored" },
    { "{['a key'] = {io.stdout}}", "args[1][\"a key\"][1]: a userdata cannot be stored" },
    { "{['\\n\"'] = print}", "args[1][\"?\"\"]: a function cannot be stored" },
    { "0/0", "args[1]: NaN cannot be stored" },
    { "1, 2, -1/0", "args[3]: infinity cannot be stored" },
    { "ffi.new('int32_t', 1)", "args[1]: a cdata that is neither int64_t nor uint64_t cannot be stored" },
    { "ffi.new('int64_t[1]')", "args[1]: a cdata that is neither int64_t nor uint64_t cannot be stored" },
    { "ffi.new('void *')", "args[1]: a cdata that is neither int64_t nor uint64_t cannot be stored" },
    { "cycle()", "args[1][2].back: a cycle (a table that contains itself) cannot be stored" },
    { "{1, nil, 3}", "args[1]: a sparse array (2 of the indices 1 to 3) cannot be stored" },
    { "{[2] = 1}", "args[1]: a sparse array (1 of the indices 1 to 2) cannot be stored" },
    { "{[0] = 1}", "args[1]: a sparse array (it has the index 0, expected 1 to n) cannot be stored" },
    { "{1, [-1] = 1}", "args[1]: a sparse array (it has the index -1, expected 1 to n) cannot be stored" },
    { "{1, [2.5] = 1}", "args[1]: a sparse array (it has the index 2.5, expected 1 to n) cannot be stored" },
    { "{[1e300] = 1}", "args[1]: a sparse array (it has the index 1e+300, expected 1 to n) cannot be stored" },
    { "{1, 2, x = 3}", "args[1]: a table with mixed keys (\"x\" beside array indices) cannot be stored" },
    { "array{x = 3}", "args[1]: a table with mixed keys (\"x\" beside array indices) cannot be stored" },
    { "{[true] = 1}", "args[1]: a table with a boolean as a key cannot be stored" },
    { "{a = {[{}] = 1}}", "args[1].a: a table with a table as a key cannot be stored" },
    { "{[1LL] = 1}", "args[1]: a table with a cdata as a key cannot be stored" },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) assert_refused(L, cases[i][0], SK_EINVAL, cases[i][1]);
}

static void a_light_userdata_other_than_null_is_refused(void **state) {
  lua_State *L = *state;
  struct sk_buf b = { 0 };
  struct sk_err err;
  lua_pushlightuserdata(L, &b);
  assert_int_equal(sk_lua_json_encode(L, -1, "result", &b, &err), SK_EINVAL);
  assert_string_equal(err.message, "result: a userdata cannot be stored");
  lua_pop(L, 1);
  sk_buf_fini(&b);
}

static void the_same_table_twice_is_no_cycle(void **state) {
  struct sk_buf b = { 0 };
  lua_State *L = *state;
  eval(L, "(function() local t = {1} return {a = t, b = {t, t}} end)().b");
  assert_int_equal(sk_lua_json_encode(L, -1, "x", &b, NULL), SK_OK);
  assert_text(&b, "shared", "[[1],[1]]");
  lua_pop(L, 1);
  sk_buf_fini(&b);
}

static void no_metamethod_is_called(void **state) {
  lua_State *L = *state;
  struct sk_buf b = { 0 };
  eval(L, "setmetatable({1, 2}, {__index = error, __len = error, __pairs = error, __ipairs = error, __tostring = "
          "error, __newindex = error, "
          "__call = error, __metatable = false})");
  assert_int_equal(sk_lua_json_encode(L, -1, "x", &b, NULL), SK_OK);
  assert_text(&b, "metamethods", "[1,2]");
  lua_pop(L, 1);
  sk_buf_fini(&b);
}

static void nesting_is_accepted_at_the_limit_and_refused_one_past_it(void **state) {
  lua_State *L = *state;
  char expression[40];
  snprintf(expression, sizeof expression, "nested(%d)", SK_JSON_DEPTH_MAX);
  assert_round_trip(L, expression, NULL);
  snprintf(expression, sizeof expression, "0, nested(%d)", SK_JSON_DEPTH_MAX + 1);
  assert_refused(L, expression, SK_ELIMIT, NULL);
  struct sk_buf b = { 0 };
  struct sk_err err;
  eval(L, "nested(1000)");
  assert_int_equal(sk_lua_json_encode(L, -1, "result", &b, &err), SK_ELIMIT);
  assert_memory_equal(err.message, "result[1][1]", 12);
  assert_non_null(strstr(err.message, "a value nested more than 64 deep cannot be stored"));
  lua_pop(L, 1);
  sk_buf_fini(&b);
}

static void a_path_too_long_to_show_is_cut(void **state) {
  lua_State *L = *state;
  struct sk_buf b = { 0 };
  struct sk_err err;
  eval(L, "(function() local t = print for i = 1, 60 do t = {['some rather long key, longer than is shown of a key'] = "
          "t} end return t end)()");
  assert_int_equal(sk_lua_json_encode(L, -1, "result", &b, &err), SK_EINVAL);
  const char *piece = "result[\"some rather long key, longer than is sho...\"][\"some";
  assert_true(sk_str_starts(sk_str_c(err.message), piece));
  assert_non_null(strstr(err.message, "...: a function cannot be stored"));
  lua_pop(L, 1);
  sk_buf_fini(&b);
}

static void text_without_end_is_refused(void **state) {
  assert_refused(*state, "(function() local t = {} for i = 1, 60 do t = {t, t} end return t end)()", SK_ELIMIT,
                 "args: more than 4194304 bytes of JSON");
  assert_refused(*state, "('x'):rep(5 * 1024 * 1024)", SK_ELIMIT, NULL);
}

static void args_keep_their_nils_and_their_number(void **state) {
  lua_State *L = *state;
  struct sk_buf b = { 0 };
  int n = eval(L, "nil, 1, nil, 'x', nil");
  assert_int_equal(sk_lua_json_encode_args(L, 1, n, &b, NULL), SK_OK);
  assert_text(&b, "args", "[null,1,null,\"x\",null]");
  lua_settop(L, 0);
  lua_pushliteral(L, "below");
  assert_int_equal(sk_lua_json_push_args(L, sk_buf_str(&b), NULL), 5);
  assert_int_equal(lua_gettop(L), 6);
  assert_true(lua_islightuserdata(L, 2) && lua_touserdata(L, 2) == NULL);
  assert_int_equal(lua_tointeger(L, 3), 1);
  assert_string_equal(lua_tostring(L, 5), "x");
  lua_settop(L, 0);
  sk_buf_clear(&b);
  assert_int_equal(sk_lua_json_encode_args(L, 1, 0, &b, NULL), SK_OK);
  assert_text(&b, "no args", "[]");
  assert_int_equal(sk_lua_json_push_args(L, SK_STR_LIT(" [ ] "), NULL), 0);
  assert_int_equal(lua_gettop(L), 0);
  sk_buf_fini(&b);
}

static void two_hundred_args_are_accepted_and_one_more_is_not(void **state) {
  lua_State *L = *state;
  struct sk_buf b = { 0 };
  struct sk_err err;
  lua_checkstack(L, SK_ARGS_COUNT_MAX + 1);
  for (int i = 0; i <= SK_ARGS_COUNT_MAX; i++) lua_pushinteger(L, i);
  assert_int_equal(sk_lua_json_encode_args(L, 1, SK_ARGS_COUNT_MAX + 1, &b, &err), SK_ELIMIT);
  assert_string_equal(err.message, "args: 201 values, expected at most 200");
  assert_int_equal(sk_lua_json_encode_args(L, 1, SK_ARGS_COUNT_MAX, &b, &err), SK_OK);
  lua_settop(L, 0);
  assert_int_equal(sk_lua_json_push_args(L, sk_buf_str(&b), NULL), SK_ARGS_COUNT_MAX);
  lua_settop(L, 0);
  b.n--;
  sk_buf_add_c(&b, ",0]");
  assert_int_equal(sk_lua_json_push_args(L, sk_buf_str(&b), &err), -1);
  assert_int_equal(err.code, SK_ELIMIT);
  assert_int_equal(lua_gettop(L), 0);
  sk_buf_fini(&b);
}

static void malformed_text_pushes_nothing_and_says_where(void **state) {
  lua_State *L = *state;
  const char *bad[] = { "",
                        "[",
                        "[1,2",
                        "[1,]",
                        "{\"a\":1,}",
                        "{\"a\"",
                        "{\"a\":",
                        "{1:2}",
                        "nul",
                        "truE",
                        "01",
                        "-",
                        "1.",
                        "1e",
                        "\"a",
                        "\"\\",
                        "\"\\q\"",
                        "\"a\\n",
                        "\"\x01\"",
                        "\"\\n\x01\"",
                        "\"\\u12\"",
                        "[1] 2",
                        "[1}",
                        "1e400",
                        "-1e400",
                        "[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,x]",
                        "{\"1\":1,\"2\":1,\"3\":1,\"4\":1,\"5\":1,\"6\":1,\"7\":1,\"8\":1,\"9\":1,x}" };
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    size_t n = strlen(bad[i]);
    char *exact = malloc(n ? n : 1); /* so that the sanitizer sees a read past the end */
    memcpy(exact, bad[i], n);
    struct sk_err err = { 0 };
    assert_int_equal(sk_lua_json_decode(L, sk_str(exact, n), &err), SK_EINVAL);
    assert_memory_equal(err.message, "JSON ", 5);
    assert_int_equal(sk_lua_json_push_args(L, sk_str(exact, n), &err), -1);
    assert_memory_equal(err.message, "args: JSON ", 11);
    assert_int_equal(lua_gettop(L), 0);
    free(exact);
  }
  struct sk_err err;
  assert_int_equal(sk_lua_json_decode(L, sk_str(NULL, 0), &err), SK_EINVAL);
  assert_int_equal(sk_lua_json_push_args(L, SK_STR_LIT("{}"), &err), -1);
  assert_string_equal(err.message, "args: JSON at byte 0: expected an array of args");
}

static void decoding_goes_as_deep_as_its_limit_and_no_deeper(void **state) {
  lua_State *L = *state;
  static char text[2 * SK_LUA_JSON_DECODE_DEPTH_MAX + 10];
  struct sk_err err;
  for (int extra = 0; extra < 3; extra++) {
    size_t n = (size_t)(SK_LUA_JSON_DECODE_DEPTH_MAX + extra);
    memset(text, '[', n);
    memset(text + n, ']', n);
    enum sk_code code = sk_lua_json_decode(L, sk_str(text, 2 * n), &err);
    assert_int_equal(code, extra ? SK_ELIMIT : SK_OK);
    assert_int_equal(lua_gettop(L), extra ? 0 : 1);
    lua_settop(L, 0);
  }
}

static void the_locale_changes_nothing(void **state) {
  const char *locales[] = { "de_DE.UTF-8", "fr_FR.UTF-8", "ps_AF.UTF-8", "C" };
  for (size_t i = 0; i < sizeof locales / sizeof *locales; i++) {
    if (setlocale(LC_ALL, locales[i]) == NULL) continue;
    assert_round_trip(*state, "{0.1, 1/3, 1e300, 2^53, -0.0}",
                      "[0.1,0.3333333333333333,1e+300,9007199254740992.0,-0.0]");
    assert_decodes(*state, "0.10000000000000000000001", "0.1");
  }
  setlocale(LC_ALL, "C");
}

static void random_values_round_trip(void **state) {
  lua_State *L = *state;
  eval(L, "math.randomseed(12345)");
  for (int i = 0; i < 3000; i++) assert_round_trip(L, "random_value(4)", NULL);
}

static int misuse_array(lua_State *L) {
  lua_getglobal(L, "array");
  lua_insert(L, 1);
  lua_call(L, lua_gettop(L) - 1, 1);
  return 1;
}

static void array_refuses_what_is_no_plain_table(void **state) {
  lua_State *L = *state;
  const char *bad[] = { "1", "nil", "'x'", "setmetatable({}, {})" };
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    lua_pushcfunction(L, misuse_array);
    eval(L, bad[i]);
    assert_int_not_equal(lua_pcall(L, 1, 1, 0), 0);
    lua_settop(L, 0);
  }
  eval(L, "getmetatable(array()) == getmetatable(array(array{1}))");
  assert_true(lua_toboolean(L, -1));
  lua_settop(L, 0);
}

/* An allocator that refuses once its budget is spent. */
struct budget {
  size_t left;
};
static void *allocate(void *ud, void *p, size_t old, size_t n) {
  struct budget *budget = ud;
  if (n == 0) {
    free(p);
    return NULL;
  }
  if (n > old && n - old > budget->left) return NULL;
  if (n > old) budget->left -= n - old;
  return realloc(p, n);
}

static int decode_and_encode(lua_State *L) {
  struct sk_buf *b = lua_touserdata(L, 1);
  struct sk_str text =
      SK_STR_LIT("{\"a\":[1,2,{\"b\":\"\\n some string\"}],\"c\":[9007199254740993,1.5,\"x\"],\"d\":{\"e\":[[],[]]}}");
  if (sk_lua_json_decode(L, text, NULL) != SK_OK) return luaL_error(L, "decode");
  if (sk_lua_json_encode(L, -1, "x", b, NULL) != SK_OK) return luaL_error(L, "encode");
  return 0;
}

static void running_out_of_memory_anywhere_is_a_lua_error_and_leaks_nothing(void **state) {
  (void)state;
  int failures = 0, successes = 0;
  for (size_t room = 0; room < 6000; room += 40) {
    struct budget budget = { SIZE_MAX / 2 };
    lua_State *L = lua_newstate(allocate, &budget);
    if (L == NULL) skip(); /* a LuaJIT without custom allocators */
    luaL_openlibs(L);
    sk_lua_json_open(L);
    lua_gc(L, LUA_GCCOLLECT, 0);
    lua_gc(L, LUA_GCSTOP, 0);
    struct sk_buf b = { 0 };
    lua_pushcfunction(L, decode_and_encode);
    lua_pushlightuserdata(L, &b);
    budget.left = room;
    int status = lua_pcall(L, 1, 0, 0);
    budget.left = SIZE_MAX / 2;
    if (status == 0) {
      successes++;
      assert_int_equal(sk_json_check(sk_buf_str(&b), 8, NULL), SK_OK);
    } else {
      failures++;
      assert_int_equal(status, LUA_ERRMEM);
    }
    sk_buf_fini(&b);
    lua_close(L);
  }
  assert_true(failures > 5 && successes > 5);
}

#define IN_STATE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
    IN_STATE(plain_values_round_trip),
    IN_STATE(numbers_round_trip_in_their_shortest_form),
    IN_STATE(wide_integers_round_trip_exactly),
    IN_STATE(integers_become_the_narrowest_type_that_holds_them),
    IN_STATE(long_literals_are_read_whole),
    IN_STATE(strings_hold_any_bytes),
    IN_STATE(tables_of_every_size_round_trip),
    IN_STATE(decoded_arrays_are_marked_and_objects_are_not),
    IN_STATE(arrays_are_recognised_whatever_their_layout),
    IN_STATE(the_last_of_equal_keys_wins),
    IN_STATE(what_cannot_be_stored_is_refused_with_its_path),
    IN_STATE(a_light_userdata_other_than_null_is_refused),
    IN_STATE(the_same_table_twice_is_no_cycle),
    IN_STATE(no_metamethod_is_called),
    IN_STATE(nesting_is_accepted_at_the_limit_and_refused_one_past_it),
    IN_STATE(a_path_too_long_to_show_is_cut),
    IN_STATE(text_without_end_is_refused),
    IN_STATE(args_keep_their_nils_and_their_number),
    IN_STATE(two_hundred_args_are_accepted_and_one_more_is_not),
    IN_STATE(malformed_text_pushes_nothing_and_says_where),
    IN_STATE(decoding_goes_as_deep_as_its_limit_and_no_deeper),
    IN_STATE(the_locale_changes_nothing),
    IN_STATE(random_values_round_trip),
    IN_STATE(array_refuses_what_is_no_plain_table),
    cmocka_unit_test(running_out_of_memory_anywhere_is_a_lua_error_and_leaks_nothing),
  };
  return cmocka_run_group_tests_name("lua json", tests, NULL, NULL);
}
