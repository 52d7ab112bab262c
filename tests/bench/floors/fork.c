/*
 * Floor 3: the loop, and one warm bash driven over two pipes: the script sourced once, a subshell per event, the event
 * as $1, the response without trailing line feeds. Right for events of one line and responses without NUL, which is
 * what the bench sends; no standard input for the handler, no deadline, no environment per event.
 */
#include "api.h"
#include <fcntl.h>
#include <spawn.h>

extern char **environ;
static char output[HEAD_LIMIT + PAYLOAD_LIMIT];

/* Each event ends with a line feed, each response with a NUL and the handler's status. */
static char loop[] = "set -euo pipefail; source \"$1\"; set +e\n"
                     "while IFS= read -r event; do\n"
                     "  ( set -e; \"$2\" \"$event\" )\n"
                     "  printf '\\0%d\\n' \"$?\"\n"
                     "done\n";

int main(void) {
    int in[2], out[2];
    pid_t shell;
    char *name = getenv("_HANDLER"), *dot = name ? strrchr(name, '.') : NULL, script[256];
    if (!dot) fail("_HANDLER");
    snprintf(script, sizeof script, "./%.*s.sh", (int)(dot - name), name);
    char *argv[] = {"bash", "-c", loop, "bash", script, dot + 1, NULL};
    posix_spawn_file_actions_t actions;
    if (pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC)) fail("pipe2");
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in[0], 0);
    posix_spawn_file_actions_adddup2(&actions, out[1], 1);
    if (posix_spawnp(&shell, "bash", &actions, NULL, argv, environ)) fail("bash");
    close(in[0]);
    close(out[1]);
    api_connect();
    api_ask();
    for (;;) {
        struct event event = api_next();
        struct iovec line[2] = {{event.body, event.size}, {"\n", 1}};
        size_t size = 0;
        char *end = NULL;
        if (writev(in[1], line, 2) != (ssize_t)event.size + 1) fail("writev");
        while (!end || output[size - 1] != '\n') {
            ssize_t got = read(out[0], output + size, sizeof output - size);
            if (got <= 0) fail("read");
            size += got;
            if (!end) end = memchr(output, 0, size);
        }
        int failed = strcmp(end + 1, "0\n");
        while (end > output && end[-1] == '\n') end--;
        if (failed) api_answer("error", "{}", 2);
        else api_answer("response", output, end - output);
    }
}
