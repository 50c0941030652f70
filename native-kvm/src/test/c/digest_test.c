/* Known sums, with and without the processor's help. */
#include "check.h"
#include "digest.h"

#include <string.h>

int main(void) {
    /* RFC 3720, B.4 */
    uint8_t bytes[4096];
    memset(bytes, 0, 32);
    CHECK(digest_add(0, bytes, 32) == 0x8a9136aau && digest_add_slowly(0, bytes, 32) == 0x8a9136aau);
    memset(bytes, 0xff, 32);
    CHECK(digest_add(0, bytes, 32) == 0x62a8ab43u && digest_add_slowly(0, bytes, 32) == 0x62a8ab43u);
    for (unsigned i = 0; i < sizeof bytes; i++) {
        bytes[i] = (uint8_t)(i * 37 + (i >> 3));
    }
    CHECK(digest_add(0, bytes, sizeof bytes) == digest_add_slowly(0, bytes, sizeof bytes));
    CHECK(digest_add(digest_add(0, bytes, 1000), bytes + 1000, 3096) == digest_add(0, bytes, sizeof bytes));
    return 0;
}
