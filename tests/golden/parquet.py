#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Parquet files for tests/unit/text/test_parquet.c, written by pyarrow, and what pyarrow reads from them.

    python3 -m venv .venv && .venv/bin/pip install pyarrow==26.0.1
    .venv/bin/python tests/golden/parquet.py tests/golden/parquet

One table in every encoding, codec and version of pages: ENCODING_CODEC_vVERSION.parquet, whose rows are
those of rows.jsonl; and small files for what is refused or has rules of its own.
"""
import json
import os
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.parquet.encryption as pe



class Keys(pe.KmsClient):
    """Keys that are no secret."""

    def wrap_key(self, key, name):
        return key.hex()

    def unwrap_key(self, wrapped, name):
        return bytes.fromhex(wrapped)


out = sys.argv[1]
os.makedirs(out, exist_ok=True)

SCHEMA = pa.schema([
    ("text", pa.string()),
    pa.field("id", pa.int64(), nullable=False),
    ("blob", pa.binary()),
    ("n", pa.int32()),
    ("unsigned", pa.uint32()),
    ("flag", pa.bool_()),
    ("x", pa.float32()),
    ("y", pa.float64()),
    ("input_ids", pa.list_(pa.int32())),
    ("words", pa.list_(pa.string())),
    ("translation", pa.struct([("en", pa.string()), ("fr", pa.string())])),
])


def row(i):
    texts = ["the cat sat", "", None, "the cat sat on the mat", "caf\u00e9 \u2603 \U0001f642", "line\nbreak"]
    return {
        "text": "x" * 400 + str(i) if i == 17 else texts[i % 6] if i % 4 else f"text {i // 8}",
        "id": (-1) ** i * i ** 7 * 1000003,
        "blob": None if i % 5 == 2 else b"b" * (i % 3) + str(i).encode(),
        "n": None if i % 7 == 3 else (i * 2654435761) % 2 ** 32 - 2 ** 31 if i % 9 == 0 else i // 3,
        "unsigned": 2 ** 32 - 1 - i if i % 3 else i,
        "flag": None if i % 6 == 5 else i % 4 < 2,
        "x": None if i % 8 == 1 else i / 4 - 3,
        "y": i / 3.0,
        "input_ids": None if i % 10 == 4 else [] if i % 10 == 7 else
                     [j * i % 50 for j in range(i % 6)] + ([None] if i % 11 == 5 else []),
        "words": [] if i % 9 == 2 else None if i % 9 == 6 else ["w", "", "word " + str(i), None][: i % 5],
        "translation": None if i % 13 == 5 else {"en": f"good {i}", "fr": None if i % 4 == 1 else f"bon {i}"},
    }


def plain(value):
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, dict):
        return {key: plain(v) for key, v in value.items()}
    return [plain(v) for v in value] if isinstance(value, list) else value


def null_struct(made):
    """A struct that is null has null fields: the reader gives leaves."""
    if made["translation"] is None:
        made["translation"] = {"en": None, "fr": None}
    return made


ROWS = [row(i) for i in range(28)]
TABLE = pa.Table.from_pylist(ROWS, schema=SCHEMA)
TEXTS, WHOLE = ["text", "blob", "words.list.element", "translation.en", "translation.fr"], \
    ["id", "n", "unsigned", "input_ids.list.element"]
ENCODINGS = {
    "dictionary": dict(use_dictionary=True),
    "plain": dict(use_dictionary=False),
    "delta": dict(use_dictionary=False, column_encoding={
        **{c: "DELTA_BINARY_PACKED" for c in WHOLE}, **{c: "DELTA_LENGTH_BYTE_ARRAY" for c in TEXTS}}),
    "split": dict(use_dictionary=False, use_byte_stream_split=["id", "n", "unsigned", "x", "y"]),
    "front": dict(use_dictionary=False, column_encoding={
        **{c: "DELTA_BINARY_PACKED" for c in WHOLE}, **{c: "DELTA_BYTE_ARRAY" for c in TEXTS}}),
}

with open(f"{out}/rows.jsonl", "w") as rows:
    for made in TABLE.to_pylist():
        rows.write(json.dumps(null_struct(plain(made))) + "\n")

for encoding, options in ENCODINGS.items():
    for codec in ["NONE", "SNAPPY", "GZIP", "ZSTD"] if encoding != "split" else ["ZSTD"]:
        for version in ["1.0", "2.0"] if encoding != "split" else ["2.0"]:
            path = f"{out}/{encoding}_{codec.lower()}_v{version[0]}.parquet"
            with pq.ParquetWriter(path, SCHEMA, compression=codec, data_page_version=version,
                                  version="1.0" if version == "1.0" else "2.6", store_schema=False,
                                  write_statistics=False, data_page_size=120, write_batch_size=9,
                                  write_page_checksum=codec in ["NONE", "ZSTD"], **options) as writer:
                writer.write_table(TABLE.slice(0, 20))
                writer.write_table(TABLE.slice(0, 0))  # a row group without rows
                writer.write_table(TABLE.slice(20))
            assert [null_struct(plain(r)) for r in pq.read_table(path).to_pylist()] == \
                [null_struct(plain(r)) for r in ROWS], path


def small(name, columns, schema=None, **options):
    options.setdefault("compression", "ZSTD")
    pq.write_table(pa.table(columns, schema=schema), f"{out}/{name}.parquet", store_schema=False,
                   write_statistics=False, **options)


small("brotli", {"text": ["a", "b"]}, compression="BROTLI")
small("lz4", {"text": ["a", "b"]}, compression="LZ4")
small("reals", {"text": [[1.0], [2.0]]})
for name, plaintext in [("locked", False), ("locked_column", True)]:  # the footer too, or one column alone
    keys = pe.CryptoFactory(lambda config: Keys())
    with open(f"{out}/{name}.parquet", "wb") as f, pq.ParquetWriter(
            f, pa.schema([("text", pa.string()), ("other", pa.string())]),
            encryption_properties=keys.file_encryption_properties(pe.KmsConnectionConfig(), pe.EncryptionConfiguration(
                footer_key="key", column_keys={"key": ["text"]}, plaintext_footer=plaintext,
                double_wrapping=False))) as writer:
        writer.write_table(pa.table({"text": ["a"], "other": ["b"]}))
small("lists", {"text": [[["a"], ["b"]], [["c"]]]})
small("decimal", {"text": pa.array([1, 2]).cast(pa.decimal128(22, 2))})
small("big", {"content": ["a" * 300000 + "end", "short"]}, compression="ZSTD")
small("two", {"title": ["t"], "body": ["b"]})
small("ids", {"input_ids": pa.array([[5, 6, 7], [8, 9], []], pa.list_(pa.int64())), "n": [1, 2, 3]})
small("bytes", {"text": pa.array([b"caf\xe9", b"ok"], pa.binary())})
small("none", {"text": pa.array([], pa.string())})
small("labels", {"text": [f"{'good' if i % 2 else 'bad'} number {i}" for i in range(60)],
                 "label": [i % 2 for i in range(60)]})
# Of tests/cli/parquet.sh: a text in two files, labels, and the same number of token ids in each row.
for part in range(2):
    small(f"story_{part}", {"id": list(range(100)), "text": [
        f"In the year {i} the people of the city went down to the river, and there they sat."
        for i in range(100 * part, 100 * part + 100)]}, compression=["SNAPPY", "ZSTD"][part], row_group_size=40)
small("tokens", {"input_ids": pa.array([[300 + (i * 31 + j * 7) % 200 for j in range(20)]
                                        for i in range(100)], pa.list_(pa.int32()))}, compression="ZSTD")
small("questions", {"question": ["What, then, is \"yeast\"?", "q"],
                    "choices": [["a fungus", "it's a virus", "ash", "a, b and c"], ["1", "2", "3", "4"]],
                    "answer": [0, 3]}, compression="ZSTD")
