"""Inside scan, the Cython twin: takes a ScanSpec, gives its Shape (tables in C), made once per spec."""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING
from cpython.mem cimport PyMem_RawCalloc, PyMem_RawFree
from libc.stdint cimport int32_t
from libc.string cimport memset

from _native.scan_plan import plan as plan_of

cdef enum:
    SHAPES_MAX = 256

cdef dict shapes = {}


@cython.final
cdef class Compiled:
    """A Shape, the memory that it owns, and the spec it was made of (held, so that its id stays its own)."""

    def __cinit__(self, spec):
        made = plan_of(tuple(spec.roles.items()), spec.batch_keys, spec.envelope)
        self.spec = spec
        self.names = made.names
        self.array, self.ndjson, self.single = spec.array, spec.ndjson, spec.single
        nodes, numbers = [made.top, made.event], []
        for node in nodes:  # grows meanwhile: the tree, level by level
            nodes.extend(node.children.values())
            numbers.extend((*node.slots, *node.below))
        self.keys = [key for node in nodes for key in node.children]
        self._reserve(len(nodes), len(numbers), len(made.choices))
        self.shape.slots = made.slots
        self.shape.batch_count = len(spec.batch_keys)
        self.shape.key_bytes_max = max(map(len, self.keys), default=0)
        self.shape.top, self.shape.event = 0, 1
        self._fill(nodes)
        for index, (role, slots) in enumerate(made.choices):
            self.shape.choices[index] = Choice(role, slots[0] if slots else 0, slots[-1] + 1 if slots else 0)

    cdef _reserve(self, Py_ssize_t nodes, Py_ssize_t numbers, Py_ssize_t choices):
        self.shape.nodes = <Node *>PyMem_RawCalloc(nodes, sizeof(Node))
        self.shape.numbers = <int32_t *>PyMem_RawCalloc(numbers + 1, sizeof(int32_t))
        self.shape.choices = <Choice *>PyMem_RawCalloc(choices + 1, sizeof(Choice))
        self.shape.choice_count = choices
        if self.shape.nodes == NULL or self.shape.numbers == NULL or self.shape.choices == NULL:
            raise MemoryError

    cdef _fill(self, list nodes):
        """`nodes` as in __cinit__: children stand behind one another in the order of their parents."""
        cdef Node *node
        cdef Node *below
        cdef Py_ssize_t index, number = 0, child = 2
        cdef bytes key
        cdef int bucket
        self.shape.nodes[0].batch = self.shape.nodes[1].batch = -1
        for index, source in enumerate(nodes):
            node = &self.shape.nodes[index]
            memset(node.buckets, 0xFF, sizeof(node.buckets))
            node.children = len(source.children)
            node.slots_first = number
            node.slots_end = node.below_first = number + len(source.slots)
            node.below_end = node.below_first + len(source.below)
            for slot in (*source.slots, *source.below):
                self.shape.numbers[number] = slot
                number += 1
            for name, kept in source.children.items():
                key = self.keys[child - 2]
                below = &self.shape.nodes[child]
                below.key, below.key_bytes = <unsigned char *>PyBytes_AS_STRING(key), len(key)
                below.batch = kept.batch
                bucket = bucket_of(below.key, below.key_bytes)
                below.next = node.buckets[bucket]
                node.buckets[bucket] = child
                child += 1

    def __dealloc__(self):
        PyMem_RawFree(self.shape.nodes)
        PyMem_RawFree(self.shape.numbers)
        PyMem_RawFree(self.shape.choices)


cdef Compiled compiled(object spec):
    """The Shape of a spec, from the second time on found by its identity."""
    cdef Compiled made = shapes.get(id(spec))
    if made is None:
        made = Compiled(spec)
        if len(shapes) >= SHAPES_MAX:
            shapes.clear()
        shapes[id(spec)] = made
    return made
