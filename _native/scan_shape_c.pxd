"""A ScanSpec in C: the tree of the keys that matter and the choices of each role, which a walk only reads."""

cimport cython
from libc.stdint cimport int16_t, int32_t, uint32_t
from libc.string cimport memcmp

from _native.scan_tokens cimport Bytes

cdef enum:
    BUCKETS = 64

# A key that some path goes through (`scan_plan.Node`). `buckets` are its children by `bucket_of`; children of
# one bucket are a list by `next`. Indexes, -1 for none.
cdef struct Node:
    const unsigned char *key
    Py_ssize_t key_bytes
    int32_t next
    int32_t children
    int32_t batch
    int32_t slots_first
    int32_t slots_end
    int32_t below_first
    int32_t below_end
    int16_t buckets[BUCKETS]

cdef struct Choice:
    int32_t role
    int32_t first
    int32_t end

cdef struct Shape:
    Node *nodes
    int32_t *numbers
    Choice *choices
    Py_ssize_t choice_count
    int32_t top
    int32_t event
    Py_ssize_t slots
    Py_ssize_t batch_count
    Py_ssize_t key_bytes_max


cdef inline uint32_t bucket_of(const unsigned char *key, Py_ssize_t size) noexcept nogil:
    if size == 0:
        return 0
    return (<uint32_t>size * 7 + key[0] * 3 + key[size - 1]) % BUCKETS


cdef inline int32_t found(const Shape *shape, const Node *node, Bytes key, Py_ssize_t size) noexcept nogil:
    """The child of node whose key these bytes are, -1 for none."""
    cdef int32_t index = node.buckets[bucket_of(key, size)]
    while index >= 0:
        if shape.nodes[index].key_bytes == size and memcmp(shape.nodes[index].key, key, size) == 0:
            return index
        index = shape.nodes[index].next
    return -1


@cython.final
cdef class Compiled:
    """A Shape, the memory that it owns, and the spec it was made of (held, so that its id stays its own)."""

    cdef Shape shape
    cdef object spec
    cdef object names
    cdef bint array
    cdef bint ndjson
    cdef bint single
    cdef list keys

    cdef _reserve(self, Py_ssize_t nodes, Py_ssize_t numbers, Py_ssize_t choices)
    cdef _fill(self, list nodes)


cdef Compiled compiled(object spec)
