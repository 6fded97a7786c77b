/* fds.h - file descriptors that this process inherited, or that its programs must not inherit. */
#ifndef SK_BASE_FDS_H
#define SK_BASE_FDS_H

/* Marks all open descriptors but 0, 1 and 2 close-on-exec, so that programs started from now on do not inherit them. */
void sk_fds_close_on_exec(void);

/* Opens /dev/null in place of a closed descriptor 0, 1 or 2. Otherwise a file that we open would become a standard
 * stream, and libraries would write messages into it. */
void sk_fds_keep_standard(void);

#endif
