"""What the Cython decoder uses of columns_walk.h and crc32c.h."""

from libc.stdint cimport int32_t, int64_t, uint32_t

from _native.columns_buffers_c cimport headrace_cell, headrace_table
from _native.columns_lift_c cimport lift_cells

cdef extern from "crc32c.h":
    void headrace_crc_prepare() noexcept nogil
    uint32_t headrace_crc32c(const unsigned char *data, size_t size) noexcept nogil

cdef extern from "columns_walk.h":
    const size_t HEADRACE_HEAD_BYTES
    const int HEADRACE_MAGIC, HEADRACE_ENDED, HEADRACE_ODD, HEADRACE_HOLE, HEADRACE_TABLE
    const int COLUMNS_QUARANTINE, HEADERS, AT_REASON, HEADRACE_CLOCK_AHEAD_US_MAX
    const char **headrace_header_names
    ctypedef struct headrace_slice:
        const unsigned char *at
        size_t size
    ctypedef struct headrace_batch:
        int64_t base_offset, first_timestamp, max_timestamp, producer_id
        int32_t leader_epoch, last_delta, record_count
        int magic, attributes
        uint32_t crc
        size_t start, end
    ctypedef struct headrace_place:
        int32_t incarnation, partition
        int64_t grace_us, time_us_max
        int quarantine
    ctypedef struct headrace_row:
        headrace_cell *cells
    ctypedef struct headrace_bound:
        int64_t hour, rows
        headrace_table *table
    ctypedef struct headrace_walk:
        headrace_place place
        headrace_row row
        lift_cells lift
        void *lift_context
        const unsigned char *data
        size_t size, at, stop, rest
        int64_t base_offset, first_timestamp, max_timestamp, least
        int32_t last_delta, record_count, count
        int append_time
        int64_t next_offset, offset, appended_us, hour, rows
    bint headrace_headers_prepare() noexcept
    int headrace_read_batch(
        const unsigned char *data, size_t size, size_t at, int64_t offset_max, headrace_batch *batch
    ) noexcept nogil
    int64_t headrace_batch_next(const headrace_batch *batch) noexcept nogil
    int64_t headrace_batch_believed(
        const headrace_batch *batch, const unsigned char *data, size_t size, int64_t offset_max
    ) noexcept nogil
    int64_t headrace_micros(int64_t millis, int64_t micros_max) noexcept nogil
    int64_t headrace_place_row(headrace_cell *cells, int64_t grace_us) noexcept nogil
    void headrace_bind(headrace_walk *walk, headrace_bound *bound) noexcept nogil
    void headrace_pass(headrace_walk *walk) noexcept nogil
    int headrace_walk_records(headrace_walk *walk) noexcept nogil
    void headrace_blank_row(
        headrace_row *row, const headrace_place *place, int64_t offset, int64_t appended_us,
        headrace_slice payload_bytes, headrace_slice reason,
    ) noexcept nogil
