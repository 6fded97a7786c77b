/* verbs.h - the main function of each command. argv[0] is the command's own name; the return value is the exit code of
 * the process.
 *
 * To add a command: write its file with a struct sk_command (options.h) and a main function, declare the function here,
 * and add its row to main.c. */
#ifndef SK_APP_VERBS_H
#define SK_APP_VERBS_H

int sk_app_run(int argc, char **argv);    /* run.c: the engine */
int sk_app_check(int argc, char **argv);  /* check.c */
int sk_app_worker(int argc, char **argv); /* worker.c: processes that the engine starts; not for people */

int sk_app_enqueue(int argc, char **argv);
int sk_app_jobs(int argc, char **argv);
int sk_app_job(int argc, char **argv);
int sk_app_explain(int argc, char **argv);
int sk_app_retry(int argc, char **argv);
int sk_app_cancel(int argc, char **argv);
int sk_app_delete(int argc, char **argv);
int sk_app_promote(int argc, char **argv);
int sk_app_queues(int argc, char **argv);
int sk_app_stats(int argc, char **argv);
int sk_app_pause(int argc, char **argv);
int sk_app_resume(int argc, char **argv);
int sk_app_backup(int argc, char **argv);

#endif
