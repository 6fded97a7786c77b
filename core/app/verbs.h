/* verbs.h - the commands, one main function each.  argv[0] is the command's own name; each returns the process's exit code.
 *
 * To add one: write its file with a struct sk_command (options.h) and a main function, declare it here, add its row in main.c. */
#ifndef SK_APP_VERBS_H
#define SK_APP_VERBS_H

int sk_app_run(int argc, char **argv);    /* run.c: the engine */
int sk_app_check(int argc, char **argv);  /* check.c */
int sk_app_worker(int argc, char **argv); /* worker.c: what the engine starts; not for people */

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
