// A preloaded library that makes the system calls of an attacker, at the first accepted connection (PROBE_AT=accept) or at
// the first read outside of the main thread (PROBE_AT=read). PROBE_REPORT names the file for the results: the name of each
// attempt and its error number, 0 if it was allowed.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

static int try_open(const char *path, int flags) {
    int fd = open(path, flags, 0600);
    if (fd < 0) return errno;
    close(fd);
    return 0;
}

static int try_open_variable(const char *variable, int flags) {
    const char *path = getenv(variable);
    return path ? try_open(path, flags) : -1;
}

static int try_exec(void) {
    pid_t child = fork();
    if (child < 0) return errno;
    if (child == 0) {
        unsetenv("LD_PRELOAD");
        execl("/bin/true", "true", (char *)NULL);
        _exit(errno);
    }
    int status = 0;
    if (waitpid(child, &status, 0) < 0) return errno;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int try_listen(void) {
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0) return errno;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int failed = bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(fd, 1) < 0;
    int result = failed ? errno : 0;
    close(fd);
    return result;
}

static int try_socket(void) {
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0) return errno;
    close(fd);
    return 0;
}

static int try_read_memory(void) {
    char from = 1, to = 0;
    struct iovec local = {&to, 1}, remote = {&from, 1};
    return process_vm_readv(getpid(), &local, 1, &remote, 1, 0) < 0 ? errno : 0;
}

static void probe(const char *at) {
    static atomic_flag done = ATOMIC_FLAG_INIT;
    const char *wanted = getenv("PROBE_AT"), *path = getenv("PROBE_REPORT");
    if (!wanted || !path || strcmp(at, wanted) != 0 || atomic_flag_test_and_set(&done)) return;
    FILE *report = fopen(path, "w");
    if (!report) return;
    fprintf(report, "passwd=%d\n", try_open("/etc/passwd", O_RDONLY));
    fprintf(report, "outside=%d\n", try_open_variable("PROBE_OUTSIDE", O_RDONLY));
    fprintf(report, "own=%d\n", try_open_variable("PROBE_OWN", O_RDONLY));
    fprintf(report, "own-write=%d\n", try_open_variable("PROBE_OWN", O_WRONLY));
    fprintf(report, "exec=%d\n", try_exec());
    fprintf(report, "listen=%d\n", try_listen());
    fprintf(report, "socket=%d\n", try_socket());
    fprintf(report, "memory=%d\n", try_read_memory());
    fclose(report);
}

int accept4(int fd, struct sockaddr *address, socklen_t *length, int flags) {
    probe("accept");
    return (int)syscall(SYS_accept4, fd, address, length, flags);
}

ssize_t read(int fd, void *buffer, size_t length) {
    if (syscall(SYS_gettid) != getpid()) probe("read");
    return syscall(SYS_read, fd, buffer, length);
}
