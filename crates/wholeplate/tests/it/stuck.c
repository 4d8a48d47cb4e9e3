// Preloaded into the program, this library stops the thread that maps an uploaded file until the file STUCK_UNTIL exists,
// two minutes at most: work that does not look at its deadline.
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

static void *map(void *at, size_t length, int protection, int flags, int fd, off_t offset) {
    const char *until = getenv("STUCK_UNTIL");
    if (until && fd >= 0 && protection == PROT_READ && (flags & MAP_SHARED)) {
        for (int i = 0; i < 12000 && access(until, F_OK) != 0; i++) usleep(10000);
    }
    return (void *)syscall(SYS_mmap, at, length, protection, flags, fd, offset);
}

void *mmap(void *at, size_t length, int protection, int flags, int fd, off_t offset) {
    return map(at, length, protection, flags, fd, offset);
}

void *mmap64(void *at, size_t length, int protection, int flags, int fd, off64_t offset) {
    return map(at, length, protection, flags, fd, offset);
}
