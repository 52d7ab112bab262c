/*
 * Counts the user-space instructions of one process, exactly, by stepping through them: a figure that does not depend
 * on the machine's load. Children are not followed, and run at full speed.
 *
 *   steps OUTPUT PROGRAM [ARGUMENT…]
 *
 * OUTPUT gets one number, when the program has ended. A repeated string instruction counts once for each round.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

static void fail(const char *what) {
    perror(what);
    exit(1);
}

int main(int count, char **arguments) {
    if (count < 3) {
        fputs("usage: steps OUTPUT PROGRAM [ARGUMENT...]\n", stderr);
        return 1;
    }
    pid_t child = fork();
    if (child < 0) fail("fork");
    if (!child) {
        ptrace(PTRACE_TRACEME, 0, NULL, NULL);
        execv(arguments[2], arguments + 2);
        _exit(127);
    }
    long steps = 0;
    int status;
    while (waitpid(child, &status, 0) == child && WIFSTOPPED(status)) {
        int signal = WSTOPSIG(status);
        if (ptrace(PTRACE_SINGLESTEP, child, NULL, (long)(signal == SIGTRAP ? 0 : signal)) && errno != ESRCH)
            fail("ptrace");
        steps++;
    }
    FILE *output = fopen(arguments[1], "w");
    if (!output || fprintf(output, "%ld\n", steps) < 0 || fclose(output)) fail(arguments[1]);
    return 0;
}
