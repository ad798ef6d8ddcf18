"""Where the columns decoder finds what scans without the interpreter's lock."""

from _native.scan_shape_c cimport Compiled
