/* sqlite/sql.h - every statement of the sqlite store, prepared once.  An X-file: include it with SQ_STMT(name, sql)
 * defined. */

#define SQ_ROW "n, state, q, rank, due, ord, hold, running_since_ms, keep_until, flags"
#define SQ_FULL SQ_ROW ", id, task, record"
#define SQ_QUEUE                                                                                                       \
  "q, queue.name, paused, front, c1, c2, c3, c4, c5, c6, c7, h0, h1, h2, h3, h4, t0, t1, t2, t3, t4, t5, members"
#define SQ_SETTINGS "max_len, overflow, block_ms, concurrency, rate, per_ms, burst, full_us"
#define SQ_GROUP "g, concurrency, rate, per_ms, burst, strict, slots, full_us, jobs, at"

SQ_STMT(BEGIN, "BEGIN IMMEDIATE")
SQ_STMT(BEGIN_READ, "BEGIN")
SQ_STMT(COMMIT, "COMMIT")
SQ_STMT(ROLLBACK, "ROLLBACK")
SQ_STMT(DATA_VERSION, "PRAGMA data_version")

SQ_STMT(PAGES, "PRAGMA page_count")
SQ_STMT(PAGES_FREE, "PRAGMA freelist_count")
SQ_STMT(SHRINK, "PRAGMA incremental_vacuum(128)")

/* store, queue */
SQ_STMT(
    HEAD,
    "SELECT fence, seq, queues_version, enqueued, done, retried, dead, cancelled, discarded, crashed, recovered, stops"
    " FROM store")
SQ_STMT(HEAD_SAVE,
        "UPDATE store SET fence=?1, seq=?2, queues_version=?3, enqueued=?4, done=?5, retried=?6, dead=?7, cancelled=?8,"
        " discarded=?9, crashed=?10, recovered=?11, stops=?12")
SQ_STMT(QUEUE_BY_NAME, "SELECT " SQ_QUEUE ", " SQ_SETTINGS
                       " FROM queue LEFT JOIN queue_settings ON queue_settings.name=queue.name WHERE queue.name=?1")
SQ_STMT(QUEUE_BY_NUMBER, "SELECT " SQ_QUEUE ", " SQ_SETTINGS
                         " FROM queue LEFT JOIN queue_settings ON queue_settings.name=queue.name WHERE q=?1")
SQ_STMT(QUEUE_COUNTS, "SELECT name, paused, c1, c2, c3, c4, c5, c6, c7 FROM queue WHERE name>?1 ORDER BY name LIMIT ?2")
SQ_STMT(QUEUE_FROM, "SELECT q FROM queue WHERE name>=?1 ORDER BY name LIMIT 1")
SQ_STMT(QUEUE_BEHIND, "SELECT q FROM queue WHERE name>?1 ORDER BY name LIMIT 1")
SQ_STMT(QUEUE_MAX, "SELECT coalesce(max(q), 0) FROM queue")
SQ_STMT(QUEUE_FREE, "SELECT min(q) FROM queue_free")
SQ_STMT(QUEUE_FREE_ADD, "INSERT INTO queue_free (q) VALUES (?1)")
SQ_STMT(QUEUE_FREE_DELETE, "DELETE FROM queue_free WHERE q=?1")
/* queues that could be forgotten: behind ?1, unused since ?2 as seen at ?3 */
SQ_STMT(QUEUES_IDLE, "SELECT q, paused=0 AND c1+c2+c3+c4+c5+c6+c7=0 AND NOT (used_ms>?2 AND used_ms<=?3) FROM queue"
                     " WHERE q>?1 ORDER BY q LIMIT ?4")
SQ_STMT(QUEUE_IN_USE, "SELECT 1 FROM queue WHERE q=?1 AND (EXISTS (SELECT 1 FROM queue_settings AS s"
                      " WHERE s.name=queue.name) OR EXISTS (SELECT 1 FROM job WHERE n>=?2 AND n<?3))")
SQ_STMT(QUEUE_DELETE, "DELETE FROM queue WHERE q=?1")
SQ_STMT(QUEUE_TURNS_DELETE, "DELETE FROM group_lane WHERE g=0 AND q=?1")
SQ_STMT(QUEUE_ADD, "INSERT INTO queue (q, name, used_ms) VALUES (?1, ?2, ?3)")
SQ_STMT(QUEUE_SAVE, "UPDATE queue SET paused=?2, front=?3, c1=?4, c2=?5, c3=?6, c4=?7, c5=?8, c6=?9, c7=?10,"
                    " h0=?11, h1=?12, h2=?13, h3=?14, h4=?15, t0=?16, t1=?17, t2=?18, t3=?19, t4=?20, t5=?21, "
                    "members=?22, used_ms=?23 WHERE q=?1")

/* job */
SQ_STMT(JOB, "SELECT " SQ_ROW " FROM job WHERE n=?1")
SQ_STMT(JOB_FULL, "SELECT " SQ_FULL " FROM job WHERE n=?1")
SQ_STMT(JOB_ID, "SELECT " SQ_ROW " FROM job WHERE id=?1")
SQ_STMT(JOB_ID_FULL, "SELECT " SQ_FULL " FROM job WHERE id=?1")
/* Literals where the value is the same for all (hold = SQ_HOLD_BASE; running_since_ms of as many bytes as a time has):
 * binding costs. */
SQ_STMT(JOB_ADD_LINE, "INSERT INTO job (n, id, state, q, rank, due, ord, hold, running_since_ms, task, record)"
                      " VALUES (?1, ?2, 2, ?3, ?4, 0, 0, 72057594037927936, 1099511627776, ?5, ?6)")
SQ_STMT(JOB_ADD_LATER, "INSERT INTO job (n, id, state, q, rank, due, ord, hold, running_since_ms, task, record)"
                       " VALUES (?1, ?2, 1, ?3, ?4, ?7, ?8, 72057594037927936, 1099511627776, ?5, ?6)")
SQ_STMT(JOB_ADD, "INSERT INTO job (n, id, state, q, rank, due, ord, hold, running_since_ms, task, record, flags)"
                 " VALUES (?1, ?2, ?9, ?3, ?4, ?7, ?8, 72057594037927936, 1099511627776, ?5, ?6, ?10)")
SQ_STMT(JOB_SAVE,
        "UPDATE job SET state=?2, q=?3, rank=?4, due=?5, ord=?6, hold=?7, running_since_ms=?8, keep_until=?9, flags=?10"
        " WHERE n=?1")
SQ_STMT(
    JOB_SAVE_RECORD,
    "UPDATE job SET state=?2, q=?3, rank=?4, due=?5, ord=?6, hold=?7, running_since_ms=?8, keep_until=?9, flags=?10,"
    " record=?11 WHERE n=?1")
SQ_STMT(JOB_RENUMBER, "UPDATE job SET n=?2, state=?4, due=0, ord=?5, keep_until=NULL, flags=?6, record=?3 WHERE n=?1")
SQ_STMT(JOB_MOVE, "UPDATE job SET n=?2 WHERE n=?1")
SQ_STMT(JOB_FLAGS, "UPDATE job SET flags=?2 WHERE n=?1")
SQ_STMT(JOB_DELETE, "DELETE FROM job WHERE n=?1")
SQ_STMT(JOB_DELETE_HELD, "DELETE FROM job WHERE id=?1 AND state=3 AND hold=?2 AND q=?3 AND flags IS NULL")
SQ_STMT(JOB_TAKE, "UPDATE job SET state=3, hold=?2, running_since_ms=?3, flags=?4 WHERE n=?1")
SQ_STMT(JOB_TAKE_LINE, "UPDATE job SET state=3, hold=?3, running_since_ms=?4 WHERE n BETWEEN ?1 AND ?2 AND state=2")
SQ_STMT(LINE_HEAD, "SELECT n, state FROM job WHERE n>=?1 AND n<?2 ORDER BY n LIMIT ?3")
SQ_STMT(JOB_PROMOTE, "UPDATE job SET state=?2 WHERE n=?1")

/* the line and what stands before it */
SQ_STMT(LINE, "SELECT n, id, record, flags, state FROM job WHERE n>=?1 AND n<?2 ORDER BY n")
SQ_STMT(FRONT,
        "SELECT job.n, job.id, job.record, job.flags, front.due, front.ord FROM front CROSS JOIN job ON job.n=front.n"
        " WHERE front.q=?1 AND front.rank=?2 ORDER BY front.due, front.ord LIMIT ?3")
SQ_STMT(FRONT_ADD, "INSERT INTO front (q, rank, due, ord, n) VALUES (?1, ?2, ?3, ?4, ?5)")
SQ_STMT(FRONT_DELETE, "DELETE FROM front WHERE q=?1 AND rank=?2 AND due=?3 AND ord=?4 AND n=?5")

SQ_STMT(
    LATER_DUE,
    "SELECT later.due, later.ord, later.n, job.state, job.rank, job.flags FROM later CROSS JOIN job ON job.n=later.n"
    " WHERE later.q=?1 AND later.due<=?2 ORDER BY later.due, later.ord LIMIT ?3")
SQ_STMT(LATER_FIRST, "SELECT due FROM later WHERE q=?1 ORDER BY due LIMIT 1")
SQ_STMT(LATER_ADD, "INSERT INTO later (q, due, ord, n) VALUES (?1, ?2, ?3, ?4)")
SQ_STMT(LATER_DELETE, "DELETE FROM later WHERE q=?1 AND due=?2 AND ord=?3 AND n=?4")

SQ_STMT(ENDED_ADD, "INSERT INTO ended (state, ord, n) VALUES (?1, ?2, ?3)")
SQ_STMT(ENDED_DELETE, "DELETE FROM ended WHERE state=?1 AND ord=?2 AND n=?3")
SQ_STMT(KEPT_ADD, "INSERT INTO kept (until, n) VALUES (?1, ?2)")
SQ_STMT(KEPT_DELETE, "DELETE FROM kept WHERE until=?1 AND n=?2")
SQ_STMT(KEPT_OVER, "SELECT kept.n, length(job.record) FROM kept LEFT JOIN job ON job.n=kept.n WHERE kept.until<=?1"
                   " ORDER BY kept.until LIMIT ?2")

/* the first of a lane in THE ORDER, wherever it stands: ?1 queue, ?2 rank, ?3 and ?4 the lane's head and tail */
SQ_STMT(
    OLDEST,
    "SELECT n FROM (SELECT * FROM (SELECT due, ord, n FROM front WHERE q=?1 AND rank=?2 ORDER BY due, ord LIMIT 1)"
    " UNION ALL SELECT * FROM (SELECT due, ord, n FROM group_member WHERE q=?1 AND rank=?2 ORDER BY due, ord LIMIT 1)"
    " UNION ALL SELECT * FROM (SELECT 9223372036854775807, n & 17592186044415, n FROM job"
    " WHERE n>=?3 AND n<?4 AND state=2 ORDER BY n LIMIT 1)) ORDER BY due, ord LIMIT 1")

/* groups: their numbers; their READY jobs that need a slot; the lines of those, by queue and rank (g = 0: the turn of
 * the others) */
SQ_STMT(GROUP, "SELECT " SQ_GROUP " FROM limit_group WHERE g=?1")
SQ_STMT(GROUP_NAMED, "SELECT " SQ_GROUP " FROM limit_group WHERE name=?1")
SQ_STMT(GROUP_ADD, "INSERT INTO limit_group (concurrency, rate, per_ms, burst, strict, name, slots, full_us, jobs, at)"
                   " VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0, 0, 1, 0)")
SQ_STMT(GROUP_SAVE, "UPDATE limit_group SET slots=?2, full_us=?3, jobs=?4, at=?5 WHERE g=?1")
SQ_STMT(GROUP_SET, "UPDATE limit_group SET concurrency=?1, rate=?2, per_ms=?3, burst=?4, strict=?5 WHERE g=?6")
SQ_STMT(GROUP_DELETE, "DELETE FROM limit_group WHERE g=?1")
SQ_STMT(GROUPS_IDLE,
        "DELETE FROM limit_group WHERE g IN (SELECT g FROM limit_group WHERE jobs=0 AND full_us<=?1 LIMIT ?2)")
SQ_STMT(MEMBER, "SELECT job.n, job.id, job.record, job.flags, group_member.due, group_member.ord FROM group_member "
                "CROSS JOIN job ON job.n=group_member.n"
                " WHERE group_member.g=?1 AND group_member.q=?2 AND group_member.rank=?3 ORDER BY group_member.due, "
                "group_member.ord LIMIT 1")
SQ_STMT(MEMBER_ADD, "INSERT INTO group_member (g, q, rank, due, ord, n) VALUES (?1, ?2, ?3, ?4, ?5, ?6)")
SQ_STMT(MEMBER_DELETE, "DELETE FROM group_member WHERE g=?1 AND q=?2 AND rank=?3 AND due=?4 AND ord=?5 AND n=?6")
SQ_STMT(LANE_ADD,
        "INSERT OR IGNORE INTO group_lane (g, q, rank, turn, at) SELECT ?1, ?2, ?3, ?4, at FROM limit_group WHERE g=?1")
SQ_STMT(LANE_DELETE_EMPTY, "DELETE FROM group_lane WHERE g=?1 AND q=?2 AND rank=?3"
                           " AND NOT EXISTS (SELECT 1 FROM group_member WHERE g=?1 AND q=?2 AND rank=?3)")
SQ_STMT(LANE_NEXT, "SELECT g, turn FROM group_lane WHERE q=?1 AND rank=?2 AND at=0 ORDER BY turn LIMIT 1")
SQ_STMT(LANE_OPEN, "SELECT 1 FROM group_lane WHERE q=?1 AND at=0 LIMIT 1")
SQ_STMT(LANE_SOON, "SELECT at FROM group_lane WHERE q=?1 AND at>0 ORDER BY at LIMIT 1")
SQ_STMT(LANES_OVER, "SELECT g FROM group_lane WHERE q=?1 AND at>0 AND at<=?2 ORDER BY at LIMIT ?3")
SQ_STMT(LANES_WAITING, "SELECT g, at FROM group_lane WHERE q=?1 AND at>0 AND at>?2 ORDER BY at LIMIT ?3")
SQ_STMT(LANE_TURN, "UPDATE group_lane SET turn=?4 WHERE g=?1 AND q=?2 AND rank=?3")
SQ_STMT(LANES_AT, "UPDATE group_lane SET at=?2 WHERE g=?1")
SQ_STMT(PLAIN_TURN, "SELECT turn FROM group_lane WHERE g=0 AND q=?1 AND rank=?2")
SQ_STMT(PLAIN_TURN_SAVE, "INSERT INTO group_lane (g, q, rank, turn, at) VALUES (0, ?1, ?2, ?3, -1)"
                         " ON CONFLICT (g, q, rank) DO UPDATE SET turn=excluded.turn")

/* progress and log of the last attempt */
SQ_STMT(PROGRESS, "SELECT percent, text, log FROM progress WHERE id=?1")
SQ_STMT(PROGRESS_SAVE, "INSERT OR REPLACE INTO progress (id, percent, text, log) VALUES (?1, ?2, ?3, ?4)")
SQ_STMT(PROGRESS_DELETE, "DELETE FROM progress WHERE id=(SELECT id FROM job WHERE n=?1)")

/* locks, stops */
SQ_STMT(LOCK, "SELECT id, until, throttle FROM lock WHERE key=?1")
SQ_STMT(LOCK_TAKE, "INSERT OR REPLACE INTO lock (key, id, until, throttle) VALUES (?1, ?2, ?3, ?4)")
SQ_STMT(LOCK_LET_GO, "DELETE FROM lock WHERE id=(SELECT id FROM job WHERE n=?1) AND throttle=0")
SQ_STMT(LOCK_OUTLIVE, "UPDATE lock SET throttle=2 WHERE id=(SELECT id FROM job WHERE n=?1) AND throttle=1")
SQ_STMT(LOCKS_OVER, "DELETE FROM lock WHERE key IN (SELECT key FROM lock WHERE until>0 AND until<=?1 LIMIT ?2)")
SQ_STMT(STOP_ADD, "INSERT INTO stop (id) VALUES (?1)")
SQ_STMT(STOP_DELETE, "DELETE FROM stop WHERE id=(SELECT id FROM job WHERE n=?1)")
SQ_STMT(STOPS, "SELECT job.id, job.hold, job.state FROM stop CROSS JOIN job ON job.id=stop.id WHERE stop.id>?1"
               " ORDER BY stop.id LIMIT ?2")

/* bounds */
SQ_STMT(
    SETTINGS_SAVE,
    "INSERT INTO queue_settings (name, max_len, overflow, block_ms, concurrency, rate, per_ms, burst, full_us)"
    " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 0) ON CONFLICT (name) DO UPDATE SET max_len=?2, overflow=?3, block_ms=?4,"
    " concurrency=?5, rate=?6, per_ms=?7, burst=?8")
SQ_STMT(SETTINGS_FULL, "UPDATE queue_settings SET full_us=?2 WHERE name=?1")
SQ_STMT(SETTINGS_DELETE, "DELETE FROM queue_settings WHERE name=?1")
SQ_STMT(SETTINGS_OWNERS, "SELECT name, owners FROM queue_settings ORDER BY name")
SQ_STMT(SETTINGS_OWNERS_OF, "SELECT owners FROM queue_settings WHERE name=?1")
SQ_STMT(SETTINGS_OWNERS_SAVE, "UPDATE queue_settings SET owners=?2 WHERE name=?1")
SQ_STMT(SETTINGS, "SELECT name, " SQ_SETTINGS " FROM queue_settings ORDER BY name")

/* engines */
SQ_STMT(ENGINE_ADD, "INSERT INTO engine (num, token, name, boot, beat_ms, lease_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6)")
SQ_STMT(ENGINE_TOKEN, "SELECT token FROM engine WHERE num=?1")
SQ_STMT(ENGINE_BEAT, "UPDATE engine SET beat_ms=max(?3, beat_ms+1) WHERE num=?1 AND token=?2")
SQ_STMT(ENGINE_DELETE, "DELETE FROM engine WHERE num=?1")
SQ_STMT(ENGINES, "SELECT num, boot, beat_ms, lease_ms, name, token FROM engine ORDER BY num")
SQ_STMT(HOLD_ADD, "INSERT INTO hold (fence, engine, jobs) VALUES (?1, ?2, ?3)")
SQ_STMT(HOLD_DELETE, "DELETE FROM hold WHERE fence=?1")
SQ_STMT(HOLD_ENGINE, "SELECT fence, jobs FROM hold WHERE engine=?1 ORDER BY fence LIMIT 1")
SQ_STMT(HOLDS, "SELECT fence, jobs FROM hold WHERE fence>=?1 ORDER BY fence")
SQ_STMT(HOLDER, "SELECT engine.name FROM hold JOIN engine ON engine.num=hold.engine WHERE hold.fence=?1")

/* walk.c: ?1 and ?2 say which jobs, ?3 is the task (empty: any), (?4, ?5) the place behind which the walk goes on.  All
 * but the last column are the job's number and its place; the last one says whether the job matches. */
SQ_STMT(EACH_LINE, "SELECT n, 9223372036854775807, n & 17592186044415, state=2 AND (?3='' OR task=?3), ?4, ?5 FROM job"
                   " WHERE n>=?1 AND n<?2 ORDER BY n")
SQ_STMT(EACH_FRONT, "SELECT job.n, front.due, front.ord, ?3='' OR job.task=?3 FROM front CROSS JOIN job"
                    " ON job.n=front.n WHERE front.q=?1 AND front.rank=?2 AND (front.due, front.ord)>(?4, ?5)"
                    " ORDER BY front.due, front.ord")
SQ_STMT(EACH_MEMBER, "SELECT job.n, m.due, m.ord, ?3='' OR job.task=?3 FROM group_member AS m CROSS JOIN job"
                     " ON job.n=m.n WHERE m.q=?1 AND m.rank=?2 AND (m.due, m.ord)>(?4, ?5) ORDER BY m.due, m.ord")
SQ_STMT(EACH_LATER, "SELECT job.n, later.due, later.ord, job.state=?1 AND (?3='' OR job.task=?3) FROM later"
                    " CROSS JOIN job ON job.n=later.n WHERE (later.due, later.ord)>(?4, ?5)"
                    " ORDER BY later.due, later.ord")
SQ_STMT(EACH_LATER_OF, "SELECT job.n, later.due, later.ord, job.state=?1 AND (?3='' OR job.task=?3) FROM later"
                       " CROSS JOIN job ON job.n=later.n WHERE later.q=?2 AND (later.due, later.ord)>(?4, ?5)"
                       " ORDER BY later.due, later.ord")
SQ_STMT(EACH_ENDED, "SELECT job.n, 1, ended.ord, (?2=0 OR job.q=?2) AND (?3='' OR job.task=?3) FROM ended"
                    " CROSS JOIN job ON job.n=ended.n WHERE ended.state=?1 AND ended.ord<?5 ORDER BY ended.ord DESC")
SQ_STMT(JOB_RUNS, "SELECT 1 FROM job WHERE n=?1 AND state=3 AND hold=?4 AND (?2=0 OR q=?2) AND (?3='' OR task=?3)")

SQ_STMT(SWEEP, "SELECT n, state, (?2=0 OR q=?2) AND (?3='' OR task=?3), length(record) FROM job WHERE n>?1 ORDER BY n"
               " LIMIT ?4")

SQ_STMT(TASK_SAVE, "INSERT INTO task (name, queue, priority, template) VALUES (?1, ?2, ?3, ?4) ON CONFLICT (name)"
                   " DO UPDATE SET queue=excluded.queue, priority=excluded.priority, template=excluded.template")
SQ_STMT(TASK_SEEN, "UPDATE task SET seen_ms=?2 WHERE name=?1")

SQ_STMT(TASKS_FORGET, "DELETE FROM task WHERE seen_ms<=?1")
SQ_STMT(TASK_WAS, "SELECT template, coalesce(past, '') FROM task WHERE name=?1")
SQ_STMT(TASK_PAST, "SELECT past FROM task WHERE name=?1 AND past IS NOT NULL")
SQ_STMT(TASK_RENEW, "UPDATE task SET past=?2, renew=x'' WHERE name=?1")
SQ_STMT(TASK_RENEWED, "UPDATE task SET renew=?2 WHERE name=?1")
SQ_STMT(TASK_TO_RENEW, "SELECT name, coalesce(past, ''), renew FROM task WHERE renew IS NOT NULL AND name>'' LIMIT 1")
/* the groups of a task, by name behind ?2: ?1 its name, ?3 and ?4 that with what is and what would be behind the slash
 * */
SQ_STMT(TASK_GROUPS,
        "SELECT g, name FROM limit_group WHERE name>?2 AND (name=?1 OR (name>=?3 AND name<?4)) ORDER BY name LIMIT ?5")
/* SCHEDULED and RETRY jobs that keep a slot of their group */
SQ_STMT(SLOT_KEPT_ADD, "INSERT INTO slot_kept (g, n) VALUES (?1, ?2)")
SQ_STMT(SLOT_KEPT_DELETE, "DELETE FROM slot_kept WHERE g=?1 AND n=?2")
SQ_STMT(SLOT_KEPT, "SELECT n FROM slot_kept WHERE g=?1 LIMIT 1")
SQ_STMT(TASKS, "SELECT name, queue, priority, template FROM task ORDER BY name")
