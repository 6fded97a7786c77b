/* slot_page.c - see slot_page.h. */
#include "engine/slot_page.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static enum sk_code map(int fd, size_t bytes, struct sk_slot_page **out, struct sk_err *err) {
  void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (p == MAP_FAILED) return sk_err_set(err, SK_ESYS, "memory shared with a worker: %s", strerror(errno));
  *out = p;
  return SK_OK;
}

static size_t bytes_of(uint32_t slots_n) {
  return sizeof(struct sk_slot_page) + slots_n * sizeof(struct sk_slot_page_slot);
}

enum sk_code sk_slot_page_make(uint32_t slots_n, struct sk_slot_page **out, int *fd, struct sk_err *err) {
  size_t bytes = bytes_of(slots_n);
  *fd = memfd_create("skein-worker", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (*fd < 0) return sk_err_set(err, SK_ESYS, "memory shared with a worker: %s", strerror(errno));
  enum sk_code code = SK_OK;
  if (ftruncate(*fd, (off_t)bytes) != 0 || fcntl(*fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0)
    code = sk_err_set(err, SK_ESYS, "memory shared with a worker: %s", strerror(errno));
  if (code == SK_OK) code = map(*fd, bytes, out, err);
  if (code == SK_OK)
    (*out)->slots_n = slots_n;
  else
    close(*fd);
  return code;
}

enum sk_code sk_slot_page_map(int fd, struct sk_slot_page **out, struct sk_err *err) {
  struct stat st;
  if (fstat(fd, &st) != 0) return sk_err_set(err, SK_ESYS, "memory shared with the core: %s", strerror(errno));
  size_t bytes = (size_t)st.st_size;
  if (bytes < sizeof(struct sk_slot_page))
    return sk_err_set(err, SK_ECORRUPT, "memory shared with the core: %zu bytes", bytes);
  enum sk_code code = map(fd, bytes, out, err);
  if (code != SK_OK || bytes_of((*out)->slots_n) == bytes) return code;
  munmap(*out, bytes);
  *out = NULL;
  return sk_err_set(err, SK_ECORRUPT, "memory shared with the core: %zu bytes are not those of its slots", bytes);
}

void sk_slot_page_unmap(struct sk_slot_page *s, uint32_t slots_n) {
  if (s) munmap(s, bytes_of(slots_n));
}
