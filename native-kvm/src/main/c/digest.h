/* CRC-32C (Castagnoli), as RFC 3720 and java.util.zip.CRC32C have it. */
#ifndef VMFT_DIGEST_H
#define VMFT_DIGEST_H

#include <stddef.h>
#include <stdint.h>

/* Of bytes that follow those whose checksum is crc; 0 for none. length is a multiple of 8. */
uint32_t digest_add(uint32_t crc, const uint8_t *bytes, size_t length);

/* The same without the processor's help. */
uint32_t digest_add_slowly(uint32_t crc, const uint8_t *bytes, size_t length);

#endif
