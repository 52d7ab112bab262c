/*
 * The Runtime API client that the floors share: the least C that does the job on a healthy server.
 *
 * In: AWS_LAMBDA_RUNTIME_API as a numeric host:port. Out: one event at a time, answered once. Four system calls an event
 * (receive the event, send the response, receive the 202, send the next GET) when the event fits one receive.
 * It trusts the server: only Content-Length, no limits but its buffer, no reconnect. A floor is what cannot be undercut,
 * not what should be run.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define PAYLOAD_LIMIT (6291556 + 1)
#define HEAD_LIMIT 4096

struct event {
    char *body;
    size_t size;
};

static char received[HEAD_LIMIT + PAYLOAD_LIMIT];
static int api;

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static void api_connect(void) {
    char *address = getenv("AWS_LAMBDA_RUNTIME_API");
    char *colon = address ? strchr(address, ':') : NULL;
    struct sockaddr_in to = {.sin_family = AF_INET};
    char host[16] = "";
    if (!colon || colon - address >= (long)sizeof host) fail("AWS_LAMBDA_RUNTIME_API");
    memcpy(host, address, colon - address);
    to.sin_port = htons(atoi(colon + 1));
    if (inet_pton(AF_INET, host, &to.sin_addr) != 1) fail("AWS_LAMBDA_RUNTIME_API");
    api = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(api, (struct sockaddr *)&to, sizeof to)) fail("connect");
}

static void api_send(struct iovec *parts, int count) {
    while (count) {
        struct msghdr message = {.msg_iov = parts, .msg_iovlen = count};
        ssize_t sent = sendmsg(api, &message, MSG_NOSIGNAL);
        if (sent < 0) fail("sendmsg");
        while (count && (size_t)sent >= parts->iov_len) {
            sent -= parts->iov_len;
            parts++, count--;
        }
        if (count) {
            parts->iov_base = (char *)parts->iov_base + sent;
            parts->iov_len -= sent;
        }
    }
}

static char *request_id;
static size_t request_id_size;

/* The value of the header `line` when its name (with its colon and space) is `name`. */
static char *header(char *line, const char *name, size_t size) {
    return memcmp(line, name, size) ? NULL : line + size;
}

/* Receives one whole reply into `received`; returns the size of its head. */
static size_t api_receive(const char *status, size_t *body) {
    size_t size = 0, head = 0, line = 0, length = 0;
    do {
        ssize_t got = recv(api, received + size, sizeof received - size, 0);
        if (got <= 0) fail("recv");
        size += got;
        for (char *end; !head && (end = memchr(received + line, '\n', size - line)); line = end + 1 - received) {
            char *value;
            if (!line && memcmp(received, status, strlen(status))) fail(received);
            if (received[line] == '\r') head = line + 2;
            else if ((value = header(received + line, "Content-Length: ", 16))) length = strtoul(value, NULL, 10);
            else if ((value = header(received + line, "Lambda-Runtime-Aws-Request-Id: ", 31)))
                request_id = value, request_id_size = end - 1 - value;
        }
    } while (!head || size < head + length);
    *body = length;
    return head;
}

static void api_ask(void) {
    static char get[] = "GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: floor\r\n\r\n";
    struct iovec part = {get, sizeof get - 1};
    api_send(&part, 1);
}

static struct event api_next(void) {
    struct event event;
    request_id = NULL;
    event.body = received + api_receive("HTTP/1.1 200", &event.size);
    if (!request_id) fail("no request id");
    return event;
}

/* `what` is "response" or "error". */
static void api_answer(const char *what, char *body, size_t size) {
    static char head[1024] = "POST /2018-06-01/runtime/invocation/";
    char *end = head + strlen("POST /2018-06-01/runtime/invocation/");
    size_t ignored;
    if (request_id_size > 256) fail("request id");
    end = mempcpy(end, request_id, request_id_size);
    *end++ = '/';
    end = stpcpy(end, what);
    end = stpcpy(end, " HTTP/1.1\r\nHost: floor\r\nContent-Type: application/json\r\nContent-Length: ");
    char digits[20], *first = digits + sizeof digits;
    size_t left = size;
    do *--first = '0' + left % 10; while (left /= 10);
    end = mempcpy(end, first, digits + sizeof digits - first);
    end = stpcpy(end, "\r\n\r\n");
    struct iovec parts[2] = {{head, end - head}, {body, size}};
    api_send(parts, 2);
    api_receive("HTTP/1.1 202", &ignored);
    api_ask();
}
