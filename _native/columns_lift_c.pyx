"""Inside decode, the Cython twin: takes the payload of a row, fills the cells of its promoted columns.

`columns_promoted_py` is the specification. The payload is walked as the scan walks a body; no object is made
and the interpreter's lock is not needed. One state serves one feed at a time.
"""

from libc.stdint cimport int64_t
from libc.stdlib cimport calloc, free, realloc

from _native.columns_buffers_c cimport HEADRACE_NO_MEMORY, headrace_cell
from _native.scan_c cimport Compiled
from _native.scan_tokens cimport (
    ABSENT,
    FALSE,
    NULLED,
    NUMBER,
    OBJECT,
    STRING,
    STRING_ESCAPED,
    TRUE,
    unescape,
)
from _native.scan_walk cimport FOUND, Cell, Rows, Walk, judge

from _native.cells import BODY_BYTES_MAX, DEPTH_MAX
from _native.columns_layout import DECIMAL_DIGITS, DECIMAL_SCALE, PROMOTED_MAX
from _native.columns_promoted_py import COLUMN_NULLED, Promotion

cdef extern from "columns_promoted.h":
    const int COLUMNS_LANDED, AT_PAYLOAD, AT_FLAGS, HEADRACE_COLUMNS_MAX
    const int HEADRACE_WRONG, HEADRACE_READ, HEADRACE_ASK
    const int HEADRACE_DECIMAL_DIGITS, HEADRACE_DECIMAL_SCALE, HEADRACE_COLUMN_NULLED
    const unsigned char *headrace_set
    int headrace_promoted_prepare() noexcept nogil
    int headrace_int64_of(const unsigned char *at, size_t size, int64_t *value) noexcept nogil
    int headrace_double_of(const unsigned char *at, size_t size, int64_t *bits) noexcept nogil
    int headrace_decimal_of(const unsigned char *at, size_t size, unsigned char *out) noexcept nogil
    ctypedef struct headrace_time_day:
        pass
    int headrace_timestamp_of(
        const unsigned char *at, size_t size, headrace_time_day *day, int64_t *micros
    ) noexcept nogil
    int headrace_promoted_date_of(const unsigned char *at, size_t size, int64_t *days) noexcept nogil

cdef enum Type:
    AS_STRING
    AS_BOOL
    AS_INT64
    AS_DOUBLE
    AS_DECIMAL
    AS_TIMESTAMP
    AS_DATE
    AS_JSON

cdef dict TYPES = {
    "string": AS_STRING,
    "bool": AS_BOOL,
    "int64": AS_INT64,
    "double": AS_DOUBLE,
    "decimal": AS_DECIMAL,
    "timestamp": AS_TIMESTAMP,
    "date": AS_DATE,
    "json": AS_JSON,
}
cdef Py_ssize_t PAYLOAD_BYTES_MAX = BODY_BYTES_MAX
cdef Py_ssize_t LEVELS_MAX = DEPTH_MAX

if not headrace_promoted_prepare():
    raise ImportError("the C library has no locale C")
if (HEADRACE_DECIMAL_DIGITS, HEADRACE_DECIMAL_SCALE) != (DECIMAL_DIGITS, DECIMAL_SCALE):
    raise ImportError("columns_promoted.h has other decimals than _native/columns_layout.py")
if HEADRACE_COLUMN_NULLED != COLUMN_NULLED or COLUMNS_LANDED + PROMOTED_MAX > HEADRACE_COLUMNS_MAX:
    raise ImportError("columns_promoted.h has other bounds than _native/columns_layout.py")

# What one promoted column is, and how often it was null because of another type.
cdef struct Lifted:
    Type type
    bint wrong
    int64_t nulled
    unsigned char decimal[16]
    headrace_time_day day

cdef struct State:
    int count
    Lifted *columns
    Walk walk
    Rows rows
    unsigned char *unescaped  # memory for the strings of one payload
    size_t unescaped_size, unescaped_room


cdef class Lift:
    """The promoted columns of a decoder, ready for the loop over records."""

    def __cinit__(self, promotion):
        cdef Compiled compiled = Compiled(promotion.spec)
        cdef State *state = <State *>calloc(1, sizeof(State))
        self.state = state
        self.compiled, self.columns = compiled, tuple(promotion.columns)
        if state == NULL:
            raise MemoryError("no memory for promoted columns")
        state.count = len(self.columns)
        state.columns = <Lifted *>calloc(state.count, sizeof(Lifted))
        state.walk.shape = &compiled.shape
        state.walk.depth_max, state.walk.opened_max = LEVELS_MAX, LEVELS_MAX + 1
        state.walk.rows = &state.rows
        state.walk.top = <Cell *>calloc(compiled.shape.slots, sizeof(Cell))
        state.walk.key = <unsigned char *>calloc(6, compiled.shape.key_bytes_max + 1)
        state.walk.opened = <unsigned char *>calloc(1, LEVELS_MAX + 1)
        if not (state.columns and state.walk.top and state.walk.key and state.walk.opened):
            raise MemoryError("no memory for promoted columns")
        for at, column in enumerate(self.columns):
            state.columns[at].type = TYPES[column.type]

    def __dealloc__(self):
        cdef State *state = <State *>self.state
        if state == NULL:
            return
        free(state.columns)
        free(state.walk.top)
        free(state.walk.key)
        free(state.walk.opened)
        free(state.unescaped)
        free(state)

    cdef void begin(self) noexcept:
        cdef State *state = <State *>self.state
        cdef int at
        for at in range(state.count):
            state.columns[at].nulled = 0

    cdef dict counted(self):
        cdef State *state = <State *>self.state
        return {
            column.name: state.columns[at].nulled
            for at, column in enumerate(self.columns)
            if state.columns[at].nulled
        }


cdef int lift(void *context, headrace_cell *cells) noexcept nogil:
    """See `lift_cells`."""
    cdef State *state = <State *>context
    cdef headrace_cell *values = cells + COLUMNS_LANDED
    cdef const headrace_cell *payload = cells + AT_PAYLOAD
    cdef int at, told
    cdef bint readable
    for at in range(state.count):
        values[at].at, values[at].number = NULL, 0
    if payload.at == NULL:
        return 0
    told = walked(state, payload.at, payload.number, &readable)
    if told:
        return told
    for at in range(state.count):
        state.columns[at].wrong = not readable
        if readable and state.walk.top[at].kind != ABSENT and state.walk.top[at].kind != NULLED:
            told = read_cell(state, &state.walk.top[at], &state.columns[at], &values[at])
            if told == HEADRACE_ASK:
                return 1
            state.columns[at].wrong = told == HEADRACE_WRONG
            if told == HEADRACE_WRONG:
                values[at].at = NULL
    for at in range(state.count):
        if state.columns[at].wrong:
            state.columns[at].nulled += 1
            cells[AT_FLAGS].number |= HEADRACE_COLUMN_NULLED
    return 0


cdef int walked(State *state, const unsigned char *data, int64_t size, bint *readable) noexcept nogil:
    """Walks a payload: its cells stand in `walk.top`, and there is memory for its strings."""
    cdef Walk *walk = &state.walk
    cdef size_t needed = 0
    cdef unsigned char *memory
    cdef int at
    readable[0] = False
    if size > PAYLOAD_BYTES_MAX:
        return 0
    walk.data, walk.size, walk.reason = data, <Py_ssize_t>size, FOUND
    walk.cell.kind = ABSENT
    for at in range(state.count):
        walk.top[at].kind = ABSENT
    judge(walk)
    if walk.reason != FOUND or walk.cell.kind != OBJECT:
        return 0
    readable[0] = True
    for at in range(state.count):
        if walk.top[at].kind == STRING_ESCAPED:
            needed += <size_t>(walk.top[at].end - walk.top[at].start)
    if needed > state.unescaped_room:
        memory = <unsigned char *>realloc(state.unescaped, needed)
        if memory == NULL:
            return HEADRACE_NO_MEMORY
        state.unescaped, state.unescaped_room = memory, needed
    state.unescaped_size = 0
    return 0


cdef inline int read_cell(
    State *state, const Cell *cell, Lifted *column, headrace_cell *value
) noexcept nogil:
    """The value of a column whose JSON stands in `cell`, which is neither absent nor null."""
    cdef const unsigned char *start = state.walk.data + cell.start
    cdef size_t size = <size_t>(cell.end - cell.start)
    cdef bint quoted = cell.kind == STRING or cell.kind == STRING_ESCAPED
    cdef bint number = cell.kind == NUMBER
    value.at = headrace_set
    if column.type == AS_JSON:
        value.at, value.number = start - quoted, <int64_t>size + 2 * quoted
        return HEADRACE_READ
    if column.type == AS_BOOL:
        value.number = cell.kind == TRUE
        return HEADRACE_READ if cell.kind == TRUE or cell.kind == FALSE else HEADRACE_WRONG
    if column.type == AS_DATE:
        if cell.kind != STRING:
            return HEADRACE_WRONG
        return headrace_promoted_date_of(start, size, &value.number)
    if column.type == AS_DECIMAL:
        if cell.kind != STRING and not number:
            return HEADRACE_WRONG
        value.at = column.decimal
        return headrace_decimal_of(start, size, column.decimal)
    if cell.kind == STRING_ESCAPED and (column.type == AS_STRING or column.type == AS_TIMESTAMP):
        value.at = state.unescaped + state.unescaped_size
        size = <size_t>unescape(state.walk.data, cell.start, cell.end, <unsigned char *>value.at)
        state.unescaped_size += size
        start = value.at
    if column.type == AS_STRING:
        value.at, value.number = start, <int64_t>size
        return HEADRACE_READ if quoted else HEADRACE_WRONG
    if column.type == AS_TIMESTAMP:
        value.at = headrace_set
        if not quoted and not number:
            return HEADRACE_WRONG
        return headrace_timestamp_of(start, size, &column.day, &value.number)
    if not number:
        return HEADRACE_WRONG
    if column.type == AS_INT64:
        return headrace_int64_of(start, size, &value.number)
    return headrace_double_of(start, size, &value.number)


lift_function = lift
