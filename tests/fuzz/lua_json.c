/* lua_json.c - fuzz target: the codec in core/lua takes exactly the texts that sk_json_check takes (but for numbers
 * beyond a double), and what it decoded encodes to a text that decodes to the same. */
#include <assert.h>
#include <lauxlib.h>
#include <lualib.h>
#include <stdlib.h>
#include <string.h>

#include "logic/json.h"
#include "lua/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static lua_State *new_state(void) {
  lua_State *L = luaL_newstate();
  if (L == NULL) abort();
  luaL_openlibs(L);
  sk_lua_json_open(L);
  return L;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static lua_State *L; /* the process's one: making a state costs more than a run */
  if (L == NULL) L = new_state();
  struct sk_str text = sk_str((const char *)data, size);
  struct sk_err err = { 0 };
  enum sk_code checked = sk_json_check(text, SK_LUA_JSON_DECODE_DEPTH_MAX, NULL);
  enum sk_code code = sk_lua_json_decode(L, text, &err);
  if (checked != SK_OK) assert(code != SK_OK);
  if (code != SK_OK && checked == SK_OK) assert(strstr(err.message, "beyond what a double can hold"));
  if (code == SK_OK) {
    struct sk_buf first = { 0 }, second = { 0 };
    if (sk_lua_json_encode(L, -1, "x", &first, &err) == SK_OK) {
      assert(sk_lua_json_decode(L, sk_buf_str(&first), &err) == SK_OK);
      /* Objects list their keys in the order of Lua's table, so lengths are what can be compared. */
      assert(sk_lua_json_encode(L, -1, "x", &second, &err) == SK_OK && first.n == second.n);
    } else {
      assert(err.code == SK_ELIMIT); /* deeper than may be stored */
    }
    sk_buf_fini(&first);
    sk_buf_fini(&second);
  }
  lua_settop(L, 0);
  int n = sk_lua_json_push_args(L, text, &err);
  assert(lua_gettop(L) == (n < 0 ? 0 : n));
  assert(n < 0 || sk_json_type(text) == SK_JSON_ARRAY);
  lua_settop(L, 0);
  return 0;
}
