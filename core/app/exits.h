/* exits.h - the exit codes of the command, after sysexits.h. */
#ifndef SK_APP_EXITS_H
#define SK_APP_EXITS_H

#define SK_EXIT_OK 0
#define SK_EXIT_FAILED 1       /* the command was carried out and its answer is no: no such job, the job died */
#define SK_EXIT_USAGE 64       /* the command line is wrong */
#define SK_EXIT_UNAVAILABLE 69 /* the store cannot be reached or used */
#define SK_EXIT_INTERNAL 70    /* out of memory, or a fault of skein */
#define SK_EXIT_CONFIG 78      /* a setting is wrong */

#endif
