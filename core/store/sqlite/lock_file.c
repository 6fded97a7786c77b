/* lock_file.c - PATH-lock, by which processes that share a sqlite store wake each other and show that they live.
 *
 * Byte 0 is written after each commit that others wait for: inotify tells them.  Engine N keeps byte N locked.  The
 * lock belongs to the open file, so the kernel drops it the moment the process dies. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "store/sqlite/sqlite.h"

/* -- the lock file ------------------------------------------------------------------------------------------------- */

enum { POKE_BYTE = 0 }; /* written, never locked; engine 1 has byte 1, and so on */

enum sk_code sk_sq_lock_open(struct sq_db *db) {
  if (db->access != SQ_WRITES) return SK_OK; /* it wakes nobody */
  db->lock_fd = sk_sq_files_open_lock(db);
  if (db->lock_fd >= 0) return SK_OK;
  return sk_err_set(&db->err, SK_EUNAVAILABLE, "%s: %s", db->lock_path, strerror(errno));
}

void sk_sq_poke(struct sq_db *db) {
  ssize_t n = pwrite(db->lock_fd, "!", 1, POKE_BYTE);
  (void)n; /* on a full disk others find out by their safety poll */
}

enum sk_code sk_sq_lock_byte(struct sq_db *db, int64_t num, bool *got) {
  struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = num, .l_len = 1 };
  *got = fcntl(db->lock_fd, F_OFD_SETLK, &lock) == 0;
  if (*got || errno == EAGAIN || errno == EACCES) return SK_OK;
  return sk_err_set(&db->err, SK_EUNAVAILABLE, "%s: it cannot be locked: %s", db->lock_path, strerror(errno));
}

/* Does another process, or handle, keep that byte locked?  When in doubt yes: then the lease decides. */
bool sk_sq_byte_is_locked(struct sq_db *db, int64_t num) {
  struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = num, .l_len = 1 };
  return fcntl(db->lock_fd, F_OFD_GETLK, &lock) != 0 || lock.l_type != F_UNLCK;
}
