/* redis.h - the inside of the Redis store, for redis*.c only.
 *
 *   struct rd_store ─┬─ waiting: ops not sent yet        op ─► build ─► EVALSHA ─► conn `calls`   pipelined commands
 *                    ├─ sent: ops in the order of        op ◄─ parse ◄─ reply   ◄─
 *                    │        their replies              changed ◄──── message ◄─ conn `wakes`    SUBSCRIBE
 *                    └─ answers: done, cb not run yet
 *
 * Every decision is one script that runs inside Redis (core/store/redis/scripts/; docs/PROTOCOL.md lists the keys).  So
 * an op is one command, and this process keeps no state of a job.  All keys share one hash tag, which makes scripts
 * atomic over all queues, on a cluster too.
 *
 * An op waits while there is no connection, for a limited time, and ends with SK_EUNAVAILABLE after it.  When the
 * connection breaks after an op's command was sent, the op is sent once more if it only reads, and otherwise ends with
 * SK_EUNKNOWN.  When the answer of a fetch is lost, its jobs are handed back before the next fetch ("orphans" in
 * recover.lua).
 *
 * Files: redis.c (open, close, slots), ops.c (sending, answering, outages), conn.c (one connection), call.c (commands
 * and replies), command.c (building commands), life.c (which store this is, and which engine on it), clock.c (Redis's
 * clock), steps.c (operations in steps), count.c (counts in steps), merge.c (steps of a listing through many queues),
 * enqueue.c, work.c, look.c and change.c (the ops), host.c (the processes of this machine). */
#ifndef SK_STORE_REDIS_H
#define SK_STORE_REDIS_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/id.h"
#include "base/limits.h"
#include "base/list.h"
#include "logic/url.h"
#include "store/check.h"
#include "store/openers.h"
#include "store/watch.h"

struct sk_async;
struct sk_timer;
struct sk_tls_context;

/* Of keys and values; head.format says which one a store is written in. */
#define RD_FORMAT "1"

/* -- redis/call.c: commands and replies ---------------------------------------------------------------------------- */

struct rd_reply { /* in an arena */
  enum rd_type { RD_TEXT, RD_INT, RD_NIL, RD_ARRAY, RD_STATUS, RD_ERROR } type;
  int64_t number;          /* INT */
  struct sk_str text;      /* TEXT, STATUS, ERROR */
  struct rd_reply **items; /* ARRAY; NULL where memory ran out */
  size_t n;
};

/* A command in the making: its arguments, each as a bulk string. */
struct rd_command {
  struct sk_buf args;
  size_t n;
};
void sk_rd_arg(struct rd_command *c, struct sk_str s);
/* An argument of n bytes, which the caller appends to c->args, and "\r\n" behind them. */
void sk_rd_arg_begin(struct rd_command *c, size_t n);
void sk_rd_arg_c(struct rd_command *c, const char *z);
void sk_rd_arg_int(struct rd_command *c, int64_t v);
/* Appends the whole command to out and empties it.  False when out of memory: out is as it was. */
bool sk_rd_command_end(struct rd_command *c, struct sk_buf *out);

/* Reads replies out of what arrives. */
struct rd_reader;
struct rd_reader *sk_rd_reader_new(void);
void sk_rd_reader_free(struct rd_reader *r);
/* SK_OK, SK_ENOMEM, or SK_ECORRUPT: these bytes are not the Redis protocol. */
enum sk_code sk_rd_reader_feed(struct rd_reader *r, struct sk_str bytes, struct sk_err *err);
/* The next reply, NULL while it is not all there; it lives in *arena, which is then the caller's. */
enum sk_code sk_rd_reader_next(struct rd_reader *r, struct rd_reply **out, struct sk_arena *arena, struct sk_err *err);

/* Item i of an array when it is of that type; NULL, nil or 0 when it is not. */
const struct rd_reply *sk_rd_item(const struct rd_reply *array, size_t i, enum rd_type type);
struct sk_str sk_rd_text(const struct rd_reply *array, size_t i);
int64_t sk_rd_number(const struct rd_reply *array, size_t i);

/* The answer to TIME, in ms; false: it is another reply. */
bool sk_rd_time_read(const struct rd_reply *reply, int64_t *us);

/* A job's value, taken apart (core/store/redis/scripts/lib/value.lua). */
struct rd_value {
  char code;
  int64_t due_ms; /* RD_NEVER: it never waited */
  int32_t priority;
  struct sk_str queue, task, record;
};
#define RD_NEVER INT64_MAX
bool sk_rd_value_read(struct sk_str bytes, struct rd_value *out);

/* -- redis/conn.c: one connection, which comes back by itself ------------------------------------------------------ */

struct rd_config { /* owned by the store */
  struct sk_arena arena;
  struct sk_url url;
  const char *path;   /* a unix socket, in place of the URL's hosts */
  const char *master; /* the URL's hosts are sentinels: the name of the master to ask them for */
  struct sk_str sentinel_user, sentinel_password; /* for the sentinels; empty: they ask for none */
  bool cluster;               /* the URL's hosts are nodes of a cluster: some know who has our slot */
  struct sk_tls_context *tls; /* NULL: plain */
  int64_t db;
  struct sk_str prefix;
  int64_t timeout_ms;    /* a server that says nothing for so long is gone */
  struct sk_str rights;  /* the text of the script `rights` */
  struct sk_str channel; /* of wake-ups */
  char shown[300];       /* the server, for messages */
  const struct sk_log *log;
};

/* Redis' clock minus the monotonic one of this process, as far as known: redis/clock.c. */
struct rd_clock {
  bool known;
  int64_t least_us, most_us;  /* between these */
  int64_t asked_us, heard_us; /* when it was asked and heard last; monotonic */
};

struct rd_store;
struct rd_conn_events {
  void (*ready)(void *ctx);
  /* The next reply, or message; the arena's content is taken or freed by the callee. */
  void (*reply)(void *ctx, struct rd_reply *reply, struct sk_arena *arena);
  /* While it was made: what the server's clock said, between these moments of the monotonic one. */
  void (*clock)(void *ctx, int64_t server_us, int64_t sent_us, int64_t heard_us);
  /* It went away, or could not be made; another try follows by itself. */
  void (*down)(void *ctx, const struct sk_err *err);
  void *ctx;
};
struct rd_conn;
struct rd_conn *sk_rd_conn_new(struct sk_loop *loop, const struct rd_config *config, bool subscriber,
                               const struct rd_conn_events *events);
void sk_rd_conn_start(struct rd_conn *c, bool at_once);
/* Blocks until something happened on it, at most timeout_ms; for one started at_once. */
void sk_rd_conn_wait(struct rd_conn *c, int64_t timeout_ms);
/* Says that the server has not answered within ms, and what may be wrong. */
void sk_rd_conn_tell_late(const struct rd_conn *c, int64_t ms, struct sk_err *err);
/* Drops the connection; a new one is made. */
void sk_rd_conn_drop(struct rd_conn *c, const struct sk_err *err);
/* The same, to where a reply "MOVED slot host:port" says; false when it is none. */
bool sk_rd_conn_move(struct rd_conn *c, struct sk_str moved, bool at_once);
bool sk_rd_conn_is_ready(const struct rd_conn *c);
/* May its user use MULTI?  False before it was ready. */
bool sk_rd_conn_can_multi(const struct rd_conn *c);
void sk_rd_conn_no_multi(struct rd_conn *c); /* a right was taken away: not before the next greeting */
bool sk_rd_conn_is_down(const struct rd_conn *c);
/* To append commands to, when ready; and how many replies that will bring. */
struct sk_buf *sk_rd_conn_out(struct rd_conn *c);
void sk_rd_conn_expect(struct rd_conn *c, size_t replies);
void sk_rd_conn_free(struct rd_conn *c);

/* -- the store ----------------------------------------------------------------------------------------------------- */

enum rd_kind {
  RD_ENQUEUE,
  RD_FETCH,
  RD_SETTLE,
  RD_BEAT,
  RD_GET,
  RD_LIST,
  RD_COUNT,
  RD_CHANGE,
  RD_CHANGE_MATCHING, /* by id, if they still match the filter */
  RD_PAUSE,
  RD_PROGRESS,
  RD_DECLARE,
  RD_TASKS,
  /* The store's own: */
  RD_OPEN,
  RD_RECOVER,
  RD_ENTER, /* a beat that enters the engine under a new name */
  RD_LOAD,
  RD_TIME,
  /* A declare goes on so: a limit has changed. */
  RD_RENEW,
  /* The same with the keys of all queues, since one of their jobs replaces one that is who knows where. */
  RD_ENQUEUE_ALL,
  RD_SETTLE_ALL,
  /* Many jobs that may come in for sure, in a MULTI (redis/enqueue.c). */
  RD_ENQUEUE_STORED,
};

/* In the place of an op that was answered before its reply came. */
enum { RD_SKIP = -1 };

struct rd_names {
  struct sk_str *names; /* owned array; the texts are whoever's that filled it says */
  size_t n, cap;
};

/* What ops.c asks of the files above it.  redis.c sets them. */
struct rd_hooks {
  bool (*stops)(struct rd_store *s, struct sk_op *op); /* true: the op was taken, it cannot be sent now */
  bool (*refused)(struct rd_store *s, struct sk_op *op, struct sk_str text); /* true: the op was taken, see life.c */
  void (*look)(struct rd_store *s);                                          /* a connection was made */
  void (*ask_clock)(struct rd_store *s);                                     /* an op is about to be sent */
  /* A new connection has asked for the server's time, between these moments of the monotonic clock. */
  void (*connected_clock)(struct rd_store *s, int64_t server_us, int64_t sent_us, int64_t heard_us);
  void (*close_step)(struct rd_store *s); /* answers were given while the store closes: frees it when all is done */
};

struct rd_store {
  struct sk_store store; /* first: the vtable sees this */
  const struct rd_hooks *hooks;
  struct sk_loop *loop;
  struct rd_config config;
  struct sk_store_clock clock;
  struct rd_clock server_clock;
  struct sk_buf stamped; /* the record of the job that goes into the command */
  struct sk_store_events events;
  struct rd_conn *calls, *wakes;         /* wakes: NULL when nobody wants to know */
  struct sk_async *wake;                 /* answers are due */
  struct sk_timer *keep_alive;           /* runs while ops are submitted: only then the loop must go on */
  struct sk_timer *late;                 /* the deadline of what was sent */
  struct sk_timer *patience;             /* runs while ops wait for a connection */
  struct sk_timer *retry;                /* ... and while they wait for a slot of the cluster that is being moved */
  struct sk_err down;                    /* why there is no connection */
  struct sk_list waiting, sent, answers; /* of sk_op.node */
  size_t early;                          /* replies that came to the first of `sent` before its last one, */
  struct sk_buf early_error;             /* ... and the first error among them; */
  bool bare;                             /* ... which was MULTI's own: what followed was no transaction */
  int64_t bounded_ms;        /* when a queue was bounded last, as far as this client knows; monotonic, 0: never */
  size_t submitted;          /* ops that are not answered yet, the store's own included */
  struct rd_command command; /* in the making */
  struct sk_buf key_args;    /* the keys of the whole store, as arguments of a command */
  struct rd_names named;     /* the queues of the command in the making; texts borrowed from its op */
  struct rd_names known;     /* the queues that a reply named last (sk_rd_learns_queues); texts owned */
  char known_version[24];    /* of the store's queues, when those were all of them; "0": they never were */
  char origin[27];           /* who we are in wake-ups */

  /* Which store this is, as far as known: redis/life.c. */
  char epoch[SK_ID_BYTES + 1]; /* "0": not known */
  uint64_t moves;              /* how often it was found to be another one than before */
  bool must_exist;
  bool looking;          /* asks which one it is; ops wait until that is known, */
  struct sk_err strange; /* set: it is none that this version can use; */
  int64_t strange_ms;    /* ... since; monotonic */

  /* Engines only. */
  struct sk_str engine; /* owned; empty: a client */
  char name[SK_ENGINE_NAME_BYTES_MAX +
            24]; /* the one that it is entered under: engine, or engine~2, engine~3 when it began anew */
  unsigned lives;
  char process[256]; /* which process on which host this is */
  int64_t lease_ms;
  uint64_t mark, seen; /* of the last call; the greatest that is known to have been left (scripts/lib/engine.lua) */
  int64_t given;       /* how many engines were given up in this store when it was last asked */
  bool outside;        /* not entered: nothing that is asked counts */
  bool went_back;      /* ... since the store is older than this engine's last call */
  bool entering;       /* begins anew */
  bool lost;           /* began anew since others gave it up, or ... */
  bool moved;          /* ... since the store went back; not told yet */
  struct sk_watches watches; /* what it has seen of the others */
  uint64_t last_fence;       /* of the last fetch that was answered */
  bool orphans;              /* a fetch's answer got lost: hand back before the next one, */
  bool recovering;           /* which is under way: */
  struct sk_list held_up;    /* fetches and beats that wait for that, or until it has begun anew */

  bool no_load; /* this user may not use SCRIPT LOAD; until the next greeting */
  bool as_text; /* the command in the making carries its script's text */
  bool opening, closing, left;
  bool hurried; /* nothing waits for the server any more */
  void (*close_cb)(void *ctx);
  void *close_ctx;
};

/* What a reply means for its op. */
enum rd_next {
  RD_DONE,  /* op->status says how */
  RD_AGAIN, /* build it anew and send it */
  RD_LATER, /* someone else answers it */
};

struct rd_verb {
  void (*build)(struct rd_store *s, struct sk_op *op);
  enum rd_next (*parse)(struct rd_store *s, struct sk_op *op, const struct rd_reply *reply);
  bool looks;     /* it changes nothing: may be sent again */
  size_t replies; /* that its commands bring, and op->scratch of them; the last one is parsed.  0: 1 */
};
extern const struct rd_verb sk_rd_verbs[];
#define RD_VERB(name)                                                                                                  \
  void sk_rd_##name##_build(struct rd_store *s, struct sk_op *op);                                                     \
  enum rd_next sk_rd_##name##_parse(struct rd_store *s, struct sk_op *op, const struct rd_reply *reply);
/* redis/enqueue.c */
RD_VERB(enqueue)
RD_VERB(stored)
/* redis/work.c */
RD_VERB(fetch)
RD_VERB(settle)
RD_VERB(beat)
RD_VERB(recover)
RD_VERB(progress)
RD_VERB(open)
RD_VERB(enter)
/* redis/look.c */
RD_VERB(get)
RD_VERB(list)
RD_VERB(tasks)
/* redis/count.c */
RD_VERB(count)
/* redis/clock.c */
RD_VERB(time)
/* redis/change.c */
RD_VERB(change)
RD_VERB(pause)
RD_VERB(declare)
RD_VERB(renew)

struct rd_open_op {
  struct sk_op op;
  bool must_exist;
  struct sk_str format; /* out; empty: there is no store */
  struct sk_str epoch;  /* out; empty: it has none */
};
/* A step of a count (count.lua). */
struct rd_count_op {
  struct sk_op op;
  const char *cursor;           /* "": from the start */
  const struct rd_reply *reply; /* out */
};
/* A step of walking through jobs (list.lua). */
struct rd_look_op {
  struct sk_op op;
  const char *states; /* digits of enum sk_state */
  const struct sk_filter *filter;
  const struct sk_str *queues; /* whose waiting jobs are wanted */
  size_t queues_n;
  size_t skip, limit;
  struct sk_str cursor;                              /* "": from the start */
  enum rd_form { RD_VIEWS, RD_IDS, RD_PLACES } form; /* of the reply */
  bool names_first;             /* if the queues are others than in that version: only learns those */
  char version[24];             /* of the queues that its caller knows; "": it knows none */
  const struct rd_reply *reply; /* out; NULL: it only learnt the queues */
};
struct rd_recover_op {
  struct sk_op op;
  char cursor[32];        /* where the next step goes on; "" at first */
  const char *how;        /* "gone", "leave", "orphans" (recover.lua) */
  struct sk_str *engines; /* gone: pairs, engine and the mark of its last beat; in op.arena's or the caller's memory */
  size_t engines_n;       /* pairs */
  uint64_t fence;         /* orphans: greater than this */
  size_t recovered;       /* out */
};

/* -- redis/ops.c: sending, answering, outages ---------------------------------------------------------------------- */

/* Sends an op, or has it wait for a connection. */
void sk_rd_send_or_wait(struct rd_store *s, struct sk_op *op);
void sk_rd_send_waiting(struct rd_store *s);
/* Sends what was held up, or has it answered with why not. */
void sk_rd_release_held_up(struct rd_store *s, enum sk_code status, const struct sk_err *why);
/* Lets an op wait until that time at most. */
void sk_rd_wait_until(struct rd_store *s, struct sk_op *op, int64_t until_ms);
/* Has an op answered with that status and why. */
void sk_rd_fail_op(struct rd_store *s, struct sk_op *op, enum sk_code status, const struct sk_err *why);
/* Takes an op in; `checked` is not SK_OK: it is answered with that, and what op->err says. */
void sk_rd_submit(struct rd_store *s, struct sk_op *op, enum rd_kind kind, enum sk_code checked);
/* The same for the store's own, also while closing. */
void sk_rd_submit_own(struct rd_store *s, struct sk_op *op, enum rd_kind kind);
/* Takes an op in that its steps answer, which are ops of the store's own: sk_rd_answer. */
void sk_rd_submit_in_steps(struct rd_store *s, struct sk_op *op, enum rd_kind kind);
/* Has an op answered that RD_LATER left open, or that is done in steps. */
void sk_rd_answer(struct rd_store *s, struct sk_op *op, enum sk_code status);
/* Runs the callbacks that are due. */
void sk_rd_run_answers(struct rd_store *s);
/* Sends what waits for a slot of a cluster, as the retry timer does; for open, which turns no loop. */
void sk_rd_ops_retry(struct rd_store *s);
/* Answers all that is submitted, and from now on what comes: store.h. */
void sk_rd_hurry(struct rd_store *s);
bool sk_rd_ops_open(struct rd_store *s);
void sk_rd_ops_free(struct rd_store *s);

/* -- redis/clock.c: Redis' clock ----------------------------------------------------------------------------------- */
void sk_rd_clock_heard(struct rd_clock *c, int64_t server_us, int64_t sent_us, int64_t heard_us);
/* A new connection has asked for the time: it is known from that answer alone. */
void sk_rd_clock_connected(struct rd_store *s, int64_t server_us, int64_t sent_us, int64_t heard_us);
int64_t sk_rd_now_ms(const struct rd_store *s);
/* Asks for it when it was heard long ago; the answer comes before that of what is sent next. */
void sk_rd_clock_ask(struct rd_store *s);

/* -- redis/life.c: which store this is, and under which name this engine is on it ---------------------------------- */

/* The store's first answers: the reply to RD_OPEN.  SK_ENOTFOUND, SK_EVERSION: it can't be used. */
enum sk_code sk_rd_life_learn(struct rd_store *s, const struct rd_open_op *op, struct sk_err *err);
/* The next name to enter under.  What was left under the one before counts no more. */
void sk_rd_life_next(struct rd_store *s);
/* Asks which store this is, before anything else is sent. */
void sk_rd_life_look(struct rd_store *s);
/* Must the op wait, or can't it be sent?  Then it is taken. */
bool sk_rd_life_stops(struct rd_store *s, struct sk_op *op);
/* Takes an op whose script replied that this is another store, or that this engine is not on it.  False: the reply was
 * another one. */
bool sk_rd_life_refused(struct rd_store *s, struct sk_op *op, struct sk_str text);

/* -- redis/host.c: which process this is, and whether another one of this machine is gone -------------------------- */
void sk_rd_describe_self(char *out, size_t n);
/* Is the process that described itself so known to be dead?  When in doubt no: then its lease decides. */
bool sk_rd_is_dead(struct sk_str said);

/* -- redis/steps.c: what looks through all jobs, in steps ---------------------------------------------------------- */
void sk_rd_get(struct rd_store *s, struct sk_get_op *op);
void sk_rd_list(struct rd_store *s, struct sk_list_op *op);
void sk_rd_change_by_filter(struct rd_store *s, struct sk_change_op *op);
/* redis/count.c: counts in steps, and calls done with the op's status. */
typedef void rd_counted(struct rd_store *s, struct sk_count_op *op, enum sk_code status, void *ctx);
void sk_rd_count(struct rd_store *s, struct sk_count_op *op, rd_counted *done, void *ctx);
/* redis/merge.c: the ids of jobs of many queues, merged by due time. */
struct rd_merged {
  struct sk_arena arena;
  struct sk_str *ids;
  size_t ids_n;
  size_t skip; /* what is left of the offset: the jobs were fewer */
};
/* like: states (one), filter, skip, limit (> 0).  Borrows it and the queues until done, which borrows what it is given;
 * without memory merged is NULL. */
void sk_rd_merge(struct rd_store *s, const struct rd_look_op *like, const struct sk_str *queues, size_t queues_n,
                 void (*done)(void *ctx, enum sk_code status, const struct sk_err *why, struct rd_merged *merged),
                 void *ctx);
/* redis/look.c: the views of a reply of get or list; NULL: it is another reply, or memory ran out. */
struct sk_view *sk_rd_read_views(struct sk_arena *arena, const struct rd_reply *reply, size_t *n);

/* -- redis/command.c: building commands ---------------------------------------------------------------------------- */

/* A key of the whole store, as the next argument. */
void sk_rd_key(struct rd_store *s, const char *name);
/* The key of a queue's list of that rank. */
void sk_rd_list_key(struct rd_store *s, size_t rank, struct sk_str queue);
/* Ends the command in the making and appends it to what is sent, with another one to follow in the same op. */
void sk_rd_next(struct rd_store *s);
/* Begins EVALSHA of a script, with the keys of all queues in s->named and the arguments all scripts have. */
void sk_rd_begin(struct rd_store *s, int script);
/* The same with EVAL, for where a script that the server has forgotten would come too late. */
void sk_rd_begin_text(struct rd_store *s, int script);
/* The same, of one that names no queue but the keys of what is declared. */
void sk_rd_begin_declared(struct rd_store *s, int script);
/* True when the op is one of an engine's calls, which have marks. */
bool sk_rd_op_is_marked(const struct sk_op *op);
/* An engine's call has left its mark. */
void sk_rd_mark_left(struct rd_store *s, const struct sk_op *op);
struct sk_str sk_rd_text_of(int script);
/* The text of the script that an op of this kind calls; NULL: it calls none. */
const char *sk_rd_script_text(struct rd_store *s, struct sk_op *op, size_t *n);
/* s->named := nothing / all known queues. */
void sk_rd_name_none(struct rd_store *s);
void sk_rd_name_all(struct rd_store *s);
/* Adds queues to s->named, none of which is in it. */
void sk_rd_name_these(struct rd_store *s, const struct sk_str *queues, size_t n);
/* Keeps which queues there are; the texts are copied. */
void sk_rd_learn_known(struct rd_store *s, const struct sk_count_op *count);
/* Forgets which queues there are. */
void sk_rd_forget_known(struct rd_store *s);
/* Adds all known queues to s->named. */
void sk_rd_name_known(struct rd_store *s);
/* The index (from 1) of a queue in s->named, added if need be; 0 when out of memory. */
size_t sk_rd_name(struct rd_store *s, struct sk_str queue);
/* Is this the reply of a script that was not given all queues?  Then they are known now. */
bool sk_rd_learns_queues(struct rd_store *s, const struct rd_reply *reply);
/* The queues of the items are the first in s->named, in the order in which they will be met. */
void sk_rd_name_items(struct rd_store *s, const struct sk_enqueue_item *items, size_t n);
/* Has it a lock or a limit? */
bool sk_rd_is_tied(const struct sk_enqueue_item *it);
/* May these go in a MULTI? */
bool sk_rd_can_store(const struct rd_store *s, const struct sk_enqueue_item *items, size_t n);
/* The arguments of one follow-up. */
void sk_rd_add_callback(struct rd_store *s, const struct sk_enqueue_item *it);
/* An item's status and holder by its letter in a reply; holders: what is left of the list of them. */
void sk_rd_read_status(struct sk_enqueue_item *it, char letter, const struct rd_reply *holders, size_t *at);
/* No due time is later, and no delay longer: numbers in scripts are doubles. */
int64_t sk_rd_ms(int64_t v);
/* op->status and err for a reply of another shape than expected. */
enum rd_next sk_rd_odd(struct rd_store *s, struct sk_op *op, const char *what);

#endif
