"""Between decode and parquet, the Cython twin: names, results and errors of `columns_buffers_py`, the
specification. The memory is in columns_table.h; buffers are given as views of it that hold it where it is.
"""

from cpython.buffer cimport PyBUF_WRITABLE, PyBuffer_FillInfo
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_Check, PyBytes_GET_SIZE
from libc.stdint cimport int32_t, int64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy

from _native.columns_layout import LANDED, QUARANTINE, ColumnView
from _native.columns_layout import Column as LayoutColumn

cdef extern from "columns_spare.h":
    size_t headrace_table_take(headrace_table *table) noexcept
    void headrace_table_give(headrace_table *table, size_t taken) noexcept

cdef dict KINDS = {
    "text": HEADRACE_TEXT,
    "bytes": HEADRACE_TEXT,
    "map": HEADRACE_MAP,
    "int32": HEADRACE_INT32,
    "int64": HEADRACE_INT64,
    "time": HEADRACE_INT64,
    "date": HEADRACE_INT32,
    "bool": HEADRACE_BOOL,
    "double": HEADRACE_INT64,
    "decimal": HEADRACE_DECIMAL,
}
cdef tuple NAMES = tuple(column.name for column in QUARANTINE)
cdef object PAIR_KEY = LayoutColumn("key", "text")
cdef object PAIR_VALUE = LayoutColumn("value", "text")
cdef const unsigned char *EMPTY = b""

cdef enum Part:
    VALIDITY
    FIXED
    HEAP


cdef int raise_failed(int failed) except -1:
    if failed == HEADRACE_NO_MEMORY:
        raise MemoryError("no memory for the rows of a table")
    if failed == HEADRACE_TOO_LARGE:
        raise OverflowError("more than 2 GiB in one column: land the table at BUFFER_BYTES_MAX")
    return 0


cdef class _Buffer:
    """One buffer of a column, for as long as a view of it is held."""

    cdef ColumnBuffers owner
    cdef headrace_column *column
    cdef size_t *rows
    cdef Part part

    def __getbuffer__(self, Py_buffer *view, int flags):
        # Asked of the column now, not when this object was made: the memory may have moved between.
        cdef unsigned char *start
        cdef size_t size
        if self.part == VALIDITY:
            start, size = self.column.validity, (self.rows[0] + 7) // 8
        elif self.part == FIXED:
            start, size = self.column.fixed, headrace_fixed_bytes(self.column.kind, self.rows[0])
        else:
            start, size = self.column.heap, self.column.heap_size
        if flags & PyBUF_WRITABLE == PyBUF_WRITABLE or self.owner.feeds:
            raise BufferError("the buffers of a table can be read only, and not while they are fed")
        if start == NULL:
            start = <unsigned char *>EMPTY
        PyBuffer_FillInfo(view, self, start, <Py_ssize_t>size, 1, flags)
        self.owner.exports += 1

    def __releasebuffer__(self, Py_buffer *view):
        self.owner.exports -= 1


cdef class ColumnBuffers:
    """Rows of one lane, hour and table in the order of appending; `quarantine`: the table with a reason.

    `columns` are promoted ones, behind those that every table has; the quarantine has none. Land it at
    BUFFER_BYTES_MAX bytes at the latest. Once `buffers()` views are held, appending raises BufferError.
    """

    def __cinit__(self, *, quarantine=False, columns=()):
        self.quarantine = quarantine
        self.layout = QUARANTINE if quarantine else (*LANDED, *(column.column for column in columns))
        cdef headrace_table *table = &self.table
        table.columns = <headrace_column *>calloc(len(self.layout), sizeof(headrace_column))
        if table.columns == NULL:
            raise MemoryError("no memory for the columns of a table")
        table.count = len(self.layout)
        for at, column in enumerate(self.layout):
            table.columns[at].kind = KINDS[column.kind]
        table.keys.kind = table.values.kind = HEADRACE_TEXT
        self.taken = headrace_table_take(table)
        table.received_at = NAMES.index("received_at")
        table.partition_at = NAMES.index("kafka_partition")
        table.offset_at = NAMES.index("kafka_offset")
        cdef headrace_pair empty = headrace_pair(headrace_cell(EMPTY, 0), headrace_cell(EMPTY, 0))
        if not self.taken:
            raise_failed(headrace_table_grow(table) or headrace_pairs_reserve(table, &empty, 1))

    def __dealloc__(self):
        headrace_table_give(&self.table, self.taken)

    @property
    def rows(self):
        """How many there are."""
        return self.table.rows

    @property
    def received_us_min(self):
        """Earliest receive time; None without rows."""
        return self.table.received_min if self.table.rows else None

    @property
    def received_us_max(self):
        """Latest receive time; None without rows."""
        return self.table.received_max if self.table.rows else None

    @property
    def spans(self):
        """By Kafka partition: first offset, last offset + 1, rows."""
        cdef size_t at
        cdef headrace_span *span
        found = {}
        for at in range(self.table.spans_count):
            span = &self.table.spans[at]
            if span.rows:
                found[span.partition] = (span.first, span.next, span.rows)
        return found

    @property
    def nbytes(self):
        """Bytes of the buffers as they would be given now: what the memory budget and rolling count."""
        return headrace_table_bytes(&self.table)

    def append(self, row):
        """Add one row (its values in the order of the layout; further ones are left out)."""
        if self.feeds:
            raise BufferError("a decoder feeds this table")
        self.append_row(row)

    cdef int append_row(self, object row) except -1:
        cdef headrace_table *table = &self.table
        cdef headrace_pair *pairs = NULL
        cdef headrace_cell *cells = <headrace_cell *>calloc(table.count, sizeof(headrace_cell))
        cdef Py_ssize_t at, count = 0
        if cells == NULL:
            raise MemoryError("no memory for a row")
        held = []
        try:
            if self.exports:
                raise BufferError("views of this table are held: it can't grow")
            values = tuple(row)
            if len(values) < table.count:
                raise ValueError(f"expected {table.count} values, got {len(values)}")
            for at in range(table.count):
                if table.columns[at].kind == HEADRACE_MAP:
                    cells[at] = headrace_cell(EMPTY, 0)
                    names = [tuple(pair) for pair in values[at]]
                    count = len(names)
                    pairs = <headrace_pair *>calloc(count + 1, sizeof(headrace_pair))
                    if pairs == NULL:
                        raise MemoryError("no memory for a row")
                    for number, (name, value) in enumerate(names):
                        fill_text(&pairs[number].name, name, held)
                        fill_text(&pairs[number].value, value, held)
                else:
                    fill(&cells[at], self.layout[at].kind, values[at], held)
            for at in (table.received_at, table.partition_at, table.offset_at):
                if cells[at].at == NULL:
                    raise TypeError(f"{NAMES[at]} is null")
            raise_failed(headrace_table_append(table, cells, pairs, <size_t>count))
        finally:
            free(cells)
            free(pairs)
        return 0

    cdef int bind(self, int32_t partition) except -1:
        """A decoder begins to write rows of this Kafka partition; `unbind` ends it."""
        if self.exports or self.feeds:
            raise BufferError("views of this table are held, or it is fed: it can't grow")
        if headrace_span_of(&self.table, partition) == NULL:
            raise MemoryError("no memory for the spans of a table")
        self.feeds += 1
        return 0

    cdef void unbind(self) noexcept:
        self.feeds -= 1

    def buffers(self):
        """Every column's buffers, in order, without copying."""
        cdef int at
        views = []
        for at, column in enumerate(self.layout):
            if self.table.columns[at].kind == HEADRACE_MAP:
                offsets = view_of(self, &self.table.columns[at], &self.table.rows, FIXED)
                keys = column_view(self, PAIR_KEY, &self.table.keys, &self.table.pairs)
                values = column_view(self, PAIR_VALUE, &self.table.values, &self.table.pairs)
                views.append(ColumnView(*column, 0, None, offsets, None, (keys, values)))
            else:
                views.append(column_view(self, column, &self.table.columns[at], &self.table.rows))
        return views


cdef object column_view(ColumnBuffers owner, object layout, headrace_column *column, size_t *rows):
    validity = view_of(owner, column, rows, VALIDITY) if column.nulls else None
    offsets, data = None, view_of(owner, column, rows, FIXED)
    if column.kind == HEADRACE_TEXT:
        offsets, data = data, view_of(owner, column, rows, HEAP)
    return ColumnView(*layout, column.nulls, validity, offsets, data)


cdef object view_of(ColumnBuffers owner, headrace_column *column, size_t *rows, Part part):
    cdef _Buffer buffer = _Buffer()
    buffer.owner, buffer.column, buffer.rows, buffer.part = owner, column, rows, part
    return memoryview(buffer)


cdef int fill(headrace_cell *cell, kind, object value, list held) except -1:
    """The cell of a value; whatever keeps its bytes alive is added to `held`."""
    cdef int32_t narrow
    cdef double number
    if value is None:
        return 0
    if kind == "text" or kind == "bytes":
        return fill_text(cell, value, held)
    if kind == "decimal":
        return fill_text(cell, value.to_bytes(16, "little", signed=True), held)
    if kind == "double":
        number = value
        memcpy(&cell.number, &number, sizeof(number))
    elif kind == "bool":
        cell.number = bool(value)
    elif kind == "int32" or kind == "date":
        narrow = value
        cell.number = narrow
    else:
        cell.number = value
    cell.at = EMPTY
    return 0


cdef int fill_text(headrace_cell *cell, object value, list held) except -1:
    if not PyBytes_Check(value):
        value = bytes(memoryview(value))
    held.append(value)
    cell.at = <const unsigned char *>PyBytes_AS_STRING(value)
    cell.number = PyBytes_GET_SIZE(value)
    return 0
