"""One record: takes what is known of an event, counts its bytes and writes its key, value and headers.

The specification is `pack_record_py`. A record is counted first and then written in one go; between the two
nothing can fail.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memcpy

from _native.batch_c cimport (
    Pen, put_big32, put_big64, put_bytes, put_sized, put_varint, sized_bytes, varint_bytes,
)
from _native.pack_headers cimport (
    ID_MADE, KEY_IS_ANON, KEY_IS_USER, TYPE_MISSING, Block, Slice, cut, header_bytes, put_header, put_name,
)
from _native.pack_request cimport BOOT, Request, Stamp

cdef enum:
    MADE_ID_BYTES = 40  # boot id in hex 16, hyphen 1, number at most 20

# What is known of one event. `rear`: headers behind all others.
cdef struct Event:
    Slice id, type, name, user, anon, time, value
    const Block *version
    const Block *source
    const Block *content
    const Block *rear
    uint32_t flags
    bint sent
    int64_t sent_us

# What its record says of it, and how many bytes and headers that takes.
cdef struct Told:
    Slice key, id, type, name, user, anon, time
    uint32_t flags
    int count
    Py_ssize_t size


cdef inline void begin(const Request *request, Event *event) noexcept nogil:
    """An event of which only is known what the request says; its texts and value are to be filled in."""
    event.version, event.source, event.content = &request.version, &request.source, &request.content
    event.rear = &request.nothing
    event.flags, event.sent, event.sent_us = 0, request.stamp.sent, request.stamp.sent_us


cdef inline void tell(
    const Request *request, const Event *event, uint64_t number, unsigned char *made, Told *told
) noexcept nogil:
    """Adds to `told`, where the time and flags stand already; a made id is written to `made`."""
    cdef const Stamp *stamp = &request.stamp
    cdef uint32_t flags = told.flags
    told.id = cut(event.id, &flags)
    told.type = cut(event.type if event.type.size else stamp.type_default, &flags)
    told.name = cut(event.name, &flags)
    told.user = cut(event.user if event.user.size else stamp.user_default, &flags)
    told.anon = cut(event.anon if event.anon.size else stamp.anon_default, &flags)
    if not told.id.size:
        told.id = made_id(request, number, made)
        flags |= ID_MADE
    if not told.type.size:
        told.type = stamp.type_unknown
        flags |= TYPE_MISSING
    told.key = told.id
    if told.anon.size and (stamp.by_anonymous or not told.user.size):
        told.key = told.anon
        told.anon.size = 0
        flags |= KEY_IS_ANON
    elif told.user.size:
        told.key = told.user
        told.user.size = 0
        flags |= KEY_IS_USER
    told.flags = flags


cdef inline Slice made_id(const Request *request, uint64_t number, unsigned char *out) noexcept nogil:
    """<boot id in hex>-<number>, in `out` of MADE_ID_BYTES bytes."""
    cdef Py_ssize_t at = MADE_ID_BYTES
    while True:
        at -= 1
        out[at] = c'0' + <unsigned char>(number % 10)
        number //= 10
        if not number:
            break
    at -= 1
    out[at] = c'-'
    at -= 2 * BOOT
    memcpy(out + at, request.boot_hex, 2 * BOOT)
    return Slice(out + at, MADE_ID_BYTES - at)


cdef inline void measure(const Request *request, const Event *event, Told *told) noexcept nogil:
    """Counts what `write` writes."""
    cdef int count = request.seq.count + request.fixed.count + request.client.count + request.context.count
    cdef Py_ssize_t size = request.seq.size + 8 + request.fixed.size + 4
    size += request.client.size + request.context.size
    count += event.version.count + event.source.count + event.content.count + event.rear.count
    size += event.version.size + event.source.size + event.content.size + event.rear.size
    count += 2 + (told.time.size > 0) + (told.name.size > 0) + event.sent
    count += (told.user.size > 0) + (told.anon.size > 0)
    size += header_bytes(5, told.id.size) + header_bytes(7, told.type.size)
    size += header_bytes(7, told.time.size) + header_bytes(7, told.name.size)
    size += header_bytes(7, told.user.size) + header_bytes(7, told.anon.size)
    size += header_bytes(7, 8) if event.sent else 0
    size += sized_bytes(told.key.size) + sized_bytes(event.value.size) + varint_bytes(count)
    told.count, told.size = count, size


cdef inline Pen write(
    const Request *request, const Event *event, const Told *told, uint64_t number, Pen pen
) noexcept nogil:
    """Key, value and headers, in the order of `_native.record.HEADERS`."""
    put_sized(&pen, told.key.at, told.key.size)
    put_sized(&pen, event.value.at, event.value.size)
    put_varint(&pen, told.count)
    put_bytes(&pen, request.seq.at, request.seq.size)
    put_big64(&pen, number)
    put_bytes(&pen, request.fixed.at, request.fixed.size)
    put_big32(&pen, told.flags)
    put_bytes(&pen, event.version.at, event.version.size)
    put_header(&pen, b"ce_id", 5, told.id)
    put_bytes(&pen, event.source.at, event.source.size)
    put_header(&pen, b"ce_type", 7, told.type)
    put_header(&pen, b"ce_time", 7, told.time)
    put_bytes(&pen, event.content.at, event.content.size)
    put_header(&pen, b"hr_name", 7, told.name)
    put_header(&pen, b"hr_user", 7, told.user)
    put_header(&pen, b"hr_anon", 7, told.anon)
    put_bytes(&pen, request.client.at, request.client.size)
    if event.sent:
        put_name(&pen, b"hr_sent", 7)
        put_varint(&pen, 8)
        put_big64(&pen, <uint64_t>event.sent_us)
    put_bytes(&pen, request.context.at, request.context.size)
    put_bytes(&pen, event.rear.at, event.rear.size)
    return pen
