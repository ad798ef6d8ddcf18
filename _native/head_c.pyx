"""The request head, the Cython twin: names, arguments and results of `head_py`, which is the specification.

One pass over the bytes. Known names (`head_names`) are found by a hash of their lower-case bytes in a table
that is made at import, so they cost no object.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport uint32_t
from libc.string cimport memcmp, memset

from _native import head_names

cdef enum:
    NAME_BYTES_MAX = 64
    LENGTH_DIGITS_MAX = 9
    IN_PATH = 1
    IN_QUERY = 2
    IN_NAME = 4
    IN_VALUE = 8
    BUCKETS = 256  # a power of two, and several times the names
    NOWHERE = -1
    # Places in head_names.SPECIAL; what is not one of them and below OTHERS is refused.
    CONTENT_LENGTH = 0
    CONNECTION = 1
    OTHERS = 6

cdef tuple names = head_names.NAMES
cdef unsigned char classes[256]
cdef unsigned char lower[256]
cdef short buckets[BUCKETS]


cdef inline uint32_t hash_of(const unsigned char *name, Py_ssize_t size) noexcept nogil:
    """FNV-1a."""
    cdef uint32_t found = 2166136261
    cdef Py_ssize_t index
    for index in range(size):
        found = (found ^ name[index]) * 16777619
    return found


cdef int prepare() except -1:
    cdef Py_ssize_t bucket
    if (NAME_BYTES_MAX, LENGTH_DIGITS_MAX, OTHERS) != (
        head_names.NAME_BYTES_MAX, head_names.LENGTH_DIGITS_MAX, len(head_names.SPECIAL),
    ) or (names[CONTENT_LENGTH], names[CONNECTION]) != (b"content-length", b"connection"):
        raise ImportError("head_c.pyx has other names or bounds than _native/head_names.py")
    for code in range(256):
        lower[code] = code + 32 if c'A' <= code <= c'Z' else code
        in_query = b"!"[0] <= code <= b"~"[0] and code not in b"#"
        classes[code] = IN_PATH if in_query and code not in b"%?" else 0
        classes[code] |= IN_QUERY if in_query else 0
        classes[code] |= IN_NAME if code < 128 and (chr(code).isalnum() or code in b"!#$%&'*+-.^_`|~") else 0
        classes[code] |= IN_VALUE if code == 9 or (code >= 32 and code != 127) else 0
    memset(buckets, 0xFF, sizeof(buckets))
    for index, name in enumerate(names):
        bucket = hash_of(name, len(name)) % BUCKETS
        while buckets[bucket] != NOWHERE:
            bucket = (bucket + 1) % BUCKETS
        buckets[bucket] = index
    return 0


prepare()


cdef inline Py_ssize_t run_end(
    const unsigned char *data, Py_ssize_t at, Py_ssize_t size, int kind
) noexcept nogil:
    """The first place from `at` on whose byte is not of this class."""
    while at < size and classes[data[at]] & kind:
        at += 1
    return at


cdef int place_of(const unsigned char *name, Py_ssize_t size) noexcept:
    """The place of a lower-case name in `names`, or NOWHERE."""
    cdef Py_ssize_t bucket = hash_of(name, size) % BUCKETS
    cdef bytes known
    while buckets[bucket] != NOWHERE:
        known = <bytes>names[buckets[bucket]]
        if len(known) == size and not memcmp(PyBytes_AS_STRING(known), name, size):
            return buckets[bucket]
        bucket = (bucket + 1) % BUCKETS
    return NOWHERE


cdef Py_ssize_t length_of(const unsigned char *value, Py_ssize_t size) noexcept nogil:
    """The number that a Content-Length is, or -1."""
    cdef Py_ssize_t found = 0
    cdef Py_ssize_t index
    if size > LENGTH_DIGITS_MAX:
        return -1
    for index in range(size):
        if not c'0' <= value[index] <= c'9':
            return -1
        found = 10 * found + value[index] - c'0'
    return found


cdef bint is_keep_alive(const unsigned char *value, Py_ssize_t size) noexcept nogil:
    cdef const unsigned char *wanted = b"keep-alive"
    cdef Py_ssize_t index
    if size != 10:
        return False
    for index in range(10):
        if lower[value[index]] != wanted[index]:
            return False
    return True


def read_head(
    bytes data not None, Py_ssize_t target_bytes_max, Py_ssize_t header_count_max, Py_ssize_t header_bytes_max
):
    """See `_native.head`."""
    cdef const unsigned char *bytes_ = <const unsigned char *>PyBytes_AS_STRING(data)
    cdef Py_ssize_t size = len(data)
    cdef Py_ssize_t path_end, query_at, end
    if size < 6 or memcmp(bytes_, b"POST /", 6):
        return None
    path_end = query_at = end = run_end(bytes_, 6, size, IN_PATH)
    if end < size and bytes_[end] == c'?':
        query_at = end + 1
        end = run_end(bytes_, query_at, size, IN_QUERY)
    if end - 5 > target_bytes_max or size - end < 11 or memcmp(bytes_ + end, b" HTTP/1.1\r\n", 11):
        return None
    return headers_of(bytes_, size, end + 11, header_count_max, header_bytes_max, (
        PyBytes_FromStringAndSize(<char *>bytes_ + 5, path_end - 5),
        PyBytes_FromStringAndSize(<char *>bytes_ + query_at, end - query_at),
    ))


cdef headers_of(
    const unsigned char *data, Py_ssize_t size, Py_ssize_t at, Py_ssize_t count_max, Py_ssize_t bytes_max,
    tuple target,
):
    """The Head of lines that begin at `at`; every read is below `size`."""
    cdef unsigned char small[NAME_BYTES_MAX]
    cdef list headers = []
    cdef dict named = {}
    cdef bytes name, value
    cdef Py_ssize_t start, index, body_bytes = -1
    cdef int place
    while at < size and data[at] != c'\r':
        start = at
        at = run_end(data, start, size, IN_NAME)
        index = at - start
        if not 0 < index <= NAME_BYTES_MAX or at == size or data[at] != c':':
            return None
        for index in range(at - start):
            small[index] = lower[data[start + index]]
        place = place_of(small, at - start)
        name = <bytes>names[place] if place >= 0 else PyBytes_FromStringAndSize(<char *>small, at - start)
        at += 1
        while at < size and (data[at] == c' ' or data[at] == c'\t'):
            at += 1
        start = at
        at = run_end(data, start, size, IN_VALUE)
        if at == start or size - at < 2 or data[at] != c'\r' or data[at + 1] != c'\n':
            return None
        if place == CONTENT_LENGTH:
            if body_bytes >= 0:
                return None
            body_bytes = length_of(data + start, at - start)
            if body_bytes < 0:
                return None
        elif place == CONNECTION:
            if not is_keep_alive(data + start, at - start):
                return None
        elif 0 <= place < OTHERS:
            return None
        value = PyBytes_FromStringAndSize(<const char *>data + start, at - start)
        headers.append((name, value))
        named[name] = value
        bytes_max -= len(name) + len(value) + 4
        at += 2
    if size - at < 2 or data[at + 1] != c'\n' or body_bytes < 0 or bytes_max < 0 or len(headers) > count_max:
        return None
    return (target[0], target[1], headers, named, at + 2, body_bytes)
