/*
 * The one neutral server of the bench: it starts every contestant itself, plays the Runtime API to it, and takes the
 * times with CLOCK_MONOTONIC. It knows nothing of who is measured.
 *
 *   measure start  ROUNDS CONTESTANT…         a fresh process of each in every round
 *   measure events ROUNDS BYTES CONTESTANT…   one process of each for all rounds, one event to each in every round
 *   measure paused ROUNDS BYTES CONTESTANT…   as events, with 5 ms of rest before each event
 *   measure pages  ROUNDS CONTESTANT…         as start, and looks at what memory each has touched by then
 *   measure trace  ROUNDS BYTES CONTESTANT…   as events, for programs run under strace: no samples, and they are not
 *                                             killed but find the door closed, so that the trace is whole
 *
 * CONTESTANT is NAME:HANDLER:TASK_FOLDER:PROGRAM[:ARGUMENT…]. Each round runs every contestant once, in an order
 * shuffled with a fixed seed, so that none always follows the same other one.
 *
 * Standard output, one sample a line, tab-separated, times in nanoseconds:
 *   start   NAME  exec→first byte of GET /next   exec→whole first response
 *   event   NAME  event sent→whole response      event sent→whole next GET
 *   memory  NAME  first|last  VmHWM KiB  minor faults  RSS KiB  RSS KiB at a response, at most
 *                                                before the first event, and after the last
 *   pages   NAME  pages of files  anonymous pages  minor faults  major faults     at the first GET /next
 *
 * VmHWM may lag by up to 63 pages (the kernel adds up in portions); RSS is counted page by page. That takes its time:
 * what a process holds at a response is looked at in the rounds that are not timed.
 *
 * Every response is compared with its event, byte for byte; anything unexpected ends the bench.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MOST_CONTESTANTS 16
#define MOST_ARGUMENTS 16
#define MOST_CONNECTIONS 4
#define PATIENCE_MS 30000
#define PAUSE_NS 5000000
#define BODY_LIMIT (6 * 1024 * 1024)
#define REQUEST_LIMIT (BODY_LIMIT + 65536)

struct contestant {
    char *name, *handler, *task, *arguments[MOST_ARGUMENTS + 1];
    pid_t pid;
    int listener, connections[MOST_CONNECTIONS], asked; /* asked: the connection that waits for an event, or -1 */
    unsigned long sent;
    long peak; /* the most KiB that were resident when a response came */
};

struct request {
    int connection;
    long long first_byte;
    char *body;
    size_t head, body_size;
};

static int nowhere; /* /dev/null */
static struct contestant contestants[MOST_CONTESTANTS];
static char bytes[REQUEST_LIMIT + 1], event[BODY_LIMIT];
static size_t event_size = 64;
/* Written by the child between vfork and exec, in the memory it shares with us. */
static volatile long long exec_at;
static volatile int exec_error;

static void die(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fputs("measure: ", stderr);
    vfprintf(stderr, format, arguments);
    fprintf(stderr, " (last error: %s)\n", strerror(errno));
    va_end(arguments);
    for (int i = 0; i < MOST_CONTESTANTS; i++)
        if (contestants[i].pid > 0) kill(-contestants[i].pid, SIGKILL);
    exit(1);
}

static long long now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

/* ---- contestants as processes ---- */

static void parse(struct contestant *c, char *text) {
    char *fields[3 + MOST_ARGUMENTS + 1] = {0};
    int count = 0;
    for (char *field; (field = strsep(&text, ":"));) {
        if (count == 3 + MOST_ARGUMENTS) die("too many arguments");
        fields[count++] = field;
    }
    if (count < 4) die("a contestant is NAME:HANDLER:TASK_FOLDER:PROGRAM[:ARGUMENT...]");
    c->name = fields[0], c->handler = fields[1], c->task = fields[2];
    memcpy(c->arguments, fields + 3, sizeof c->arguments);
    for (int i = 0; i < MOST_CONNECTIONS; i++) c->connections[i] = -1;
}

/* Opens a door of its own for the contestant and starts it there; the clock starts right before its exec. */
static void start(struct contestant *c) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    char api[64], handler[256], task[512];
    c->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(c->listener, (struct sockaddr *)&address, size) || listen(c->listener, 8) ||
        getsockname(c->listener, (struct sockaddr *)&address, &size))
        die("listen");
    snprintf(api, sizeof api, "AWS_LAMBDA_RUNTIME_API=127.0.0.1:%d", ntohs(address.sin_port));
    snprintf(handler, sizeof handler, "_HANDLER=%s", c->handler);
    snprintf(task, sizeof task, "LAMBDA_TASK_ROOT=%s", c->task);
    char *environment[] = {api, handler, task, "PATH=/usr/local/bin:/usr/bin:/bin", "LANG=en_US.UTF-8", "TZ=:UTC",
                           "AWS_REGION=eu-central-1", "AWS_DEFAULT_REGION=eu-central-1",
                           "AWS_LAMBDA_FUNCTION_NAME=bench", "AWS_LAMBDA_FUNCTION_VERSION=$LATEST",
                           "AWS_LAMBDA_FUNCTION_MEMORY_SIZE=128", "AWS_LAMBDA_INITIALIZATION_TYPE=on-demand",
                           "AWS_LAMBDA_LOG_GROUP_NAME=/aws/lambda/bench", "AWS_LAMBDA_LOG_STREAM_NAME=stream",
                           "LAMBDA_RUNTIME_DIR=/var/runtime", NULL};
    exec_error = 0;
    /* vfork, so that the time and the memory of the copy that fork makes are in nobody's figures. */
    c->pid = vfork();
    if (c->pid < 0) die("vfork");
    if (!c->pid) {
        /* What it writes to standard output is no answer to anyone; its log goes where ours goes. */
        if (!setpgid(0, 0) && !chdir(c->task) && dup2(nowhere, 1) == 1) {
            exec_at = now();
            execve(c->arguments[0], c->arguments, environment);
        }
        exec_error = errno;
        _exit(127);
    }
    if (exec_error) die("%s: cannot start: %s", c->name, strerror(exec_error));
    c->asked = -1;
    c->sent = 0;
}

static void hang_up(struct contestant *c) {
    close(c->listener);
    for (int i = 0; i < MOST_CONNECTIONS; i++)
        if (c->connections[i] >= 0) close(c->connections[i]), c->connections[i] = -1;
}

/* Waits until no process is left of any contestant: their orphans are ours (PR_SET_CHILD_SUBREAPER). */
static void reap(const char *name) {
    for (long long give_up = now() + PATIENCE_MS * 1000000LL; now() < give_up; usleep(200)) {
        pid_t pid;
        while ((pid = waitpid(-1, NULL, WNOHANG)) > 0);
        if (pid < 0 && errno == ECHILD) return;
    }
    die("%s left a process behind", name);
}

/* /proc/PID/NAME of the contestant as text; empty where the kernel has no such file. */
static char *proc_file(struct contestant *c, const char *name) {
    static char text[65536];
    char path[64];
    size_t size = 0;
    snprintf(path, sizeof path, "/proc/%d/%s", c->pid, name);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    for (ssize_t got; file >= 0 && (got = read(file, text + size, sizeof text - 1 - size)) > 0;) size += got;
    if (file >= 0) close(file);
    text[size] = 0;
    return text;
}

/* The sum, in KiB, of all lines of `text` that begin with `name`. */
static long kib(const char *text, const char *name) {
    long sum = 0;
    for (const char *line = text; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (!strncmp(line, name, strlen(name))) sum += strtol(line + strlen(name), NULL, 10);
    }
    return sum;
}

static void faults(struct contestant *c, unsigned long *minor, unsigned long *major) {
    /* After the name in brackets: state, five ids and flags, then minor faults, those of children, major faults. */
    char *field = strrchr(proc_file(c, "stat"), ')');
    if (!field || sscanf(field + 2, "%*c %*d %*d %*d %*d %*d %*u %lu %*u %lu", minor, major) != 2)
        die("%s: no fault count", c->name);
}

static long resident(struct contestant *c) {
    return kib(proc_file(c, "smaps_rollup"), "Rss:");
}

static void print_memory(struct contestant *c, const char *when) {
    unsigned long minor, major;
    long high_water = kib(proc_file(c, "status"), "VmHWM:");
    if (!high_water) die("%s: no VmHWM", c->name);
    faults(c, &minor, &major);
    printf("memory\t%s\t%s\t%ld\t%lu\t%ld\t%ld\n", c->name, when, high_water, minor, resident(c), c->peak);
}

/* ---- the Runtime API ---- */

/* The connection on which bytes wait; new connections are let in, closed ones are let go. */
static int ready_connection(struct contestant *c) {
    for (;;) {
        struct pollfd ends[1 + MOST_CONNECTIONS] = {{c->listener, POLLIN, 0}};
        for (int i = 0; i < MOST_CONNECTIONS; i++) ends[1 + i] = (struct pollfd){c->connections[i], POLLIN, 0};
        if (poll(ends, 1 + MOST_CONNECTIONS, PATIENCE_MS) <= 0) die("%s: nothing came", c->name);
        for (int i = 0; i < MOST_CONNECTIONS; i++) {
            char byte;
            if (!ends[1 + i].revents) continue;
            if (recv(c->connections[i], &byte, 1, MSG_PEEK) == 1) return c->connections[i];
            close(c->connections[i]);
            c->connections[i] = -1;
        }
        if (ends[0].revents) {
            int place = 0, on = 1;
            struct timeval patience = {PATIENCE_MS / 1000, 0};
            while (place < MOST_CONNECTIONS && c->connections[place] >= 0) place++;
            if (place == MOST_CONNECTIONS) die("%s: too many connections", c->name);
            int connection = accept4(c->listener, NULL, NULL, SOCK_CLOEXEC);
            if (connection < 0) die("accept");
            setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
            setsockopt(connection, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
            setsockopt(connection, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
            c->connections[place] = connection;
        }
    }
}

/* Whether `bytes` hold a whole request; a chunked body is joined in place, once it is whole. */
static int is_whole(struct contestant *c, struct request *r, size_t size, size_t *wanted) {
    if (!r->head) {
        char *end = memmem(bytes, size, "\r\n\r\n", 4), *length;
        if (!end) return 0;
        r->head = end + 4 - bytes;
        end[2] = 0;
        length = strcasestr(bytes, "\r\ncontent-length:");
        if (length) *wanted = r->head + strtoul(length + 17, NULL, 10);
        else if (strcasestr(bytes, "\r\ntransfer-encoding:")) *wanted = 0;
        else *wanted = r->head;
        r->body = bytes + r->head;
    }
    if (*wanted) {
        if (size > *wanted) die("%s: bytes after its request", c->name);
        r->body_size = *wanted - r->head;
        return size == *wanted;
    }
    if (size < r->head + 5 || memcmp(bytes + size - 5, "0\r\n\r\n", 5)) return 0;
    for (char *from = r->body, *to = r->body;;) {
        char *data;
        size_t chunk = strtoul(from, &data, 16);
        if (data[0] != '\r' || data + 4 + chunk > bytes + size) return 0;
        if (!chunk) return r->body_size = to - r->body, 1;
        memmove(to, data + 2, chunk);
        to += chunk, from = data + 2 + chunk + 2;
    }
}

static struct request receive(struct contestant *c) {
    struct request r = {.connection = ready_connection(c)};
    size_t size = 0, wanted = 0;
    for (;;) {
        ssize_t got = recv(r.connection, bytes + size, REQUEST_LIMIT - size, 0);
        if (got <= 0) die("%s: its request was cut short", c->name);
        if (!size) r.first_byte = now();
        bytes[size += got] = 0;
        if (is_whole(c, &r, size, &wanted)) return r;
        if (size == REQUEST_LIMIT) die("%s: its request is too large", c->name);
    }
}

static void send_parts(struct contestant *c, int connection, struct iovec *parts, int count) {
    while (count) {
        struct msghdr message = {.msg_iov = parts, .msg_iovlen = count};
        ssize_t sent = sendmsg(connection, &message, MSG_NOSIGNAL);
        if (sent < 0) die("%s: it stopped reading", c->name);
        while (count && (size_t)sent >= parts->iov_len) sent -= parts->iov_len, parts++, count--;
        if (count) parts->iov_base = (char *)parts->iov_base + sent, parts->iov_len -= sent;
    }
}

static long long receive_get(struct contestant *c) {
    struct request r = receive(c);
    if (memcmp(bytes, "GET /2018-06-01/runtime/invocation/next ", 40)) die("%s: not GET /next: %s", c->name, bytes);
    c->asked = r.connection;
    return r.first_byte;
}

/* One event: JSON of one line that differs from its predecessor, so that no stale answer passes. */
static void send_event(struct contestant *c) {
    char head[1024], number[11];
    struct timespec date;
    clock_gettime(CLOCK_REALTIME, &date);
    snprintf(number, sizeof number, "%010lu", ++c->sent % 10000000000);
    memcpy(event + 6, number, 10);
    int size = snprintf(head, sizeof head,
                        "HTTP/1.1 200 OK\r\n"
                        "Content-Type: application/json\r\n"
                        "Lambda-Runtime-Aws-Request-Id: 8476a536-e9f4-11e8-9739-%s00\r\n"
                        "Lambda-Runtime-Deadline-Ms: %lld\r\n"
                        "Lambda-Runtime-Invoked-Function-Arn: arn:aws:lambda:eu-central-1:123456789012:function:bench\r\n"
                        "Lambda-Runtime-Trace-Id: Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Parent=9a9197af755a6419;"
                        "Sampled=1\r\n"
                        "Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n"
                        "Content-Length: %zu\r\n\r\n",
                        number, (long long)date.tv_sec * 1000 + 300000, event_size);
    struct iovec parts[2] = {{head, size}, {event, event_size}};
    send_parts(c, c->asked, parts, 2);
}

/* Returns when the whole response was here. */
static long long receive_response(struct contestant *c) {
    struct request r = receive(c);
    long long at = now();
    char path[128];
    snprintf(path, sizeof path, "POST /2018-06-01/runtime/invocation/8476a536-e9f4-11e8-9739-%010lu00/response ", c->sent);
    if (memcmp(bytes, path, strlen(path))) die("%s: not the response to its event: %.300s", c->name, bytes);
    if (r.body_size != event_size || memcmp(r.body, event, event_size))
        die("%s: a response of %zu bytes is not its event of %zu", c->name, r.body_size, event_size);
    c->asked = r.connection;
    return at;
}

static void accept_response(struct contestant *c) {
    static char accepted[] = "HTTP/1.1 202 Accepted\r\nContent-Type: application/json\r\n"
                             "Date: Thu, 01 Jan 1970 00:00:00 GMT\r\nContent-Length: 16\r\n\r\n{\"status\":\"OK\"}\n";
    struct iovec part = {accepted, sizeof accepted - 1};
    send_parts(c, c->asked, &part, 1);
}

/* ---- what is measured ---- */

static void run_start(struct contestant *c) {
    start(c);
    long long first_byte = receive_get(c) - exec_at;
    send_event(c);
    printf("start\t%s\t%lld\t%lld\n", c->name, first_byte, receive_response(c) - exec_at);
    kill(-c->pid, SIGKILL);
    hang_up(c);
    reap(c->name);
}

/* A page of a file counts where it is mapped; with fault_around_bytes at one page these are the pages it touched. */
static void run_pages(struct contestant *c) {
    unsigned long minor, major;
    start(c);
    receive_get(c);
    char *mappings = proc_file(c, "smaps");
    long all = kib(mappings, "Rss:"), anonymous = kib(mappings, "Anonymous:");
    faults(c, &minor, &major);
    printf("pages\t%s\t%ld\t%ld\t%lu\t%lu\n", c->name, (all - anonymous) / 4, anonymous / 4, minor, major);
    kill(-c->pid, SIGKILL);
    hang_up(c);
    reap(c->name);
}

static void run_event(struct contestant *c, int counts) {
    long long sent = now();
    send_event(c);
    long long response = receive_response(c) - sent;
    if (!counts) {
        long size = resident(c);
        if (size > c->peak) c->peak = size;
    }
    accept_response(c);
    receive_get(c);
    if (counts) printf("event\t%s\t%lld\t%lld\n", c->name, response, now() - sent);
}

static void shuffle(struct contestant **order, int count) {
    static unsigned long state = 88172645463325252;
    for (int i = count - 1; i > 0; i--) {
        state ^= state << 13, state ^= state >> 7, state ^= state << 17;
        int other = state % (i + 1);
        struct contestant *kept = order[i];
        order[i] = order[other], order[other] = kept;
    }
}

int main(int count, char **arguments) {
    struct contestant *order[MOST_CONTESTANTS];
    if (count < 4) die("usage: measure start|pages|events|paused|trace ROUNDS [BYTES] CONTESTANT...");
    int looks = !strcmp(arguments[1], "pages"), starts = looks || !strcmp(arguments[1], "start");
    int traces = !strcmp(arguments[1], "trace"), pauses = !strcmp(arguments[1], "paused");
    int rounds = atoi(arguments[2]), warm = starts || traces ? 0 : (rounds + 19) / 20;
    int first = starts ? 3 : 4, many = count - first;
    if (!starts) event_size = strtoul(arguments[3], NULL, 10);
    if (event_size < 32 || event_size > BODY_LIMIT || many < 1 || many > MOST_CONTESTANTS) die("bad arguments");
    memset(event, '.', event_size);
    memcpy(event, "{\"n\":\"", 6);
    memcpy(event + event_size - 2, "\"}", 2);
    if ((nowhere = open("/dev/null", O_RDWR | O_CLOEXEC)) < 0) die("/dev/null");
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    for (int i = 0; i < many; i++) {
        parse(&contestants[i], arguments[first + i]);
        order[i] = &contestants[i];
    }
    for (int i = 0; i < many && !starts; i++) {
        start(order[i]);
        receive_get(order[i]);
        if (!traces) print_memory(order[i], "first");
    }
    for (int round = -warm; round < rounds; round++) {
        shuffle(order, many);
        for (int i = 0; i < many; i++) {
            if (pauses) nanosleep(&(struct timespec){.tv_nsec = PAUSE_NS}, NULL);
            if (looks) run_pages(order[i]);
            else if (starts) run_start(order[i]);
            else run_event(order[i], round >= 0 && !traces);
        }
    }
    for (int i = 0; i < many && !starts; i++) {
        if (!traces) print_memory(order[i], "last");
        if (!traces) kill(-order[i]->pid, SIGKILL);
        hang_up(order[i]);
    }
    reap("a contestant");
    return 0;
}
