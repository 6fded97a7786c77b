/* watch.c - see watch.h. inotify reports changes of one folder but not of those below it, and it reports more than
 * writes to scripts (an editor's swap file, a touched folder). So each folder has a watch, and a digest over the names,
 * times and sizes of the scripts tells whether they changed. */
#include "app/watch.h"

#include <errno.h>
#include <fts.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"

/* The scripts are looked at when no change has come for WATCH_QUIET_MS, and in any case WATCH_LATEST_MS after the first
 * change: files of a store that lies in the folder never rest. */
enum { WATCH_QUIET_MS = 100, WATCH_LATEST_MS = 1000, FOLDERS_MAX = 1000 };

struct sk_script_watch {
  struct sk_loop *loop;
  char *dir; /* owned */
  sk_io_cb changed;
  void *ctx;
  struct sk_timer *quiet;
  int64_t first_ms; /* when the first of these changes came; monotonic */
  struct sk_watch *folders[FOLDERS_MAX];
  size_t folders_n;
  uint64_t digest;
};

static void on_event(void *ctx) {
  struct sk_script_watch *w = ctx;
  int64_t now = sk_clock_mono_ms();
  if (!sk_timer_active(w->quiet)) w->first_ms = now;
  int64_t left_ms = w->first_ms + WATCH_LATEST_MS - now;
  sk_timer_start(w->quiet, left_ms < WATCH_QUIET_MS ? left_ms : WATCH_QUIET_MS);
}

static void unwatch(struct sk_script_watch *w) {
  while (w->folders_n > 0) sk_watch_free(w->folders[--w->folders_n]);
}

/* FNV-1a, 64 bits (Fowler, Noll, Vo). */
static uint64_t mix(uint64_t h, const void *bytes, size_t n) {
  const unsigned char *p = bytes;
  for (size_t i = 0; i < n; i++) h = (h ^ p[i]) * 1099511628211u;
  return h;
}

static uint64_t mix_file(uint64_t h, const FTSENT *f) {
  const struct stat *s = f->fts_statp;
  const int64_t facts[] = { s->st_mtim.tv_sec, s->st_mtim.tv_nsec, s->st_size, (int64_t)s->st_ino };
  return mix(mix(h, f->fts_path, f->fts_pathlen), facts, sizeof facts);
}

static bool is_script(const FTSENT *f) {
  bool lua = f->fts_namelen > 4 && strcmp(f->fts_name + f->fts_namelen - 4, ".lua") == 0;
  return lua || strcmp(f->fts_name, "config.yml") == 0;
}

static int by_name(const FTSENT **a, const FTSENT **b) { return strcmp((*a)->fts_name, (*b)->fts_name); }

/* Watches every folder anew and returns the digest. A folder is watched before it is read, so that no change is
 * missed. */
static uint64_t scan(struct sk_script_watch *w, struct sk_err *err) {
  unwatch(w);
  char *const roots[] = { w->dir, NULL };
  FTS *tree = fts_open(roots, FTS_LOGICAL | FTS_NOCHDIR, by_name);
  uint64_t h = 14695981039346656037u;
  for (FTSENT *f; tree && (f = fts_read(tree)) != NULL;) {
    if (f->fts_level > 0 && f->fts_name[0] == '.') {
      fts_set(tree, f, FTS_SKIP);
    } else if (f->fts_info == FTS_D && w->folders_n < FOLDERS_MAX) {
      struct sk_watch *watch = sk_watch_new(w->loop, f->fts_path, on_event, w, err);
      if (watch) w->folders[w->folders_n++] = watch;
    } else if (f->fts_info == FTS_F && is_script(f)) {
      h = mix_file(h, f);
    }
  }
  if (tree) fts_close(tree);
  return h;
}

static void on_quiet(void *ctx) {
  struct sk_script_watch *w = ctx;
  struct sk_err err;
  uint64_t digest = scan(w, &err);
  if (digest == w->digest) return;
  w->digest = digest;
  w->changed(w->ctx);
}

struct sk_script_watch *sk_script_watch_new(struct sk_loop *loop, const char *dir, sk_io_cb changed, void *ctx,
                                            struct sk_err *err) {
  struct sk_script_watch *w = calloc(1, sizeof *w);
  if (w) *w = (struct sk_script_watch){ .loop = loop, .changed = changed, .ctx = ctx, .dir = strdup(dir) };
  if (w) w->quiet = sk_timer_new(loop, on_quiet, w);
  if (w == NULL || w->dir == NULL || w->quiet == NULL) {
    sk_err_set(err, SK_ENOMEM, "watch of \"%s\": out of memory", dir);
    sk_script_watch_free(w);
    return NULL;
  }
  sk_err_set(err, SK_ESYS, "watch of \"%s\": it cannot be read", dir);
  w->digest = scan(w, err);
  if (w->folders_n > 0) return w;
  sk_script_watch_free(w);
  return NULL;
}

void sk_script_watch_free(struct sk_script_watch *w) {
  if (w == NULL) return;
  unwatch(w);
  sk_timer_free(w->quiet);
  free(w->dir);
  free(w);
}
