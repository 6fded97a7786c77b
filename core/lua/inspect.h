/* inspect.h - the processes that only look at a folder's scripts and settings: `skein check`, and what evaluates
 * config.lua. */
#ifndef SK_LUA_INSPECT_H
#define SK_LUA_INSPECT_H

/* Each prints to stdout and returns an exit status, also when a script never ends: it is told of, with file and line,
 * and left.
 *   check:  lists tasks (and what else is declared), or prints `file:line: message` to stderr for each mistake and
 *       returns 1
 *   config: prints DIR/config.lua's settings as lines `name<TAB>value`; nothing when there is no such file; ends with
 *       its parent */
int sk_inspect_check(const char *dir, int json);
int sk_inspect_config(const char *dir, int parent_pid);

#endif
