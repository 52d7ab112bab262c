/* A Lambda function as a plain program: the event on standard input, the response on standard
 * output, the log on standard error, failure by the exit status. Handler: app
 *
 * It answers how many bytes of each kind the event has. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

int main(void)
{
    unsigned long bytes = 0, digits = 0, letters = 0;
    int byte;

    while ((byte = getchar()) != EOF) {
        bytes++;
        digits += isdigit(byte) != 0;
        letters += isalpha(byte) != 0;
    }
    if (ferror(stdin)) {
        perror("the event cannot be read");
        return EXIT_FAILURE;
    }

    const char *id = getenv("LAMBDA_RUNTIME_AWS_REQUEST_ID");
    fprintf(stderr, "request %s: %lu bytes\n", id ? id : "?", bytes);

    printf("{\"bytes\":%lu,\"digits\":%lu,\"letters\":%lu}\n", bytes, digits, letters);
    /* A response that was not written as a whole is a failure, not a shorter response. */
    return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
