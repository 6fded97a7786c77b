/* look.c - looks into the Redis store: get, list, tasks.  Views point into the reply. */
#include <stdlib.h>

#include "redis_scripts.h"
#include "store/redis/redis.h"

/* -- views --------------------------------------------------------------------------------------------------------- */

static int64_t parse_int(struct sk_str s) {
  int64_t v = 0;
  bool minus = s.n > 0 && s.p[0] == '-';
  for (size_t i = minus; i < s.n && s.p[i] >= '0' && s.p[i] <= '9'; i++) v = v * 10 + (s.p[i] - '0');
  return minus ? -v : v;
}

static const char *find(struct sk_str s, char c) { return s.n ? memchr(s.p, c, s.n) : NULL; }

/* "since engine" */
static void read_hold(struct sk_str hold, struct sk_view *view) {
  const char *space = find(hold, ' ');
  view->state = SK_STATE_RUNNING;
  view->due_ms = 0;
  if (space == NULL) return;
  view->running_since_ms = parse_int(hold);
  view->engine = sk_str(space + 1, (size_t)(hold.p + hold.n - space - 1));
}

static void read_note(struct sk_str note, struct sk_view *view) {
  const char *colon = find(note, ':');
  if (colon == NULL) return;
  view->percent = (int32_t)parse_int(note);
  view->progress_text = sk_str(colon + 1, (size_t)(note.p + note.n - colon - 1));
}

static enum sk_state state_of(char code) {
  switch (code) {
  case 'r':
  case 'f':
  case 'g': return SK_STATE_READY;
  case 's': return SK_STATE_SCHEDULED;
  case 't': return SK_STATE_RETRY;
  case 'd': return SK_STATE_DONE;
  case 'x': return SK_STATE_DEAD;
  case 'c': return SK_STATE_CANCELLED;
  default: return SK_STATE_NONE;
  }
}

static void read_view(const struct rd_reply *reply, size_t i, struct sk_view *view) {
  const struct rd_reply *bytes = sk_rd_item(reply->items[1], i, RD_TEXT);
  struct rd_value value;
  *view = (struct sk_view){ .id = sk_rd_text(reply->items[0], i), .state = SK_STATE_NONE, .percent = -1 };
  if (bytes == NULL || !sk_rd_value_read(bytes->text, &value)) return;
  view->queue = value.queue;
  view->record = value.record;
  view->priority = value.priority;
  view->state = state_of(value.code);
  if (value.code == 's' || value.code == 't') view->due_ms = value.due_ms;
  const struct rd_reply *hold = sk_rd_item(reply->items[2], i, RD_TEXT),
                        *note = sk_rd_item(reply->items[3], i, RD_TEXT);
  if (hold) read_hold(hold->text, view);
  if (note) read_note(note->text, view);
  if (hold) view->log = sk_rd_text(sk_rd_item(reply, 4, RD_ARRAY), i);
  view->stopping = sk_rd_number(sk_rd_item(reply, 5, RD_ARRAY), i) != 0;
  struct sk_str back = sk_rd_text(sk_rd_item(reply, 6, RD_ARRAY), i);
  if (back.n) view->blocked_by = back.p[0] == 'c' ? SK_BLOCKED_BY_CONCURRENCY : SK_BLOCKED_BY_RATE;
}

/* Reads { ids, values, holds, notes, logs, stops, what keeps jobs from being taken }.  NULL when the reply is not of
 * that form, or memory is out. */
struct sk_view *sk_rd_read_views(struct sk_arena *arena, const struct rd_reply *reply, size_t *n) {
  for (size_t i = 0; i < 4; i++)
    if (sk_rd_item(reply, i, RD_ARRAY) == NULL) return NULL;
  *n = reply->items[0]->n;
  struct sk_view *views = sk_arena_array(arena, *n, sizeof *views);
  for (size_t i = 0; views && i < *n; i++) read_view(reply, i, &views[i]);
  return views;
}

void sk_rd_get_build(struct rd_store *s, struct sk_op *whole) {
  const struct sk_get_op *op = (void *)whole;
  sk_rd_name_none(s);
  sk_rd_begin(s, RD_SCRIPT_GET);
  for (size_t i = 0; i < op->ids_n; i++) sk_rd_arg(&s->command, op->ids[i]);
}

/* A step of sk_rd_get: ids_n becomes the number of ids that the reply has views of. */
enum rd_next sk_rd_get_parse(struct rd_store *s, struct sk_op *whole, const struct rd_reply *reply) {
  struct sk_get_op *op = (void *)whole;
  size_t n;
  op->views = sk_rd_read_views(&whole->arena, reply, &n);
  if (op->views == NULL || n > op->ids_n || (n == 0 && op->ids_n > 0)) return sk_rd_odd(s, whole, "get");
  op->ids_n = n;
  return RD_DONE;
}

void sk_rd_list_build(struct rd_store *s, struct sk_op *whole) {
  const struct rd_look_op *op = (void *)whole;
  struct rd_command *c = &s->command;
  sk_rd_name_none(s);
  sk_rd_name_these(s, op->queues, op->queues_n);
  sk_rd_begin(s, RD_SCRIPT_LIST);
  sk_rd_arg_c(c, op->states);
  sk_rd_arg(c, op->filter->queue);
  sk_rd_arg(c, op->filter->task);
  sk_rd_arg_int(c, (int64_t)op->skip);
  sk_rd_arg_int(c, (int64_t)op->limit);
  sk_rd_arg(c, op->cursor);
  static const char *const forms[] = { [RD_VIEWS] = "", [RD_IDS] = "ids", [RD_PLACES] = "places" };
  sk_rd_arg_c(c, forms[op->form]);
  sk_rd_arg_c(c, !op->names_first ? "" : op->version[0] ? op->version : "unknown");
}

enum rd_next sk_rd_list_parse(struct rd_store *s, struct sk_op *whole, const struct rd_reply *reply) {
  struct rd_look_op *op = (void *)whole;
  op->reply = NULL;
  if (reply->n == 2 && sk_rd_number(reply, 0) == -1) return RD_DONE;
  for (size_t i = 0; i < 10; i++)
    if (i != 7 && i != 8 && sk_rd_item(reply, i, RD_ARRAY) == NULL) return sk_rd_odd(s, whole, "list");
  if (sk_rd_item(reply, 7, RD_TEXT) == NULL) return sk_rd_odd(s, whole, "list");
  op->reply = reply;
  return RD_DONE;
}

/* -- tasks --------------------------------------------------------------------------------------------------------- */

void sk_rd_tasks_build(struct rd_store *s, struct sk_op *whole) {
  (void)whole;
  sk_rd_begin_declared(s, RD_SCRIPT_TASKS);
}

static int compare_str(struct sk_str a, struct sk_str b) {
  size_t n = a.n < b.n ? a.n : b.n;
  int c = n ? memcmp(a.p, b.p, n) : 0;
  return c ? c : (a.n > b.n) - (a.n < b.n);
}

static int compare_tasks(const void *pa, const void *pb) {
  return compare_str(((const struct sk_task_item *)pa)->name, ((const struct sk_task_item *)pb)->name);
}

static int compare_queues(const void *pa, const void *pb) {
  return compare_str(((const struct sk_queue_settings *)pa)->name, ((const struct sk_queue_settings *)pb)->name);
}

/* tasks: "priority:queue" by name, and their templates. */
static bool read_tasks(struct sk_tasks_op *op, const struct rd_reply *tasks, const struct rd_reply *templates) {
  op->items_n = 0;
  op->items = sk_arena_array(&op->op.arena, tasks->n / 2, sizeof *op->items);
  if (op->items == NULL) return false;
  for (size_t i = 0; i + 1 < tasks->n; i += 2) {
    struct sk_str value = sk_rd_text(tasks, i + 1);
    const char *colon = find(value, ':');
    if (colon == NULL) continue;
    op->items[op->items_n++] = (struct sk_task_item){
      .name = sk_rd_text(tasks, i),
      .queue = sk_str(colon + 1, (size_t)(value.p + value.n - colon - 1)),
      .priority = (int32_t)parse_int(value),
    };
  }
  if (op->items_n) qsort(op->items, op->items_n, sizeof *op->items, compare_tasks);
  for (size_t i = 0; i + 1 < templates->n && op->items_n; i += 2) {
    struct sk_task_item key = { .name = sk_rd_text(templates, i) };
    struct sk_task_item *task = bsearch(&key, op->items, op->items_n, sizeof key, compare_tasks);
    if (task) task->template = sk_rd_text(templates, i + 1);
  }
  return true;
}

/* bounds: "=queue" and what it is bound to, and "@queue", which is the scripts' own. */
static bool read_bounds(struct sk_tasks_op *op, const struct rd_reply *bounds) {
  op->queues_n = 0;
  op->queues = sk_arena_array(&op->op.arena, bounds->n / 2, sizeof *op->queues);
  if (op->queues == NULL) return false;
  for (size_t i = 0; i + 1 < bounds->n; i += 2) {
    struct sk_str field = sk_rd_text(bounds, i);
    if (field.n <= 1 || field.p[0] != '=') continue;
    struct sk_queue_settings *queue = &op->queues[op->queues_n++];
    *queue = sk_queue_settings_parse(sk_rd_text(bounds, i + 1));
    queue->name = sk_str(field.p + 1, field.n - 1);
  }
  if (op->queues_n) qsort(op->queues, op->queues_n, sizeof *op->queues, compare_queues);
  return true;
}

enum rd_next sk_rd_tasks_parse(struct rd_store *s, struct sk_op *whole, const struct rd_reply *reply) {
  struct sk_tasks_op *op = (void *)whole;
  op->moves = s->moves;
  const struct rd_reply *tasks = sk_rd_item(reply, 0, RD_ARRAY), *templates = sk_rd_item(reply, 1, RD_ARRAY),
                        *bounds = sk_rd_item(reply, 2, RD_ARRAY);
  if (tasks == NULL || templates == NULL || bounds == NULL) return sk_rd_odd(s, whole, "tasks");
  if (!read_tasks(op, tasks, templates) || !read_bounds(op, bounds)) whole->status = SK_ENOMEM;
  return RD_DONE;
}
