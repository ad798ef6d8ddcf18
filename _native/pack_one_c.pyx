"""Inside pack, the Cython twin: takes one record that is told in Python objects, gives it to the writer.

A binary CloudEvent, an event taken out of a structured one, what goes to the quarantine: their headers may go
beyond those that a request says for all, so they are encoded for the one record.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize

from _native.batch_c cimport Pen, RecordBatch, put_sized, sized_bytes
from _native.pack_headers cimport Block, Slice, slice_of
from _native.pack_record cimport Event, begin
from _native.pack_writer_c cimport Writer, fields_of

from _native.pack_record_py import RESERVED


cdef RecordBatch put_one(Writer writer, one, sent_us, flags):
    """Appends a record; the texts of `one` are UTF-8."""
    cdef bytes content, id_, type_, name, user, anon, time, reason, version = None, source = None
    cdef Event event
    cdef Block own_version, own_source, own_content, own_rear
    cdef Py_buffer view
    cdef list rear = []
    value, content, id_, type_, name, user, anon, time, extra, reason, position = fields_of(one)
    begin(&writer.request, &event)
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
        return writer.put(&event)
    finally:
        PyBuffer_Release(&view)


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
