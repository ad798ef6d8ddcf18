"""Values of a body of which nothing is lifted: takes a place, proves what stands there, gives where it ends.

Read is only below the walk's size, by `scan_tokens`; written are only open brackets below `opened_max`. What
gives -1 has set reason and position.
"""

from libc.stdint cimport int32_t

from _native.scan_state cimport INVALID_JSON, TOO_DEEP, Cell, Walk, failed
from _native.scan_tokens cimport byte_at, scalar_end, space_end, string_stop


cdef inline Py_ssize_t colon_end(Walk *walk, Py_ssize_t at, Py_ssize_t *end, int32_t *kind) noexcept nogil:
    """Takes the key whose quote must stand at `at`, and the colon; gives where the value must stand."""
    cdef Py_ssize_t stop
    if byte_at(walk.data, at, walk.size) != c'"':
        return failed(walk, INVALID_JSON, at)
    stop = string_stop(walk.data, at + 1, walk.size, kind)
    if byte_at(walk.data, stop, walk.size) != c'"':
        return failed(walk, INVALID_JSON, at)
    end[0] = stop
    at = space_end(walk.data, stop + 1, walk.size)
    if byte_at(walk.data, at, walk.size) != c':':
        return failed(walk, INVALID_JSON, at)
    return space_end(walk.data, at + 1, walk.size)


cdef inline Py_ssize_t scalar(Walk *walk, Py_ssize_t at, Cell *cell) noexcept nogil:
    """Takes the value at `at`, which is no container; gives the byte after it."""
    cdef Py_ssize_t end
    if byte_at(walk.data, at, walk.size) == c'"':
        end = string_stop(walk.data, at + 1, walk.size, &cell.kind)
        if byte_at(walk.data, end, walk.size) != c'"':
            return failed(walk, INVALID_JSON, at)
        cell.start = <int32_t>(at + 1)
        cell.end = <int32_t>end
        return end + 1
    end = scalar_end(walk.data, at, walk.size, &cell.kind)
    if end == at:
        return failed(walk, INVALID_JSON, at)
    cell.start = <int32_t>at
    cell.end = <int32_t>end
    return end


cdef inline Py_ssize_t nested(Walk *walk, Py_ssize_t at, Py_ssize_t depth) noexcept nogil:
    """Takes the container whose bracket stands at `at` and that no path goes through; gives the byte after
    it. It is level `depth`, within the bound; `opened` holds the brackets of the levels from there on."""
    cdef Py_ssize_t level = 0
    cdef Py_ssize_t end
    cdef int32_t kind
    cdef Cell cell
    cdef unsigned char byte
    cdef unsigned char closing = walk.data[at] + 2  # { and }, [ and ] stand two apart
    walk.opened[0] = closing
    at = space_end(walk.data, at + 1, walk.size)
    cdef bint fresh = byte_at(walk.data, at, walk.size) != closing
    while True:
        if fresh:
            if closing == c'}':
                at = colon_end(walk, at, &end, &kind)
                if at < 0:
                    return -1
            byte = byte_at(walk.data, at, walk.size)
            if byte == c'{' or byte == c'[':
                level += 1
                if depth + level > walk.depth_max:
                    return failed(walk, TOO_DEEP, at)
                closing = byte + 2
                walk.opened[level] = closing
                at = space_end(walk.data, at + 1, walk.size)
                fresh = byte_at(walk.data, at, walk.size) != closing
                continue
            at = scalar(walk, at, &cell)
            if at < 0:
                return -1
            at = space_end(walk.data, at, walk.size)
        byte = byte_at(walk.data, at, walk.size)
        if byte == closing:
            if level == 0:
                return at + 1
            level -= 1
            closing = walk.opened[level]
            at = space_end(walk.data, at + 1, walk.size)
            fresh = False
        elif byte == c',':
            at = space_end(walk.data, at + 1, walk.size)
            fresh = True
        else:
            return failed(walk, INVALID_JSON, at)
