"""murmur2 for the Cython twins that place keys on Kafka partitions."""

from libc.stdint cimport uint32_t


cdef inline uint32_t murmur2_of(const unsigned char *data, Py_ssize_t size) noexcept nogil:
    # Every read is below `size`: whole words first, then the 0 to 3 bytes after them.
    cdef uint32_t SEED = 0x9747B28C
    cdef uint32_t MULTIPLIER = 0x5BD1E995
    cdef uint32_t value = SEED ^ <uint32_t>size
    cdef uint32_t word
    cdef Py_ssize_t at = 0
    while at + 4 <= size:
        word = data[at] | <uint32_t>data[at + 1] << 8
        word |= <uint32_t>data[at + 2] << 16 | <uint32_t>data[at + 3] << 24
        word *= MULTIPLIER
        word ^= word >> 24
        word *= MULTIPLIER
        value = value * MULTIPLIER ^ word
        at += 4
    if at < size:
        word = data[at]
        if at + 1 < size:
            word |= <uint32_t>data[at + 1] << 8
        if at + 2 < size:
            word |= <uint32_t>data[at + 2] << 16
        value = (value ^ word) * MULTIPLIER
    value ^= value >> 13
    value *= MULTIPLIER
    return value ^ value >> 15
