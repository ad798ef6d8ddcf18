/* CRC-32C (Castagnoli): by the SSE4.2 instruction where the processor has it (asked at run time), else by a
   table. */
#ifndef HEADRACE_CRC32C_H
#define HEADRACE_CRC32C_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

static uint32_t headrace_crc_table[256];

static void headrace_crc_prepare(void) {
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t value = byte;
        for (int bit = 0; bit < 8; bit++)
            value = (value >> 1) ^ ((value & 1) ? 0x82F63B78u : 0);
        headrace_crc_table[byte] = value;
    }
}

static uint32_t headrace_crc_by_table(const unsigned char *data, size_t size) {
    uint32_t value = 0xFFFFFFFFu;
    for (size_t at = 0; at < size; at++)
        value = headrace_crc_table[(value ^ data[at]) & 0xFF] ^ (value >> 8);
    return value ^ 0xFFFFFFFFu;
}

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
__attribute__((target("sse4.2")))
static uint32_t headrace_crc_by_instruction(const unsigned char *data, size_t size) {
    uint64_t value = 0xFFFFFFFFu;
    size_t at = 0;
    for (; at + 8 <= size; at += 8) {
        uint64_t word;
        memcpy(&word, data + at, 8);
        value = __builtin_ia32_crc32di(value, word);
    }
    uint32_t rest = (uint32_t)value;
    for (; at < size; at++)
        rest = __builtin_ia32_crc32qi(rest, data[at]);
    return rest ^ 0xFFFFFFFFu;
}

static uint32_t headrace_crc32c(const unsigned char *data, size_t size) {
    return __builtin_cpu_supports("sse4.2") ? headrace_crc_by_instruction(data, size)
                                            : headrace_crc_by_table(data, size);
}
#else
static uint32_t headrace_crc32c(const unsigned char *data, size_t size) {
    return headrace_crc_by_table(data, size);
}
#endif

#endif
