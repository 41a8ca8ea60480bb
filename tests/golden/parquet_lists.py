#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Lists as writers other than pyarrow have them, for tests/unit/text/test_parquet.c.

    parquet_lists.py OUT

list_two.parquet: optional group ids (LIST) { repeated int32 array }, as parquet-avro and old Spark write;
list_bare.parquet: repeated int32 ids, as parquet-protobuf writes. pyarrow reads both and writes neither, so
the Thrift is made here. ROWS are what pyarrow 26 reads from them."""
import struct
import sys

import pyarrow.parquet as pq

BINARY, LIST, STRUCT, I32, I64 = 8, 9, 12, 5, 6


def varint(n):
    out = b""
    while n > 127:
        out, n = out + bytes([n & 127 | 128]), n >> 7
    return out + bytes([n])


def fields(*rows):
    """A struct of (id, type, value), ids ascending by less than 16."""
    out, last = b"", 0
    for number, kind, value in rows:
        out += bytes([number - last << 4 | kind]) + (varint(value << 1) if kind in (I32, I64) else value)
        last = number
    return out + b"\0"


def text(s):
    return varint(len(s)) + s.encode()


def items(kind, values):
    return bytes([len(values) << 4 | kind]) + b"".join(values)


def levels(values, most):
    """One bit-packed run behind its length."""
    n = (len(values) + 7) // 8
    bits = sum(v << i * most.bit_length() for i, v in enumerate(values))
    run = varint(n << 1 | 1) + bits.to_bytes(n * most.bit_length(), "little")
    return struct.pack("<I", len(run)) + run


def write(path, schema, leaf, reps, defs, values, rows):
    page = levels(reps, 1) + levels(defs, max(defs)) + struct.pack(f"<{len(values)}i", *values)
    head = fields((1, I32, 0), (2, I32, len(page)), (3, I32, len(page)),
                  (5, STRUCT, fields((1, I32, len(defs)), (2, I32, 0), (3, I32, 3), (4, I32, 3))))
    size = len(head + page)
    column = fields((1, I32, 1), (2, LIST, items(I32, [b"\0"])), (3, LIST, items(BINARY, [text(p) for p in leaf])), (4, I32, 0), (5, I64, len(defs)),
                    (6, I64, size), (7, I64, size), (9, I64, 4))
    group = fields((1, LIST, items(STRUCT, [fields((2, I64, 4), (3, STRUCT, column))])), (2, I64, size),
                   (3, I64, rows))
    footer = fields((1, I32, 1), (2, LIST, items(STRUCT, schema)), (3, I64, rows),
                    (4, LIST, items(STRUCT, [group])))
    with open(path, "wb") as f:
        f.write(b"PAR1" + head + page + footer + struct.pack("<I", len(footer)) + b"PAR1")


out = sys.argv[1]
root = fields((4, BINARY, text("schema")), (5, I32, 1))
write(f"{out}/list_two.parquet",
      [root, fields((3, I32, 1), (4, BINARY, text("ids")), (5, I32, 1), (6, I32, 3)),
       fields((1, I32, 1), (3, I32, 2), (4, BINARY, text("array")))],
      ["ids", "array"], [0, 1, 0, 0, 0, 1, 1], [2, 2, 1, 0, 2, 2, 2], [5, 6, 7, 8, 9], 4)
write(f"{out}/list_bare.parquet", [root, fields((1, I32, 1), (3, I32, 2), (4, BINARY, text("ids")))],
      ["ids"], [0, 1, 0, 0, 1, 1], [1, 1, 0, 1, 1, 1], [5, 6, 7, 8, 9], 3)
ROWS = {"list_two": [[5, 6], [], None, [7, 8, 9]], "list_bare": [[5, 6], [], [7, 8, 9]]}
for name, rows in ROWS.items():
    assert [r["ids"] for r in pq.read_table(f"{out}/{name}.parquet").to_pylist()] == rows
