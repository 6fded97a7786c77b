/* limits.h - every bound of the engine, by name.
 *
 * A limit is a number with a unit; whatever is refused because of one names the value and the limit. Each is tested at the
 * limit and one past it (tests/unit/limits_test.c).  Those that a user may change say by which setting. */
#ifndef SK_BASE_LIMITS_H
#define SK_BASE_LIMITS_H

/* Names and ids. */
#define SK_NAME_BYTES_MAX 200 /* task, queue, cron and step names: [A-Za-z0-9_.:-] */
#define SK_ID_BYTES_MAX 64    /* a job's id; ours are ULIDs of SK_ID_BYTES (id.h) */

/* Payloads. */
#define SK_ARGS_BYTES_MAX (1024 * 1024)     /* JSON text of the args; setting args_bytes_max */
#define SK_ARGS_COUNT_MAX 200               /* args of one job: they are unpacked on the Lua stack */
#define SK_RESULT_BYTES_MAX (1024 * 1024)   /* JSON text of a result */
#define SK_META_BYTES_MAX (64 * 1024)       /* JSON text of meta */
#define SK_CALLBACKS_BYTES_MAX (256 * 1024) /* on_success or on_error, all their records */
#define SK_CALLBACKS_MAX 100                /* of one job's on_success, and of its on_error */
#define SK_KEY_BYTES_MAX 256                /* the key of a lock or a group */
#define SK_JOB_LOG_LINES_MAX 100            /* last lines of job:log that are kept */
#define SK_JOB_LOG_BYTES_MAX (16 * 1024)    /* of them all; a line is cut at SK_PROGRESS_BYTES_MAX */
#define SK_HISTORY_EVENTS_MAX 50            /* last events of a job's life that are kept */
#define SK_HISTORY_BYTES_MAX (8 * 1024)
#define SK_JSON_DEPTH_MAX 64                  /* nesting of any stored value */
#define SK_ERROR_BYTES_MAX 4096               /* a stored error message; longer ones are cut */
#define SK_TRACEBACK_BYTES_MAX 8192           /* a stored traceback; longer ones are cut */
#define SK_PROGRESS_BYTES_MAX 1024            /* message of job:progress; longer ones are cut */
#define SK_RECORD_BYTES_MAX (4 * 1024 * 1024) /* an encoded job record */
#define SK_ENQUEUE_BATCH_MAX 1000 /* jobs of one store call; enqueue_many cuts longer lists into such batches */
#define SK_LIST_LIMIT_MAX 10000   /* jobs of one listing */

/* Frames between the core and a worker. */
#define SK_FRAME_BYTES_MAX (8 * 1024 * 1024)
#define SK_HALF_FRAME_MS                                                                                               \
  5000 /* the rest of a frame that has begun comes within this time, or whoever sends it is broken */

/* Numbers a user may give. */
#define SK_RETRIES_MAX 1000000
#define SK_PRIORITY_MIN (-2)
#define SK_PRIORITY_MAX 2
#define SK_PRIORITIES 5
#define SK_SECONDS_MAX 3153600000LL                 /* 100 years: no delay, timeout, keep or expiry is longer */
#define SK_BACKOFF_STEPS_MAX 64                     /* numbers in a backoff list */
#define SK_LIMIT_CONCURRENCY_MAX 1000000000         /* of a limit; */
#define SK_DECLARED_KEEP_MS (INT64_C(7) * 86400000) /* what no engine has declared for so long is forgotten */
#define SK_DECLARE_EVERY_MS 3600000                 /* so often engines say that their declarations hold */
#define SK_LIMIT_PAST_MAX 8              /* limits that a task declared before and that jobs with them are known by */
#define SK_LIMIT_RATE_MAX 1000000000     /* ... and its rate and burst */
#define SK_QUEUE_LEN_MAX 1000000000000LL /* max_len */
#define SK_WORKERS_MAX 256               /* setting workers */
#define SK_CONCURRENCY_MAX 100000        /* setting concurrency: jobs running at once in a worker */
#define SK_QUEUES_MAX 1000               /* queues named with -q; an engine that serves all serves any number */
#define SK_QUEUE_WEIGHT_MAX 1000

/* Looking at scripts: skein check, config.lua. */
#define SK_LOOK_SCRIPT_MS 4000 /* for one script to load, or config.lua: below SK_CONFIG_MS_MAX */
#define SK_LOOK_MS 20000       /* for all; what comes after is not looked at */

/* The engine. */
#define SK_FETCH_QUEUES_MAX 64    /* queues one fetch of an engine names */
#define SK_FETCH_BATCH_MAX 1024   /* jobs one fetch takes */
#define SK_PREFETCH_MAX 2048      /* jobs the core holds beyond its free slots */
#define SK_WORKER_WINDOW 512      /* jobs offered to a worker beyond its concurrency (ring size: limits.h of wire) */
#define SK_CRASHES_MAX 3          /* workers a job may be running in when they die; then it is dead */
#define SK_UNKNOWN_MAX 10         /* tries to find a task before its job is dead; setting unknown_max */
#define SK_UNKNOWN_DELAY_MS 5000  /* put back for this long when the task is unknown; setting unknown_delay */
#define SK_HARD_GRACE_MS 5000     /* from the soft timeout, or a cancel, to the hard one */
#define SK_LATE_HANDLERS_MS 30000 /* for the handlers of a job whose attempt ended without them; to begin, and to run */
#define SK_LEASE_MS 15000         /* an engine that has not renewed its lease for this long is gone; setting lease */
#define SK_STOP_STEP_MS 300       /* after shutdown_timeout, each: workers die, jobs go back, the store ends */
#define SK_SHUTDOWN_TIMEOUT_MS 25000         /* setting shutdown_timeout */
#define SK_SAFETY_POLL_MS 5000               /* an idle engine looks into the store this often even without a wake-up */
#define SK_STORE_BACKOFF_MIN_MS 50           /* first wait after a failed store call */
#define SK_STORE_TIMEOUT_MS 5000             /* a client waits for the store no longer; ?timeout= of its URL */
#define SK_STORE_BACKOFF_MAX_MS 5000         /* longest wait between tries */
#define SK_BATCH_BYTES_MAX (4 * 1024 * 1024) /* records of one fetch or enqueue; one job more may pass it */
#define SK_SETTLE_BYTES_MAX (2 * 1024 * 1024) /* records of one settle, and of those under way before another is sent */
#define SK_SEND_AGAIN_MAX 4                   /* times that one store operation is sent again at once; then it fails */
#define SK_SLOT_RETRY_MS 50                   /* between tries while a slot of a Redis cluster moves */
#define SK_LOG_LINE_BYTES_MAX 8192            /* a log line; longer ones are cut */
#define SK_LOG_BUFFER_BYTES_MAX                                                                                        \
  (4 * 1024 * 1024)          /* log lines that wait for a slow reader; more are lost, and counted */
#define SK_LOG_FLUSH_MS 1000 /* how long an end waits for a log that is not read */
#define SK_TURN_MS_MAX 10000 /* a turn of the core's loop; one that takes longer ends the core (io/watchdog.h) */
#define SK_SAID_BYTES_MAX                                                                                              \
  (1024 * 1024)        /* that a worker has to say and the core has not taken; then the worker waits, */
#define SK_SAY_MS 1000 /* ... so long at most: lines of the log that the core does not take are lost then */
#define SK_WORKER_OUT_BYTES_MAX (16 * 1024 * 1024) /* a worker that has not read more than that is given no jobs */
#define SK_WORKER_REQUESTS_BYTES_MAX                                                                                   \
  (32 * 1024 * 1024)                /* its requests under way may take so much, with their answers; others wait */
#define SK_WORKER_WAITING_MAX 10000 /* ... requests that wait, and ... */
#define SK_WORKER_WAITING_BYTES_MAX (16 * 1024 * 1024) /* ... their bytes; beyond that the worker is not listened to */
#define SK_BLOCKED_BYTES_MAX                                                                                           \
  (64 * 1024 * 1024)                         /* of enqueues that wait for room in a queue; others are refused at once */
#define SK_HELD_BYTES_MAX (64 * 1024 * 1024) /* of the jobs that an engine holds; then it fetches no more, */
#define SK_HELD_BYTES_FULL (128 * 1024 * 1024) /* ... and at this many, with their outcomes, it listens to no worker */
#define SK_WAITS_MAX 100000                    /* waits for the ends of jobs, under way in one process */
#define SK_CONFIG_MS_MAX 5000                  /* config.lua's process runs so long at most */

#define SK_BEATS_PER_LEASE 3        /* an engine renews its lease that often */
#define SK_ENGINE_NAME_BYTES_MAX 64 /* bytes of an engine's id */

#endif
