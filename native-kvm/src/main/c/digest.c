#include "digest.h"

#include <string.h>

#define POLYNOMIAL 0x82f63b78u /* bits reversed */

uint32_t digest_add_slowly(uint32_t crc, const uint8_t *bytes, size_t length) {
    crc = ~crc;
    for (size_t i = 0; i < length; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++) {
            crc = crc >> 1 ^ (POLYNOMIAL & -(crc & 1));
        }
    }
    return ~crc;
}

#ifdef __x86_64__
__attribute__((target("sse4.2"))) static uint32_t add_fast(uint32_t crc, const uint8_t *bytes, size_t length) {
    uint64_t sum = (uint32_t)~crc;
    for (size_t i = 0; i + sizeof(uint64_t) <= length; i += sizeof(uint64_t)) {
        uint64_t word;
        memcpy(&word, bytes + i, sizeof word);
        sum = __builtin_ia32_crc32di(sum, word);
    }
    return ~(uint32_t)sum;
}
#endif

uint32_t digest_add(uint32_t crc, const uint8_t *bytes, size_t length) {
#ifdef __x86_64__
    if (__builtin_cpu_supports("sse4.2")) {
        return add_fast(crc, bytes, length);
    }
#endif
    return digest_add_slowly(crc, bytes, length);
}
