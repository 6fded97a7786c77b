/* limits.h - every bound of the engine, by name.
 *
 * A limit is a number with a unit.  A message that refuses something because of a limit names the value and the limit.
 * A limit is tested at its value and one past it where it is applied; tests/unit/limits_test.c says where, and tests
 * that the limits fit each other.  A limit that a user can change names its setting. */
#ifndef SK_BASE_LIMITS_H
#define SK_BASE_LIMITS_H

/* Names and ids. */
#define SK_NAME_BYTES_MAX 200 /* names of tasks and queues: [A-Za-z0-9_.:-] */
#define SK_ID_BYTES_MAX 64    /* an id of a job; Skein makes ULIDs of SK_ID_BYTES (id.h) */

/* Payloads. */
#define SK_ARGS_BYTES_MAX (1024 * 1024)     /* JSON text of the args; setting args_bytes_max */
#define SK_ARGS_COUNT_MAX 200               /* args of one job, which are unpacked on the Lua stack */
#define SK_RESULT_BYTES_MAX (1024 * 1024)   /* JSON text of a result */
#define SK_META_BYTES_MAX (64 * 1024)       /* JSON text of meta */
#define SK_CALLBACKS_BYTES_MAX (256 * 1024) /* all records of a job's on_success, or of its on_error */
#define SK_CALLBACKS_MAX 100                /* callbacks in a job's on_success, and in its on_error */
#define SK_KEY_BYTES_MAX 256                /* the key of a lock or a group */
#define SK_JOB_LOG_LINES_MAX 100            /* lines of job:log that are kept, the last ones */
#define SK_JOB_LOG_BYTES_MAX (16 * 1024)    /* bytes of a job's log; a line is cut at SK_PROGRESS_BYTES_MAX */
#define SK_HISTORY_EVENTS_MAX 50            /* events in a job's history, the last ones */
#define SK_HISTORY_BYTES_MAX (8 * 1024)
#define SK_JSON_DEPTH_MAX 64                  /* nesting of any stored value */
#define SK_ERROR_BYTES_MAX 4096               /* a stored error message; longer ones are cut */
#define SK_TRACEBACK_BYTES_MAX 8192           /* a stored traceback; longer ones are cut */
#define SK_PROGRESS_BYTES_MAX 1024            /* message of job:progress; longer ones are cut */
#define SK_RECORD_BYTES_MAX (4 * 1024 * 1024) /* an encoded job record */
#define SK_ENQUEUE_BATCH_MAX 1000 /* jobs in one call of a store; enqueue_many cuts longer lists into such batches */
#define SK_LIST_LIMIT_MAX 10000   /* jobs of one listing */

/* Frames between the core and a worker. */
#define SK_FRAME_BYTES_MAX (8 * 1024 * 1024)
#define SK_HALF_FRAME_MS 5000 /* from the first byte of a frame to its last; a worker that takes longer is broken */

/* Numbers that a user may give. */
#define SK_RETRIES_MAX 1000000
#define SK_PRIORITY_MIN (-2)
#define SK_PRIORITY_MAX 2
#define SK_PRIORITIES 5
#define SK_SECONDS_MAX 3153600000LL         /* 100 years: the longest delay, timeout, keep or expiry */
#define SK_BACKOFF_STEPS_MAX 64             /* numbers in a backoff list */
#define SK_LIMIT_CONCURRENCY_MAX 1000000000 /* concurrency of a limit */
/* tasks and queue settings that nobody has declared for this long are forgotten: 7 days */
#define SK_DECLARED_KEEP_MS (INT64_C(7) * 86400000)
#define SK_DECLARE_EVERY_MS 3600000      /* how often engines renew their declarations */
#define SK_LIMIT_PAST_MAX 8              /* earlier limits of a task, by whose numbers its older jobs are known */
#define SK_LIMIT_RATE_MAX 1000000000     /* rate and burst of a limit */
#define SK_QUEUE_LEN_MAX 1000000000000LL /* max_len of a queue */
#define SK_WORKERS_MAX 256               /* worker processes; setting workers */
#define SK_CONCURRENCY_MAX 100000        /* jobs that run at once in a worker; setting concurrency */
#define SK_QUEUES_PER_STORE_MAX 65535    /* queues that every store holds; sqlite takes no more (store/ops.h) */
#define SK_QUEUES_MAX 1000               /* queues named with -q; an engine without -q serves any number */
#define SK_QUEUE_WEIGHT_MAX 1000

/* Loading scripts to check them: skein check, config.lua. */
#define SK_LOOK_SCRIPT_MS 4000 /* for one script, or config.lua, to load; below SK_CONFIG_MS_MAX */
#define SK_LOOK_MS 20000       /* for all scripts; later ones are not looked at */

/* The engine. */
#define SK_FETCH_QUEUES_MAX 64  /* queues that one fetch names */
#define SK_FETCH_BATCH_MAX 1024 /* jobs that one fetch takes */
#define SK_PREFETCH_MAX 2048    /* jobs that the core holds beyond its free slots */
#define SK_WORKER_WINDOW 512    /* jobs offered to a worker beyond its concurrency */
#define SK_CRASHES_MAX 3        /* worker deaths that a job may be involved in; at this many the job is dead */
#define SK_UNKNOWN_MAX 10       /* attempts at a job whose task is unknown; then the job is dead; setting unknown_max */
#define SK_CANCELLED_KEEP_MS 86400000 /* how long a cancelled job stays where no `keep` is set: a day */
#define SK_UNKNOWN_DELAY_MS 5000      /* the wait between such attempts; setting unknown_delay */
#define SK_HARD_GRACE_MS 5000         /* from the soft timeout, or a cancel, to the hard timeout */
#define SK_LATE_HANDLERS_MS 30000 /* for late handlers to begin, and again for them to end (engine/late_handlers.c) */
#define SK_LEASE_MS 15000         /* an engine that has done nothing for this long is dead; setting lease */
#define SK_STOP_STEP_MS 300 /* length of each step after shutdown_timeout: workers die, jobs go back, the store ends */
#define SK_SHUTDOWN_TIMEOUT_MS 25000 /* how long running jobs may finish at shutdown; setting shutdown_timeout */
#define SK_SAFETY_POLL_MS 5000       /* how often an idle engine looks into the store without a wake-up */
#define SK_STORE_BACKOFF_MIN_MS 50   /* the first wait after a failed call of the store */
#define SK_STORE_TIMEOUT_MS 5000     /* how long a client waits for the store; ?timeout= of its URL */
#define SK_STORE_BACKOFF_MAX_MS 5000 /* the longest wait between calls that fail */
#define SK_BATCH_BYTES_MAX (4 * 1024 * 1024) /* records of one fetch or enqueue; the last job may pass it */
/* records of one settle; also records under way before another settle is sent */
#define SK_SETTLE_BYTES_MAX (2 * 1024 * 1024)
#define SK_SEND_AGAIN_MAX 4                       /* how often one operation of a store is sent again before it fails */
#define SK_SLOT_RETRY_MS 50                       /* between tries while a slot of a Redis cluster moves */
#define SK_LOG_LINE_BYTES_MAX 8192                /* a log line; longer ones are cut */
#define SK_LOG_BUFFER_BYTES_MAX (4 * 1024 * 1024) /* log lines that wait for a slow reader; more are lost and counted */
#define SK_LOG_FLUSH_MS 1000                      /* how long the end of a process waits for a log that is not read */
#define SK_TURN_MS_MAX 10000 /* the longest turn of the core's loop; a longer one ends the core (io/watchdog.h) */
#define SK_SAID_BYTES_MAX (1024 * 1024) /* output that a worker keeps for its core before it waits */
#define SK_SAY_MS 1000                  /* how long it waits; log lines that the core does not take by then are lost */
#define SK_WORKER_OUT_BYTES_MAX (16 * 1024 * 1024) /* a worker that has left this much unread gets no jobs */
/* requests of a worker that are under way, with their answers; others wait */
#define SK_WORKER_REQUESTS_BYTES_MAX (32 * 1024 * 1024)
#define SK_WORKER_WAITING_MAX 10000 /* requests of a worker that wait */
/* bytes of the requests that wait; beyond that the core does not read from the worker */
#define SK_WORKER_WAITING_BYTES_MAX (16 * 1024 * 1024)
#define SK_BLOCKED_BYTES_MAX (64 * 1024 * 1024) /* blocked enqueues (full queues); more are refused at once */
#define SK_HELD_BYTES_MAX (64 * 1024 * 1024)    /* jobs that an engine holds; beyond that it fetches no more */
/* jobs and their outcomes; beyond that the engine reads from no worker */
#define SK_HELD_BYTES_FULL (128 * 1024 * 1024)
#define SK_WAITS_MAX 100000   /* waits for the ends of jobs that are under way in one process */
#define SK_CONFIG_MS_MAX 5000 /* how long the process of config.lua may run */

#define SK_BEATS_PER_LEASE 3        /* how many times an engine beats in the length of a lease */
#define SK_ENGINE_NAME_BYTES_MAX 64 /* bytes of an engine's id */

#endif
