"""Inside pack, the Cython twin: takes what is known of a record, gives it to the batch of its Kafka partition.

The specification is `pack_record_py` and the Writer of `pack_py`. A record is counted first and then written
in one go into the batch; between the two nothing can fail.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.long cimport PyLong_AsUnsignedLongLongMask
from cpython.mem cimport PyMem_RawCalloc, PyMem_RawFree, PyMem_RawMalloc
from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memcpy

from _native.batch_c cimport (
    Pen, RecordBatch, put_big32, put_big64, put_byte, put_bytes, put_sized, put_varint, sized_bytes,
    varint_bytes,
)
from _native.hash_c cimport murmur2_of

from _native import batch_py, pack_py, timestamp
from _native.pack_record_py import EARLY_US_MAX, LATE_US_MAX, RESERVED, legible
from _native.pack_stamp import BOOT_BYTES
from _native.record import FIELD_BYTES_MAX, SPECVERSION, TYPE_UNKNOWN, Flags

cdef extern from "pack_time.h" nogil:
    const int HEADRACE_TIME_READ, HEADRACE_TIME_ODD
    const int64_t HEADRACE_TIME_MIN_US, HEADRACE_TIME_END_US
    int headrace_time_of_client(
        const unsigned char *at, size_t size, headrace_time_day *day, int64_t *micros
    ) noexcept
    void headrace_time_put(int64_t micros, headrace_time_day *day, unsigned char *out) noexcept

cdef extern from "utf8.h" nogil:
    bint headrace_utf8_valid(const unsigned char *at, size_t size) noexcept

cdef enum:
    ID_MADE = 1 << 0
    TYPE_MISSING = 1 << 1
    KEY_IS_USER = 1 << 2
    KEY_IS_ANON = 1 << 3
    TIME_CORRECTED = 1 << 4
    TIME_SUSPECT = 1 << 5
    TIME_UNREADABLE = 1 << 6
    FIELD_CUT = 1 << 7
    MADE_ID_BYTES = 40  # boot id in hex 16, hyphen 1, number at most 20
    TIME_BYTES = 27
    RECORD_OVERHEAD = 21
    REQUEST_BYTES = 400  # of what a request says: names, lengths and fixed values

cdef Py_ssize_t CUT = FIELD_BYTES_MAX
cdef int64_t EARLY_US = EARLY_US_MAX
cdef int64_t LATE_US = LATE_US_MAX
cdef bytes VERSION = SPECVERSION
cdef bytes UNKNOWN = TYPE_UNKNOWN

# What is written twice is compared once.
if (
    ID_MADE | TYPE_MISSING << 1 | KEY_IS_USER << 2 | KEY_IS_ANON << 3, TIME_CORRECTED | TIME_SUSPECT << 1,
    TIME_UNREADABLE | FIELD_CUT << 1,
) != (
    Flags.ID_MADE | Flags.TYPE_MISSING << 1 | Flags.KEY_IS_USER << 2 | Flags.KEY_IS_ANON << 3,
    Flags.TIME_CORRECTED | Flags.TIME_SUSPECT << 1, Flags.TIME_UNREADABLE | Flags.FIELD_CUT << 1,
):
    raise ImportError("pack_writer_c.pyx has other flags than _native/record.py")
if (BOOT, RECORD_OVERHEAD) != (BOOT_BYTES, batch_py.RECORD_OVERHEAD_BYTES):
    raise ImportError("pack_writer_c.pyx has other sizes than pack_stamp.py and batch_py.py")
if (HEADRACE_TIME_MIN_US, HEADRACE_TIME_END_US) != (timestamp.MIN_US, timestamp.MAX_US):
    raise ImportError("pack_time.h has other bounds than _native/timestamp.py")

cdef inline Slice slice_of(bytes text) noexcept:
    """The bytes of a text that somebody holds; empty for None."""
    if text is None:
        return Slice(NULL, 0)
    return Slice(<const unsigned char *>PyBytes_AS_STRING(text), len(text))


cdef inline tuple fields_of(told):
    """A Stamp's or a One's fields, in order."""
    if not isinstance(told, tuple):
        raise TypeError(f"expected a Stamp or a One, got {type(told).__name__}")
    return <tuple>told


cdef bytes readable(text):
    """`legible`, without a call where the text is UTF-8."""
    cdef bytes found = text
    if found is None or headrace_utf8_valid(<const unsigned char *>PyBytes_AS_STRING(found), len(found)):
        return found
    return legible(found)


cdef inline Slice cut(Slice text, uint32_t *flags) noexcept nogil:
    """At most FIELD_BYTES_MAX bytes of a text, cut between characters."""
    if text.size > CUT:
        flags[0] |= FIELD_CUT
        text.size = CUT
        while text.size and text.at[text.size] & 0xC0 == 0x80:
            text.size -= 1
    return text


cdef inline Py_ssize_t header_bytes(Py_ssize_t name, Py_ssize_t text) noexcept nogil:
    """Bytes of a header whose name has fewer than 64 bytes; none without a text."""
    return 1 + name + sized_bytes(text) if text else 0


cdef inline void put_name(Pen *pen, const char *name, Py_ssize_t size) noexcept nogil:
    put_byte(pen, <unsigned char>(2 * size))
    put_bytes(pen, <const unsigned char *>name, size)


cdef inline void put_header(Pen *pen, const char *name, Py_ssize_t size, Slice text) noexcept nogil:
    if text.size:
        put_name(pen, name, size)
        put_sized(pen, text.at, text.size)


cdef Block block_from(const unsigned char *start, Pen *pen, int count) noexcept nogil:
    """What the pen wrote from `start` on."""
    return Block(start, pen.at - start, count)


cdef bytes encoded(bytes name, bytes text):
    """One header."""
    cdef bytes out = PyBytes_FromStringAndSize(NULL, sized_bytes(len(name)) + sized_bytes(len(text)))
    cdef Pen pen
    pen.at, pen.over = <unsigned char *>PyBytes_AS_STRING(out), False
    pen.end = pen.at + len(out)
    put_sized(&pen, <const unsigned char *>PyBytes_AS_STRING(name), len(name))
    put_sized(&pen, <const unsigned char *>PyBytes_AS_STRING(text), len(text))
    assert not pen.over and pen.at == pen.end
    return out


cdef inline Block block_of(bytes headers, int count) noexcept:
    return Block(<const unsigned char *>PyBytes_AS_STRING(headers), len(headers), count)


cdef class Writer:
    """Numbers records and appends them to the batch of their Kafka partition. Serves one call."""

    def __cinit__(self, stamp, batches, Py_ssize_t scratch_bytes):
        """The caller has checked the stamp."""
        cdef bytes boot, source, dialect, ack, ip, agent, context, content, type_, user, anon
        (
            boot, number, received_us, source, dialect, ack, _, flags, self.by_anonymous, ip, agent, sent_us,
            context, content, type_, user, anon, _, _,
        ) = fields_of(stamp)
        agent, content = readable(agent), readable(content)
        type_, user, anon = readable(type_), readable(user), readable(anon)
        self.batches = batches
        self.partitions = batches.partitions
        self.touched = []
        self.kept = (type_, user, anon)
        self.type_default, self.user_default = slice_of(type_), slice_of(user)
        self.anon_default = slice_of(anon)
        self.number, self.received_us = number, received_us
        self.flags = <uint32_t>PyLong_AsUnsignedLongLongMask(flags)
        self.sent = sent_us is not None
        self.sent_us = sent_us if self.sent else 0
        self.encode(
            slice_of(boot), slice_of(source), slice_of(dialect), slice_of(ack), slice_of(ip), slice_of(agent),
            slice_of(context), slice_of(content), scratch_bytes,
        )
        if self.partitions > 0:
            self.open_batches = <PyObject **>PyMem_RawCalloc(self.partitions, sizeof(PyObject *))
            if self.open_batches == NULL:
                raise MemoryError

    def __dealloc__(self):
        PyMem_RawFree(self.open_batches)
        PyMem_RawFree(self.memory)

    cdef int encode(
        self, Slice boot, Slice source, Slice dialect, Slice ack, Slice ip, Slice agent, Slice context,
        Slice content, Py_ssize_t scratch_bytes,
    ) except -1:
        """Everything that stands in each record alike."""
        cdef Py_ssize_t size = REQUEST_BYTES + 2 * source.size + dialect.size + ack.size + ip.size
        cdef Pen pen
        cdef unsigned char *start
        cdef int at
        size += agent.size + context.size + content.size
        self.memory = <unsigned char *>PyMem_RawMalloc(size + scratch_bytes)
        if self.memory == NULL:
            raise MemoryError
        self.scratch = self.memory + size
        pen.at, pen.end, pen.over = self.memory, self.scratch, False
        start = pen.at
        put_name(&pen, b"hr_seq", 6)
        put_varint(&pen, BOOT + 8)
        put_bytes(&pen, boot.at, BOOT)
        self.seq = block_from(start, &pen, 1)
        start = pen.at
        put_name(&pen, b"hr_time", 7)
        put_varint(&pen, 8)
        put_big64(&pen, <uint64_t>self.received_us)
        put_header(&pen, b"hr_source", 9, source)
        put_header(&pen, b"hr_dialect", 10, dialect)
        put_header(&pen, b"hr_ack", 6, ack)
        put_name(&pen, b"hr_flags", 8)
        put_varint(&pen, 4)
        self.fixed = block_from(start, &pen, 2 + (source.size > 0) + (dialect.size > 0) + (ack.size > 0))
        start = pen.at
        put_header(&pen, b"ce_specversion", 14, slice_of(VERSION))
        self.version = block_from(start, &pen, 1)
        start = pen.at
        put_header(&pen, b"ce_source", 9, source)
        self.source = block_from(start, &pen, source.size > 0)
        start = pen.at
        put_header(&pen, b"content-type", 12, content)
        self.content = block_from(start, &pen, content.size > 0)
        start = pen.at
        put_header(&pen, b"hr_ip", 5, ip)
        put_header(&pen, b"hr_ua", 5, cut(agent, &self.flags))
        self.client = block_from(start, &pen, (ip.size > 0) + (agent.size > 0))
        start = pen.at
        put_header(&pen, b"hr_ctx", 6, context)
        self.context = block_from(start, &pen, context.size > 0)
        assert not pen.over
        for at in range(BOOT):
            self.boot_hex[2 * at] = b"0123456789abcdef"[boot.at[at] >> 4]
            self.boot_hex[2 * at + 1] = b"0123456789abcdef"[boot.at[at] & 15]
        return 0

    cdef Slice made_id(self, unsigned char *out) noexcept nogil:
        """<boot id in hex>-<number>, in `out` of MADE_ID_BYTES bytes."""
        cdef Py_ssize_t at = MADE_ID_BYTES
        cdef uint64_t rest = self.number
        while True:
            at -= 1
            out[at] = c'0' + <unsigned char>(rest % 10)
            rest //= 10
            if not rest:
                break
        at -= 1
        out[at] = c'-'
        at -= 2 * BOOT
        memcpy(out + at, self.boot_hex, 2 * BOOT)
        return Slice(out + at, MADE_ID_BYTES - at)

    cdef void begin(self, Event *event) noexcept nogil:
        """An event of which only is known what the request says; its texts and value are to be filled in."""
        event.version, event.source, event.content = &self.version, &self.source, &self.content
        event.rear = &self.nothing
        event.flags, event.sent, event.sent_us = 0, self.sent, self.sent_us

    cdef RecordBatch put(self, Event *event):
        """Append one record; its number is taken only by this."""
        cdef unsigned char made[MADE_ID_BYTES]
        cdef unsigned char time[TIME_BYTES]
        cdef Told told
        cdef RecordBatch batch
        cdef Pen pen
        self.tell(event, made, time, &told)
        self.measure(event, &told)
        batch = self.batch_for(told.key, RECORD_OVERHEAD + told.size)
        pen.at = batch.new_record(told.size, self.received_us // 1000)
        if pen.at == NULL:
            raise RuntimeError(pack_py.NO_ROOM)
        pen.end, pen.over = pen.at + told.size, False
        pen = self.write(event, &told, pen)
        assert not pen.over and pen.at == pen.end
        self.number += 1
        return batch

    cdef int tell(self, const Event *event, unsigned char *made, unsigned char *time, Told *told) except -1:
        """What the record says; a made id and the time are written to `made` and `time`."""
        cdef uint32_t flags = event.flags | self.flags
        told.id = cut(event.id, &flags)
        told.type = cut(event.type if event.type.size else self.type_default, &flags)
        told.name = cut(event.name, &flags)
        told.user = cut(event.user if event.user.size else self.user_default, &flags)
        told.anon = cut(event.anon if event.anon.size else self.anon_default, &flags)
        told.time = Slice(time, self.event_time(event, time, &flags))
        if not told.id.size:
            told.id = self.made_id(made)
            flags |= ID_MADE
        if not told.type.size:
            told.type = slice_of(UNKNOWN)
            flags |= TYPE_MISSING
        told.key = told.id
        if told.anon.size and (self.by_anonymous or not told.user.size):
            told.key = told.anon
            told.anon.size = 0
            flags |= KEY_IS_ANON
        elif told.user.size:
            told.key = told.user
            told.user.size = 0
            flags |= KEY_IS_USER
        told.flags = flags
        return 0

    cdef void measure(self, const Event *event, Told *told) noexcept nogil:
        """Counts what `write` writes."""
        cdef int count = self.seq.count + self.fixed.count + self.client.count + self.context.count
        cdef Py_ssize_t size = self.seq.size + 8 + self.fixed.size + 4 + self.client.size + self.context.size
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

    cdef Pen write(self, const Event *event, const Told *told, Pen pen) noexcept nogil:
        """Key, value and headers, in the order of `_native.record.HEADERS`."""
        put_sized(&pen, told.key.at, told.key.size)
        put_sized(&pen, event.value.at, event.value.size)
        put_varint(&pen, told.count)
        put_bytes(&pen, self.seq.at, self.seq.size)
        put_big64(&pen, self.number)
        put_bytes(&pen, self.fixed.at, self.fixed.size)
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
        put_bytes(&pen, self.client.at, self.client.size)
        if event.sent:
            put_name(&pen, b"hr_sent", 7)
            put_varint(&pen, 8)
            put_big64(&pen, <uint64_t>event.sent_us)
        put_bytes(&pen, self.context.at, self.context.size)
        put_bytes(&pen, event.rear.at, event.rear.size)
        return pen

    cdef RecordBatch batch_for(self, Slice key, Py_ssize_t size):
        """The batch at hand of the key's Kafka partition, or the one that is opened instead."""
        cdef RecordBatch batch
        cdef Py_ssize_t partition
        if self.partitions < 1:
            raise ValueError(f"expected at least 1 Kafka partition, got {self.partitions}")
        partition = <Py_ssize_t>(murmur2_of(key.at, key.size) & 0x7FFFFFFF) % self.partitions
        if self.open_batches[partition] != NULL:
            batch = <RecordBatch>self.open_batches[partition]
            if batch.size_now() + size <= batch.bytes_max:
                return batch
        batch = <RecordBatch?>self.batches.open(partition, size)
        if not any([batch is other for other in self.touched]):
            self.touched.append(batch)
        self.open_batches[partition] = <PyObject *>batch
        return batch

    cdef Py_ssize_t event_time(self, const Event *event, unsigned char *out, uint32_t *flags) except -1:
        """Writes the event's time to `out`, TIME_BYTES or none."""
        cdef int64_t client_us, at_us
        cdef bytes text
        if not event.time.size:
            return 0
        if not self.time_of(event.time, &client_us):
            flags[0] |= TIME_UNREADABLE
            return 0
        at_us = self.received_us - (event.sent_us - client_us)
        if event.sent and HEADRACE_TIME_MIN_US <= at_us < HEADRACE_TIME_END_US:
            flags[0] |= TIME_CORRECTED
        else:
            at_us = client_us
            if not self.received_us - EARLY_US <= client_us <= self.received_us + LATE_US:
                flags[0] |= TIME_SUSPECT
        if at_us >= 0:
            headrace_time_put(at_us, &self.day, out)
        else:
            text = timestamp.rfc3339(at_us)
            memcpy(out, PyBytes_AS_STRING(text), TIME_BYTES)
        return TIME_BYTES

    cdef bint time_of(self, Slice text, int64_t *micros) except -1:
        """`parse_us`: whether the text is a time, and which."""
        cdef int found = headrace_time_of_client(text.at, text.size, &self.day, micros)
        if found != HEADRACE_TIME_ODD:
            return found == HEADRACE_TIME_READ
        moment = timestamp.parse_us(text.at[:text.size])
        if moment is None:
            return False
        micros[0] = moment
        return True

    cdef RecordBatch put_one(self, one, sent_us, flags):
        """Append a record that is told in Python objects."""
        cdef bytes content, id_, type_, name, user, anon, time, reason, version = None, source = None
        cdef Event event
        cdef Block own_version, own_source, own_content, own_rear
        cdef Py_buffer view
        cdef list rear = []
        value, content, id_, type_, name, user, anon, time, extra, reason, position = fields_of(one)
        self.begin(&event)
        event.id, event.type, event.name = slice_of(id_), slice_of(type_), slice_of(name)
        event.user, event.anon, event.time = slice_of(user), slice_of(anon), slice_of(time)
        event.flags = flags
        event.sent = sent_us is not None
        event.sent_us = sent_us if event.sent else 0
        content = encoded(b"content-type", content) if content else b""
        own_content = block_of(content, len(content) > 0)
        event.content = &own_content
        if reason:
            rear.append(encoded(b"hr_reason", reason))
        if position is not None:
            rear.append(encoded(b"hr_position", position.to_bytes(4, "big", signed=True)))
        for key, text in extra:
            if not text:
                continue
            if key not in RESERVED:
                rear.append(encoded(key, text))
            elif key == b"ce_specversion":
                version = encoded(key, text)
            elif key == b"ce_source":
                source = encoded(key, text)
        headers = b"".join(rear)
        own_rear = block_of(headers, len(rear))
        event.rear = &own_rear
        if version is not None:
            own_version = block_of(version, 1)
            event.version = &own_version
        if source is not None:
            own_source = block_of(source, 1)
            event.source = &own_source
        PyObject_GetBuffer(value, &view, PyBUF_SIMPLE)
        try:
            event.value = Slice(<const unsigned char *>view.buf, view.len)
            return self.put(&event)
        finally:
            PyBuffer_Release(&view)
