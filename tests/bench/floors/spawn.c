/*
 * Floor 2: the loop, and a process per event: posix_spawn, the event through one pipe of the default size, the response
 * through another. No process group, no deadline, no log: the least that runs `_HANDLER`.
 */
#include "api.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>

#define PIPE_SIZE 65536

extern char **environ;
static char output[PAYLOAD_LIMIT];

/* The event in, the response out, as far as the pipes take them; returns the size of the response. */
static size_t exchange(int in, int out, struct event event) {
    size_t written = 0, size = 0;
    struct pollfd ends[2] = {{out, POLLIN, 0}, {in, POLLOUT, 0}};
    /* An event that fits the empty pipe cannot block. */
    if (event.size > PIPE_SIZE && fcntl(in, F_SETFL, O_NONBLOCK)) fail("fcntl");
    for (;;) {
        if (ends[1].fd >= 0) {
            ssize_t took = write(in, event.body + written, event.size - written);
            if (took < 0 && errno != EAGAIN) fail("write");
            written += took < 0 ? 0 : took;
            if (written == event.size) {
                close(in);
                ends[1].fd = -1;
            } else if (poll(ends, 2, -1) < 0) {
                fail("poll");
            }
        }
        if (ends[1].fd < 0 || ends[0].revents) {
            ssize_t got = read(out, output + size, sizeof output - size);
            if (got < 0) fail("read");
            if (!got) return size;
            size += got;
        }
    }
}

static void run(char *handler, struct event event) {
    /* Every event opens the same four numbers, so that what the child does with them is written once. */
    static posix_spawn_file_actions_t actions;
    static int expected;
    int in[2], out[2], status;
    pid_t child;
    char *argv[] = {handler, NULL};
    if (pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC)) fail("pipe2");
    if (!expected) {
        posix_spawn_file_actions_init(&actions);
        posix_spawn_file_actions_adddup2(&actions, in[0], 0);
        posix_spawn_file_actions_adddup2(&actions, out[1], 1);
        expected = out[1];
    }
    if (expected != out[1] || posix_spawn(&child, handler, &actions, NULL, argv, environ)) fail(handler);
    close(in[0]);
    close(out[1]);
    size_t size = exchange(in[1], out[0], event);
    close(out[0]);
    if (waitpid(child, &status, 0) != child) fail("waitpid");
    if (status) api_answer("error", "{}", 2);
    else api_answer("response", output, size);
}

int main(void) {
    char *handler = getenv("_HANDLER");
    if (!handler) fail("_HANDLER");
    api_connect();
    api_ask();
    for (;;) run(handler, api_next());
}
