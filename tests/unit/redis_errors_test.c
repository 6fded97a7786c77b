/* What error replies of Redis mean, in the wording of 7.0 and in that of 6.2 (store/redis/errors.h). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "store/redis/errors.h"

#define SHA "0f5c8f3bb24ff0f9f5a4ac4b3a1d2d0c0a11e2a0"
#define V62(line, said)                                                                                                \
  "ERR Error running script (call to f_" SHA "): @user_script:" line ": @user_script: " line ": " said
#define V62_RAISED(line, said) "ERR Error running script (call to f_" SHA "): @user_script:" line ": " said
#define V70(line, said) said " script: " SHA ", on @user_script:" line "."

static const struct row {
  const char *text;
  enum rd_trouble trouble;
  const char *said; /* NULL: all of it */
} ROWS[] = {
  /* Before any script runs: both versions. */
  { "LOADING Redis is loading the dataset in memory", RD_TROUBLE_WEATHER, NULL },
  { "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.", RD_TROUBLE_WEATHER,
    NULL },
  { "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.", RD_TROUBLE_WEATHER, NULL },
  { "NOREPLICAS Not enough good replicas to write.", RD_TROUBLE_WEATHER, NULL },
  { "UNKILLABLE The busy script was sent by a master", RD_TROUBLE_WEATHER, NULL },
  { "CLUSTERDOWN Hash slot not served", RD_TROUBLE_SLOT, NULL },
  { "CLUSTERDOWN The cluster is down", RD_TROUBLE_SLOT, NULL },
  { "TRYAGAIN Multiple keys request during rehashing of slot", RD_TROUBLE_SLOT, NULL },
  { "ASK 866 127.0.0.1:7001", RD_TROUBLE_SLOT, NULL },
  { "MOVED 866 127.0.0.1:7001", RD_TROUBLE_MOVED, NULL },
  { "NOSCRIPT No matching script. Please use EVAL.", RD_TROUBLE_NO_SCRIPT, NULL },
  { "NOAUTH Authentication required.", RD_TROUBLE_NO_RIGHT, NULL },
  { "WRONGPASS invalid username-password pair or user is disabled.", RD_TROUBLE_NO_RIGHT, NULL },
  { "NOPERM this user has no permissions to run the 'evalsha' command", RD_TROUBLE_NO_RIGHT, NULL },
  { "NOPERM this user has no permissions to access one of the keys used as arguments", RD_TROUBLE_NO_RIGHT, NULL },
  { "EXECABORT Transaction discarded because of previous errors.", RD_TROUBLE_ABORTED, NULL },
  { "ERR unknown command 'EVALSHA', with args beginning with: ", RD_TROUBLE_REFUSED, NULL },
  { "WRONGTYPE Operation against a key holding the wrong kind of value", RD_TROUBLE_REFUSED, NULL },
  { "", RD_TROUBLE_REFUSED, NULL },
  /* A word is a whole word. */
  { "ASKING is not what this is", RD_TROUBLE_REFUSED, NULL },
  { "BUSYKEY Target key name already exists.", RD_TROUBLE_REFUSED, NULL },
  { "BUSYGROUP Consumer Group name already exists", RD_TROUBLE_REFUSED, NULL },
  { "OOM", RD_TROUBLE_WEATHER, NULL },
  /* Inside a script: 7.0. */
  { V70("12", "READONLY You can't write against a read only replica."), RD_TROUBLE_DEMOTED, NULL },
  { V70("12", "OOM command not allowed when used memory > 'maxmemory'."), RD_TROUBLE_WEATHER, NULL },
  { V70("1", "NOREPLICAS Not enough good replicas to write."), RD_TROUBLE_WEATHER, NULL },
  { V70("1", "MISCONF Errors writing to the AOF file: No space left on device"), RD_TROUBLE_WEATHER, NULL },
  { V70("9", "ERR The user executing the script can't publish to the channel mentioned in the command"),
    RD_TROUBLE_NO_RIGHT, NULL },
  { V70("9", "ERR The user executing the script can't run this command or subcommand"), RD_TROUBLE_NO_RIGHT, NULL },
  { V70("9", "ERR user_script:9: attempt to index local 'x' (a nil value)"), RD_TROUBLE_REFUSED, NULL },
  { V70("9", "WRONGTYPE Operation against a key holding the wrong kind of value"), RD_TROUBLE_REFUSED, NULL },
  /* Inside a script: 6.2. */
  { V62("12", "-READONLY You can't write against a read only replica. "), RD_TROUBLE_DEMOTED,
    "READONLY You can't write against a read only replica." },
  { V62("12", "-OOM command not allowed when used memory > 'maxmemory'. "), RD_TROUBLE_WEATHER,
    "OOM command not allowed when used memory > 'maxmemory'." },
  { V62("1", "-MISCONF Redis is configured to save RDB snapshots, but it is currently not able to persist on disk."),
    RD_TROUBLE_WEATHER,
    "MISCONF Redis is configured to save RDB snapshots, but it is currently not able to persist on disk." },
  { V62("1", "-NOREPLICAS Not enough good replicas to write."), RD_TROUBLE_WEATHER,
    "NOREPLICAS Not enough good replicas to write." },
  { V62("1", "-MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'."), RD_TROUBLE_WEATHER,
    "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'." },
  { V62("1", "-BUSY Redis is busy running a script."), RD_TROUBLE_WEATHER, "BUSY Redis is busy running a script." },
  { V62("1", "-LOADING Redis is loading the dataset in memory"), RD_TROUBLE_WEATHER,
    "LOADING Redis is loading the dataset in memory" },
  { V62_RAISED("1", "-CLUSTERDOWN Hash slot not served"), RD_TROUBLE_SLOT, "CLUSTERDOWN Hash slot not served" },
  { V62("9", "The user executing the script can't publish to the channel mentioned in the command"),
    RD_TROUBLE_NO_RIGHT, "The user executing the script can't publish to the channel mentioned in the command" },
  { V62("9", "The user executing the script can't run this command or subcommand"), RD_TROUBLE_NO_RIGHT,
    "The user executing the script can't run this command or subcommand" },
  { V62_RAISED("9", "WRONGTYPE Operation against a key holding the wrong kind of value"), RD_TROUBLE_REFUSED,
    "WRONGTYPE Operation against a key holding the wrong kind of value" },
  { V62_RAISED("9", "user_script:9: attempt to index local 'x' (a nil value)"), RD_TROUBLE_REFUSED,
    "attempt to index local 'x' (a nil value)" },
  /* What merely looks like it. */
  { "ERR Error running script (call to f_" SHA ")", RD_TROUBLE_REFUSED, NULL },
  { "ERR Error running script (call to f_" SHA "): ", RD_TROUBLE_REFUSED, "" },
  { "ERR Error running script (call to f_" SHA "): @user_script:1", RD_TROUBLE_REFUSED, NULL },
  { "ERR Error compiling script (new function): user_script:1: READONLY", RD_TROUBLE_REFUSED, NULL },
  { V62_RAISED("9", "a sentence with -READONLY in its midst"), RD_TROUBLE_REFUSED,
    "a sentence with -READONLY in its midst" },
};

static void test_both_wordings(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof ROWS / sizeof *ROWS; i++) {
    struct sk_str said;
    const char *expected = ROWS[i].said ? ROWS[i].said : ROWS[i].text;
    enum rd_trouble trouble = sk_rd_errors_classify(sk_str_c(ROWS[i].text), &said);
    if (trouble == ROWS[i].trouble && sk_str_eq_c(said, expected)) continue;
    fail_msg("\"%s\": %d \"%.*s\", expected %d \"%s\"", ROWS[i].text, trouble, SK_STR_ARG(said), ROWS[i].trouble,
             expected);
  }
}

static void test_only_what_fails_again_is_no_weather(void **state) {
  (void)state;
  assert_int_equal(sk_rd_errors_code(RD_TROUBLE_REFUSED), SK_ECORRUPT);
  assert_int_equal(sk_rd_errors_code(RD_TROUBLE_NO_SCRIPT), SK_ECORRUPT);
  for (int t = RD_TROUBLE_WEATHER; t < RD_TROUBLE_REFUSED; t++)
    if (t != RD_TROUBLE_NO_SCRIPT) assert_int_equal(sk_rd_errors_code((enum rd_trouble)t), SK_EUNAVAILABLE);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_both_wordings),
    cmocka_unit_test(test_only_what_fails_again_is_no_weather),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
