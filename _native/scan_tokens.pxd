"""The tokens of JSON (RFC 8259), for the Cython scan: takes a place in a body, gives where a token ends.

`data` has `size` bytes; every function reads only below it, whatever `at` is (0 <= at <= size). None
allocates, raises or needs the GIL.
"""

from libc.stdint cimport int32_t, uint32_t
from libc.string cimport memcmp, memcpy

ctypedef const unsigned char *Bytes

cdef extern from "scan_simd.h" nogil:
    ctypedef unsigned long long headrace_mask
    const int HEADRACE_STEP
    const char *HEADRACE_SCAN_WAY
    bint headrace_likely(bint condition) noexcept
    int headrace_first(headrace_mask mask) noexcept
    headrace_mask headrace_specials(const unsigned char *at) noexcept
    headrace_mask headrace_highs(const unsigned char *at) noexcept
    headrace_mask headrace_blacks(const unsigned char *at) noexcept

cdef extern from "utf8.h" nogil:
    Py_ssize_t character_end "headrace_utf8_end"(Bytes data, Py_ssize_t at, Py_ssize_t size) noexcept


# The kinds of `cells`, in C; a test compares them.
cdef enum Kind:
    ABSENT = 0
    STRING = 1
    STRING_ESCAPED = 2
    NUMBER = 3
    TRUE = 4
    FALSE = 5
    NULLED = 6
    OBJECT = 7
    ARRAY = 8


cdef inline unsigned char byte_at(Bytes data, Py_ssize_t at, Py_ssize_t size) noexcept nogil:
    """The byte, or NUL behind the last: no token takes a NUL."""
    return data[at] if headrace_likely(at < size) else 0


cdef inline bint is_digit(unsigned char byte) noexcept nogil:
    return <unsigned char>(byte - c'0') <= 9


cdef inline int hex_of(unsigned char byte) noexcept nogil:
    """The value of a hexadecimal digit, -1 for another byte."""
    if is_digit(byte):
        return byte - c'0'
    byte |= 0x20
    return byte - c'a' + 10 if c'a' <= byte <= c'f' else -1


cdef inline bint is_blank(unsigned char byte) noexcept nogil:
    return byte == c' ' or byte == c'\n' or byte == c'\r' or byte == c'\t'


cdef inline Py_ssize_t space_end(Bytes data, Py_ssize_t at, Py_ssize_t size) noexcept nogil:
    """The first byte from `at` on that is no white space."""
    cdef headrace_mask blacks
    if at < size and headrace_likely(data[at] > 0x20):
        return at
    if at + 1 < size and data[at] == c' ' and data[at + 1] > 0x20:
        return at + 1
    while at + HEADRACE_STEP <= size:
        blacks = headrace_blacks(data + at)
        if blacks:
            return at + headrace_first(blacks)
        at += HEADRACE_STEP
    while at < size and is_blank(data[at]):
        at += 1
    return at


cdef inline Py_ssize_t utf8_end(Bytes data, Py_ssize_t at, Py_ssize_t size) noexcept nogil:
    """The first byte that is not UTF-8, size where there is none."""
    cdef Py_ssize_t end
    cdef headrace_mask highs
    while at < size:
        if at + HEADRACE_STEP <= size:
            highs = headrace_highs(data + at)
            if not highs:
                at += HEADRACE_STEP
                continue
            at += headrace_first(highs)
        if data[at] < 0x80:
            at += 1
            continue
        end = character_end(data, at, size)
        if end == at:
            return at
        at = end
    return size


cdef inline Py_ssize_t escape_end(Bytes data, Py_ssize_t at, Py_ssize_t size) noexcept nogil:
    """The byte after the escape whose backslash stands at `at`; `at` where it is none."""
    cdef unsigned char byte = byte_at(data, at + 1, size)
    if byte == c'u':
        if at + 6 > size or hex_of(data[at + 2]) < 0 or hex_of(data[at + 3]) < 0:
            return at
        return at if hex_of(data[at + 4]) < 0 or hex_of(data[at + 5]) < 0 else at + 6
    if byte == c'"' or byte == c'\\' or byte == c'/' or byte == c'n' or byte == c'r' or byte == c't':
        return at + 2
    return at + 2 if byte == c'b' or byte == c'f' else at


cdef inline Py_ssize_t string_stop(Bytes data, Py_ssize_t at, Py_ssize_t size, int32_t *kind) noexcept nogil:
    """Where the inside of a string that starts at `at` stops: at its closing quote, or at the first byte
    that is no part of a string, or at size. kind says whether escapes were on the way."""
    cdef headrace_mask specials
    cdef Py_ssize_t end
    cdef unsigned char byte
    kind[0] = STRING
    while True:
        while at + HEADRACE_STEP <= size:
            specials = headrace_specials(data + at)
            if specials:
                at += headrace_first(specials)
                break
            at += HEADRACE_STEP
        else:
            while at < size and 0x20 <= data[at] < 0x80 and data[at] != c'"' and data[at] != c'\\':
                at += 1
            if at == size:
                return at
        byte = data[at]
        if byte >= 0x80:
            while True:
                end = character_end(data, at, size)
                if end == at or end == size:
                    return end
                at = end
                if data[at] < 0x80:
                    break
        elif byte == c'\\':
            kind[0] = STRING_ESCAPED
            end = escape_end(data, at, size)
            if end == at:
                return at
            at = end
        else:
            return at


cdef inline Py_ssize_t number_end(Bytes data, Py_ssize_t at, Py_ssize_t size) noexcept nogil:
    """The byte after the longest number at `at`; `at` where none stands."""
    cdef Py_ssize_t first = at
    cdef Py_ssize_t digits
    if byte_at(data, at, size) == c'-':
        at += 1
    if not is_digit(byte_at(data, at, size)):
        return first
    at = at + 1 if data[at] == c'0' else digits_end(data, at + 1, size)
    if byte_at(data, at, size) == c'.' and is_digit(byte_at(data, at + 1, size)):
        at = digits_end(data, at + 2, size)
    if byte_at(data, at, size) | 0x20 == c'e':
        digits = at + 1
        if byte_at(data, digits, size) == c'+' or byte_at(data, digits, size) == c'-':
            digits += 1
        if is_digit(byte_at(data, digits, size)):
            at = digits_end(data, digits + 1, size)
    return at


cdef inline Py_ssize_t digits_end(Bytes data, Py_ssize_t at, Py_ssize_t size) noexcept nogil:
    while at < size and is_digit(data[at]):
        at += 1
    return at


cdef inline Py_ssize_t scalar_end(Bytes data, Py_ssize_t at, Py_ssize_t size, int32_t *kind) noexcept nogil:
    """The byte after the number, true, false or null at `at`; `at` where none stands. Sets kind."""
    cdef unsigned char byte = byte_at(data, at, size)
    if byte == c't':
        kind[0] = TRUE
        return at + 4 if at + 4 <= size and memcmp(data + at, b"true", 4) == 0 else at
    if byte == c'n':
        kind[0] = NULLED
        return at + 4 if at + 4 <= size and memcmp(data + at, b"null", 4) == 0 else at
    if byte == c'f':
        kind[0] = FALSE
        return at + 5 if at + 5 <= size and memcmp(data + at, b"false", 5) == 0 else at
    kind[0] = NUMBER
    return number_end(data, at, size)


cdef inline uint32_t unit_of(Bytes data, Py_ssize_t at) noexcept nogil:
    """The UTF-16 code unit of a proved escape of 6 bytes at `at`."""
    cdef uint32_t high = hex_of(data[at + 2]) << 4 | hex_of(data[at + 3])
    return high << 8 | hex_of(data[at + 4]) << 4 | hex_of(data[at + 5])


cdef inline Py_ssize_t put_character(unsigned char *out, uint32_t code) noexcept nogil:
    """Writes a character as UTF-8 (a lone surrogate as U+FFFD); gives its size, at most 4."""
    if 0xD800 <= code <= 0xDFFF:
        code = 0xFFFD
    if code < 0x80:
        out[0] = <unsigned char>code
        return 1
    if code < 0x800:
        out[0] = <unsigned char>(0xC0 | code >> 6)
        out[1] = <unsigned char>(0x80 | code & 0x3F)
        return 2
    if code < 0x10000:
        out[0] = <unsigned char>(0xE0 | code >> 12)
        out[1] = <unsigned char>(0x80 | code >> 6 & 0x3F)
        out[2] = <unsigned char>(0x80 | code & 0x3F)
        return 3
    out[0] = <unsigned char>(0xF0 | code >> 18)
    out[1] = <unsigned char>(0x80 | code >> 12 & 0x3F)
    out[2] = <unsigned char>(0x80 | code >> 6 & 0x3F)
    out[3] = <unsigned char>(0x80 | code & 0x3F)
    return 4


cdef inline unsigned char unescaped_byte(unsigned char byte) noexcept nogil:
    """What the second byte of a proved escape of 2 bytes stands for."""
    if byte == c'n':
        return 10
    if byte == c't':
        return 9
    if byte == c'r':
        return 13
    if byte == c'b':
        return 8
    return 12 if byte == c'f' else byte


cdef inline Py_ssize_t unescape(Bytes data, Py_ssize_t at, Py_ssize_t end, unsigned char *out) noexcept nogil:
    """Writes the proved inside [at, end) of a string as UTF-8; gives its size.

    `out` has room for end - at bytes, which is enough: an escape of 6 bytes gives at most 3, two of
    them at most 4, one of 2 bytes gives 1.
    """
    cdef Py_ssize_t size = 0
    cdef Py_ssize_t run
    cdef uint32_t code, second
    while at < end:
        if data[at] != c'\\':
            run = at + 1
            while run < end and data[run] != c'\\':
                run += 1
            memcpy(out + size, data + at, run - at)
            size += run - at
            at = run
        elif data[at + 1] != c'u':
            out[size] = unescaped_byte(data[at + 1])
            size += 1
            at += 2
        else:
            code = unit_of(data, at)
            at += 6
            if 0xD800 <= code <= 0xDBFF and at + 6 <= end and data[at] == c'\\' and data[at + 1] == c'u':
                second = unit_of(data, at)
                if 0xDC00 <= second <= 0xDFFF:
                    code = 0x10000 + ((code - 0xD800) << 10) + (second - 0xDC00)
                    at += 6
            size += put_character(out + size, code)
    return size
