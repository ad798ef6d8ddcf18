"""What a request says for all its events: takes its stamp, gives the headers that are alike, encoded."""

from cpython.mem cimport PyMem_RawMalloc
from libc.stdint cimport int64_t, uint32_t, uint64_t

from _native.batch_c cimport Pen, put_big64, put_bytes, put_varint
from _native.pack_headers cimport Block, Slice, block_from, cut, put_header, put_name

cdef enum:
    BOOT = 8
    REQUEST_BYTES = 400  # of names, lengths and fixed values

# `pack_stamp.Stamp` in C; what its slices point into is held by the writer.
cdef struct Stamp:
    Slice boot, source, dialect, ack, ip, agent, context, content
    Slice version, type_default, type_unknown, user_default, anon_default
    int64_t received_us, sent_us
    uint32_t flags
    bint sent, by_anonymous

# `memory` holds what the blocks are slices of, and behind it the scratch. `seq` lacks the record's number,
# `fixed` its flags: they are last in it.
cdef struct Request:
    Stamp stamp
    unsigned char *memory
    unsigned char *scratch
    unsigned char boot_hex[2 * BOOT]
    Block seq, fixed, version, source, content, client, context, nothing


cdef inline int encode(Request *request, Py_ssize_t scratch_bytes) except -1:
    """Fills the blocks by the stamp; the memory is the caller's to free."""
    cdef const Stamp *stamp = &request.stamp
    cdef Py_ssize_t size = REQUEST_BYTES + 2 * stamp.source.size + stamp.dialect.size + stamp.ack.size
    cdef Pen pen
    cdef unsigned char *start
    cdef int at
    size += stamp.ip.size + stamp.agent.size + stamp.context.size + stamp.content.size
    request.memory = <unsigned char *>PyMem_RawMalloc(size + scratch_bytes)
    if request.memory == NULL:
        raise MemoryError
    request.scratch = request.memory + size
    pen.at, pen.end, pen.over = request.memory, request.scratch, False
    encode_first(request, &pen)
    start = pen.at
    put_header(&pen, b"ce_specversion", 14, stamp.version)
    request.version = block_from(start, &pen, 1)
    start = pen.at
    put_header(&pen, b"ce_source", 9, stamp.source)
    request.source = block_from(start, &pen, stamp.source.size > 0)
    start = pen.at
    put_header(&pen, b"content-type", 12, stamp.content)
    request.content = block_from(start, &pen, stamp.content.size > 0)
    start = pen.at
    put_header(&pen, b"hr_ip", 5, stamp.ip)
    put_header(&pen, b"hr_ua", 5, cut(stamp.agent, &request.stamp.flags))
    request.client = block_from(start, &pen, (stamp.ip.size > 0) + (stamp.agent.size > 0))
    start = pen.at
    put_header(&pen, b"hr_ctx", 6, stamp.context)
    request.context = block_from(start, &pen, stamp.context.size > 0)
    assert not pen.over
    for at in range(BOOT):
        request.boot_hex[2 * at] = b"0123456789abcdef"[stamp.boot.at[at] >> 4]
        request.boot_hex[2 * at + 1] = b"0123456789abcdef"[stamp.boot.at[at] & 15]
    return 0


cdef inline void encode_first(Request *request, Pen *pen) noexcept nogil:
    """The headers from hr_seq to hr_flags."""
    cdef const Stamp *stamp = &request.stamp
    cdef unsigned char *start = pen.at
    put_name(pen, b"hr_seq", 6)
    put_varint(pen, BOOT + 8)
    put_bytes(pen, stamp.boot.at, BOOT)
    request.seq = block_from(start, pen, 1)
    start = pen.at
    put_name(pen, b"hr_time", 7)
    put_varint(pen, 8)
    put_big64(pen, <uint64_t>stamp.received_us)
    put_header(pen, b"hr_source", 9, stamp.source)
    put_header(pen, b"hr_dialect", 10, stamp.dialect)
    put_header(pen, b"hr_ack", 6, stamp.ack)
    put_name(pen, b"hr_flags", 8)
    put_varint(pen, 4)
    request.fixed = block_from(
        start, pen, 2 + (stamp.source.size > 0) + (stamp.dialect.size > 0) + (stamp.ack.size > 0)
    )
