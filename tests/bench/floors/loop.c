/* Floor 1: the loop alone. The event is the response. */
#include "api.h"

int main(void) {
    api_connect();
    api_ask();
    for (;;) {
        struct event event = api_next();
        api_answer("response", event.body, event.size);
    }
}
