"""One record by itself, for the Cython pack."""

from _native.batch_c cimport RecordBatch
from _native.pack_writer_c cimport Writer


cdef RecordBatch put_one(Writer writer, one, sent_us, flags)
