/* redis_ideal.c - the ideal loop: the least that Redis can be asked to do for a queue from which nothing is ever lost.
 *
 *   redis_ideal PORT JOBS
 *
 * A list holds JOBS of 200 bytes that begin with their id.  A call of a script takes 100 of them (LPOP count) and holds
 * them in a hash (HSET id job); a call of another says that they are done (HDEL of their ids).  The jobs are moved
 * three times: with one call in flight, so that Redis and the client wait for each other; with two; and "fused", two in
 * flight that each say what is done and take the next, which is the least that is possible.  Before that, jobs go in:
 * one RPUSH a round trip; RPUSHes of one job, 1,000 in a pipeline; RPUSHes of 100 jobs.  Nothing else is done with a
 * job: no fencing, no due times, no handler.
 *
 * Prints "NAME VALUE" lines: trip_us (PING), single, rpush, rpush_many, move_1, move_2, move_fused in jobs per second;
 * cpu_rpush_us, cpu_1_us, cpu_2_us, cpu_fused_us, Redis's own CPU time per job; bytes, what a waiting job takes in
 * Redis beyond its own 200.  Its keys are ideal:*, deleted before and after. */
#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/id.h"

enum { BATCH = 100, RECORD_BYTES = 200, PIPELINE = 1000, SINGLES = 2000, PINGS = 1000 };
enum { SHA_BYTES = 40 };

#define READY "ideal:ready"
#define HELD "ideal:held"

static const char take_script[] = "if ARGV[2] then redis.call('HDEL', KEYS[2], unpack(ARGV, 2)) end\n"
                                  "local jobs = redis.call('LPOP', KEYS[1], ARGV[1])\n"
                                  "if not jobs then return {} end\n"
                                  "local held = {}\n"
                                  "for i = 1, #jobs do\n"
                                  "  held[2 * i - 1] = string.sub(jobs[i], 1, 26)\n"
                                  "  held[2 * i] = jobs[i]\n"
                                  "end\n"
                                  "redis.call('HSET', KEYS[2], unpack(held))\n"
                                  "return jobs\n";
static const char done_script[] = "return redis.call('HDEL', KEYS[1], unpack(ARGV))\n";
_Static_assert(SK_ID_BYTES == 26, "the script cuts the id off the record");

struct ideal {
  redisContext *redis;
  struct sk_idgen ids;
  char record[RECORD_BYTES], take_sha[SHA_BYTES + 1], done_sha[SHA_BYTES + 1];
};

static void die(const char *what, const char *why) {
  fprintf(stderr, "redis_ideal: %s: %s\n", what, why);
  exit(1);
}

static redisReply *checked(struct ideal *r, void *reply, const char *what) {
  redisReply *got = reply;
  if (got == NULL) die(what, r->redis->errstr);
  if (got->type == REDIS_REPLY_ERROR) die(what, got->str);
  return got;
}

/* The reply to what was appended first; owned by the caller. */
static redisReply *next_reply(struct ideal *r, const char *what) {
  void *reply = NULL;
  if (redisGetReply(r->redis, &reply) != REDIS_OK) die(what, r->redis->errstr);
  return checked(r, reply, what);
}

static void call(struct ideal *r, const char *command) {
  freeReplyObject(checked(r, redisCommand(r->redis, command), command));
}

/* The sum of the numbers of INFO's fields of these names (field b may be NULL). */
static double info(struct ideal *r, const char *section, const char *a, const char *b) {
  redisReply *reply = checked(r, redisCommand(r->redis, "INFO %s", section), "INFO");
  double sum = 0;
  const char *const names[] = { a, b };
  for (int i = 0; i < 2 && names[i]; i++) {
    const char *at = strstr(reply->str, names[i]);
    if (at == NULL) die("INFO lacks", names[i]);
    sum += atof(at + strlen(names[i]));
  }
  freeReplyObject(reply);
  return sum;
}

static double cpu_us(struct ideal *r) { return info(r, "cpu", "used_cpu_sys:", "used_cpu_user:") * 1e6; }

static double rate_since(long n, int64_t start_us) { return (double)n * 1e6 / (double)(sk_clock_mono_us() - start_us); }

/* -- in ------------------------------------------------------------------------------------------------------------ */

static const char *new_record(struct ideal *r) {
  char id[SK_ID_BYTES + 1];
  sk_id_next(&r->ids, sk_clock_wall_ms(), id);
  memcpy(r->record, id, SK_ID_BYTES);
  return r->record;
}

/* One RPUSH of n jobs, into the output buffer. */
static void append_rpush(struct ideal *r, int n) {
  static char records[BATCH][RECORD_BYTES];
  const char *args[2 + BATCH] = { "RPUSH", READY };
  size_t lengths[2 + BATCH] = { strlen("RPUSH"), strlen(READY) };
  for (int i = 0; i < n; i++) {
    args[2 + i] = memcpy(records[i], new_record(r), RECORD_BYTES);
    lengths[2 + i] = RECORD_BYTES;
  }
  if (redisAppendCommandArgv(r->redis, 2 + n, args, lengths) != REDIS_OK) die("RPUSH", r->redis->errstr);
}

/* `jobs` of them, `each` a command, `commands` a round trip. */
static double push(struct ideal *r, long jobs, int each, int commands) {
  int64_t start_us = sk_clock_mono_us();
  for (long done = 0; done < jobs;) {
    int n = 0;
    for (; n < commands && done < jobs; n++, done += each) append_rpush(r, each);
    while (n-- > 0) freeReplyObject(next_reply(r, "RPUSH"));
  }
  return rate_since(jobs, start_us);
}

/* -- through ------------------------------------------------------------------------------------------------------- */

/* A call of a script with the key of the hash, and of the list before it when `ready_too`; its args are `count` (or
 * none, NULL) and the ids of the jobs of a reply (or none, NULL), which is taken. */
static void append_call(struct ideal *r, const char *sha, bool ready_too, const char *count, redisReply *jobs) {
  const char *args[6 + BATCH];
  size_t lengths[6 + BATCH], n = 0;
  args[n++] = "EVALSHA";
  args[n++] = sha;
  args[n++] = ready_too ? "2" : "1";
  if (ready_too) args[n++] = READY;
  args[n++] = HELD;
  if (count) args[n++] = count;
  for (size_t i = 0; i < n; i++) lengths[i] = strlen(args[i]);
  for (size_t i = 0; jobs && i < jobs->elements; i++, n++) {
    args[n] = jobs->element[i]->str;
    lengths[n] = SK_ID_BYTES;
  }
  if (redisAppendCommandArgv(r->redis, (int)n, args, lengths) != REDIS_OK) die("EVALSHA", r->redis->errstr);
  if (jobs) freeReplyObject(jobs);
  /* redisGetReply writes only when it finds nothing to read. */
  for (int written = 0; !written;) {
    if (redisBufferWrite(r->redis, &written) != REDIS_OK) die("write", r->redis->errstr);
  }
}

static void append_take(struct ideal *r, redisReply *done) { append_call(r, r->take_sha, true, "100", done); }
static void append_done(struct ideal *r, redisReply *jobs) { append_call(r, r->done_sha, false, NULL, jobs); }

static long move(struct ideal *r, int in_flight, bool fused) {
  long moved = 0;
  for (int i = 0; i < in_flight; i++) append_take(r, NULL);
  while (in_flight > 0) {
    redisReply *reply = next_reply(r, "EVALSHA");
    if (reply->type == REDIS_REPLY_INTEGER) {
      freeReplyObject(reply);
      append_take(r, NULL);
    } else if (reply->elements == 0) {
      freeReplyObject(reply);
      in_flight--;
    } else {
      moved += (long)reply->elements;
      if (fused)
        append_take(r, reply);
      else
        append_done(r, reply);
    }
  }
  return moved;
}

static void load_script(struct ideal *r, const char *script, char sha[SHA_BYTES + 1]) {
  redisReply *reply = checked(r, redisCommand(r->redis, "SCRIPT LOAD %s", script), "SCRIPT LOAD");
  snprintf(sha, SHA_BYTES + 1, "%s", reply->str);
  freeReplyObject(reply);
}

/* -- all of it ----------------------------------------------------------------------------------------------------- */

static void measure_trip(struct ideal *r) {
  int64_t start_us = sk_clock_mono_us();
  for (int i = 0; i < PINGS; i++) call(r, "PING");
  printf("trip_us %.1f\n", 1e6 / rate_since(PINGS, start_us));
}

static void measure_push(struct ideal *r, long jobs) {
  printf("single %.0f\n", push(r, SINGLES, 1, 1));
  call(r, "DEL " READY);
  double before = info(r, "memory", "used_memory:", NULL), cpu = cpu_us(r);
  printf("rpush %.0f\n", push(r, jobs, 1, PIPELINE));
  printf("cpu_rpush_us %.2f\n", (cpu_us(r) - cpu) / (double)jobs);
  printf("bytes %.1f\n", (info(r, "memory", "used_memory:", NULL) - before) / (double)jobs - RECORD_BYTES);
}

static void measure_move(struct ideal *r, long jobs, int in_flight, bool fused, const char *name) {
  double cpu = cpu_us(r);
  int64_t start_us = sk_clock_mono_us();
  long moved = move(r, in_flight, fused);
  double rate = rate_since(moved, start_us);
  redisReply *held = checked(r, redisCommand(r->redis, "HLEN " HELD), "HLEN");
  if (moved != jobs || held->integer != 0) die(name, "jobs are missing, or held still");
  freeReplyObject(held);
  printf("move_%s %.0f\n", name, rate);
  printf("cpu_%s_us %.2f\n", name, (cpu_us(r) - cpu) / (double)jobs);
}

int main(int argc, char **argv) {
  long jobs = argc == 3 ? atol(argv[2]) / BATCH * BATCH : 0;
  if (jobs <= 0) die("usage", "redis_ideal PORT JOBS");
  static struct ideal r;
  memset(r.record, 'r', sizeof r.record);
  r.redis = redisConnect("127.0.0.1", atoi(argv[1]));
  if (r.redis == NULL || r.redis->err) die(argv[1], r.redis ? r.redis->errstr : "out of memory");
  call(&r, "DEL " READY " " HELD);
  load_script(&r, take_script, r.take_sha);
  load_script(&r, done_script, r.done_sha);
  measure_trip(&r);
  measure_push(&r, jobs);
  measure_move(&r, jobs, 1, false, "1");
  printf("rpush_many %.0f\n", push(&r, jobs, BATCH, PIPELINE / BATCH));
  measure_move(&r, jobs, 2, false, "2");
  push(&r, jobs, BATCH, PIPELINE / BATCH);
  measure_move(&r, jobs, 2, true, "fused");
  call(&r, "DEL " READY " " HELD);
  redisFree(r.redis);
  return 0;
}
