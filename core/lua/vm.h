/* vm.h - a LuaJIT state as Skein needs it: a cap on its memory, the embedded modules, the C module `skein.core`. */
#ifndef SK_LUA_VM_H
#define SK_LUA_VM_H

#include <lua.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

struct sk_vm;

/* memory_max: bytes that the Lua heap may take (0: no cap) while the cap is on; past it an allocation raises "not
 * enough memory" in Lua.  The cap is off at first. */
struct sk_vm *sk_vm_new(uint64_t memory_max, struct sk_err *err);
/* Turns the cap on (while scripts run) or off (while the runner works).  Returns the previous value. */
bool sk_vm_cap(struct sk_vm *vm, bool on);
bool sk_vm_capped(const struct sk_vm *vm);
void sk_vm_free(struct sk_vm *vm);
lua_State *sk_vm_lua(struct sk_vm *vm);
uint64_t sk_vm_heap_bytes(const struct sk_vm *vm);

/* The main function of `skein.core` (module.c). */
int luaopen_skein_core(lua_State *L);
/* Makes the modules of lua/skein that are embedded in the binary loadable with require, before those on package.path.
 */
void sk_vm_preload(lua_State *L);

/* Calls the function below its n arguments, with a traceback in the error.  SK_OK with `results` values pushed; else
 * SK_EINVAL with the message in err (cut) and nothing pushed. */
enum sk_code sk_vm_call(lua_State *L, int n, int results, struct sk_err *err);

/* Runs step(L, ctx as a light userdata) in protected mode, for the runner's work outside scripts.  Only finalizers of
 * scripts can raise in it, since any allocation may run the collector.  sk_vm_protect passes each such error to
 * `report` and runs the step again, so a step must first undo the effects of an earlier try.  The process ends only if
 * the system refuses memory. */
typedef void (*sk_vm_report)(void *ctx, struct sk_str message);
void sk_vm_protect(struct sk_vm *vm, lua_CFunction step, void *step_ctx, sk_vm_report report, void *report_ctx);

/* The error value at index as text, without calling a metamethod; it lives as long as the value. */
struct sk_str sk_vm_error_text(lua_State *L, int index);

#endif
