/* fds.h - file descriptors that this process was born with, or must not leave to programs that it starts. */
#ifndef SK_BASE_FDS_H
#define SK_BASE_FDS_H

/* Programs that this process starts from now on get no descriptor that is open now, but for 0, 1 and 2. */
void sk_fds_close_on_exec(void);

/* Opens /dev/null where 0, 1 or 2 is closed, so that no descriptor of ours becomes a standard stream, to which others write. */
void sk_fds_keep_standard(void);

#endif
