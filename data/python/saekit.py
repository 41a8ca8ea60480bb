# SPDX-License-Identifier: MIT
"""saekit's files as numpy arrays: stores, checkpoints, results; and a store from an array.

    import saekit
    acts = saekit.Store("acts")                     # acts.shape, acts.rows(0, 256), acts.column("token")
    sae = saekit.checkpoint("run_1/ckpt_100.h5")    # sae["W_dec"], sae["heldout/val"], sae["attrs"]["k"]
    curves = saekit.series("run_1/ckpt_100.h5")     # curves["explained_variance"]
    metrics = saekit.results("run_1")               # a row a result: file, type, metrics
    z = saekit.Latents("latents.safetensors")       # z.shape, z.dense(0, 256), z.value; of sae-convert
    saekit.write_store("mine", x, layer=6)          # x [rows][width]; sae-train --acts mine

Needs numpy and h5py (Debian: python3-numpy python3-h5py). Where pandas is there, series() and results()
are DataFrames, else a dict of arrays and a list of dicts. Formats: docs/FORMATS.md.
"""
import glob
import hashlib
import json
import os

import h5py
import numpy as np

try:
    import pandas
except ImportError:
    pandas = None

SHARD_BYTES = 128 << 20


def _last_row(first, last, n):
    last = n if last is None else last
    if not 0 <= first <= last <= n:
        raise IndexError(f"rows {first} to {last} of {n}")
    return last


class Store:
    """An activation store. Shards are opened when they are read."""

    def __init__(self, folder):
        self.folder = folder
        with open(os.path.join(folder, "acts.json"), encoding="utf-8") as f:
            self.index = json.load(f)
        self.record = self.index["record"]
        self.shape = (self.index["n_rows"], self.index["d"])
        ends = np.cumsum([s["rows"] for s in self.index["shards"]])
        self._spans = [(int(e) - s["rows"], int(e), s["file"])
                       for s, e in zip(self.index["shards"], ends)]

    def _read(self, name, first, last):
        last = _last_row(first, last, self.shape[0])
        parts = []
        for begin, end, file in self._spans:
            a, b = max(first, begin), min(last, end)
            if a < b:
                with h5py.File(os.path.join(self.folder, file), "r") as h:
                    if name not in h:
                        raise KeyError(f"{file} has no {name}: the store does not know it")
                    parts.append(h[name][a - begin:b - begin])
        return np.concatenate(parts) if parts else np.empty((0,))

    def rows(self, first=0, last=None):
        """Rows [first, last) as float32; every value is one of bf16."""
        return self._read("rows", first, last).astype(np.float32, copy=False)

    def column(self, name, first=0, last=None):
        """"token", "document" or "position" of rows [first, last). KeyError: an import without it."""
        return self._read(name, first, last)

    def blocks(self, n=65536):
        """All rows in order, n at a time."""
        for first in range(0, self.shape[0], n):
            yield self.rows(first, min(first + n, self.shape[0]))


class Latents:
    """Latents of a store's rows, as sae-convert --export-latents writes them to a .safetensors. The active
    ones of row i are entries start[i] to start[i + 1] of `latent` and `value`, which stay on disk."""

    def __init__(self, path):
        with open(path, "rb") as f:
            size = int.from_bytes(f.read(8), "little")
            head = json.loads(f.read(size))
        self.meta = head.pop("__metadata__")
        self.shape = (int(self.meta["rows"]), int(self.meta["latents"]))
        kinds = {"U64": "<u8", "U32": "<u4", "F32": "<f4"}
        for name, array in head.items():
            n = tuple(array["shape"])
            setattr(self, name, np.memmap(path, kinds[array["dtype"]], "r", 8 + size + array["data_offsets"][0], n)
                    if all(n) else np.empty(n, kinds[array["dtype"]]))

    def dense(self, first=0, last=None):
        """Rows [first, last) as float32 [rows][latents]."""
        last = _last_row(first, last, self.shape[0])
        start = self.start[first:last + 1].astype(np.int64)
        out = np.zeros((last - first, self.shape[1]), np.float32)
        row = np.repeat(np.arange(last - first), np.diff(start))
        out[row, self.latent[start[0]:start[-1]]] = self.value[start[0]:start[-1]]
        return out


def checkpoint(path):
    """Every dataset by its path without the first slash, "attrs" of the root, and "record"."""
    out = {}
    with h5py.File(path, "r") as h:
        h.visititems(lambda name, o: out.update({name: o[()]}) if isinstance(o, h5py.Dataset) else None)
        out["attrs"] = dict(h.attrs)
    record = out["record"]
    out["record"] = json.loads(record.decode() if isinstance(record, bytes) else str(record))
    return out


def series(path):
    """The time series of a checkpoint: a DataFrame, or a dict of arrays."""
    with h5py.File(path, "r") as h:
        columns = {name: h["series"][name][()] for name in h["series"]}
    return pandas.DataFrame(columns) if pandas else columns


def _flat(value, prefix=""):
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _flat(inner, f"{prefix}.{key}" if prefix else key)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield prefix, value


def results(folder):
    """Every finished result ckpt_*.json of a run: its file, type, and metrics as "group.name"."""
    rows = []
    for path in sorted(glob.glob(os.path.join(glob.escape(folder), "ckpt_*.json"))):
        if path.endswith(".part.json"):
            continue
        with open(path, encoding="utf-8") as f:
            result = json.load(f)
        row = {"file": os.path.basename(path), "type": result.get("eval_type_id")}
        row.update(_flat(result.get("eval_result_metrics", {})))
        rows.append(row)
    return pandas.DataFrame(rows) if pandas else rows


def round_bf16(x):
    """float32 rounded to the nearest bf16, ties to even. A NaN stays one."""
    u = np.ascontiguousarray(x, dtype=np.float32).view(np.uint32)
    u = np.where((u & np.uint32(0x7FFFFFFF)) > 0x7F800000, np.uint32(0x7FC00000), u)
    u = u + (np.uint32(0x7FFF) + ((u >> np.uint32(16)) & np.uint32(1)))
    return (u & np.uint32(0xFFFF0000)).view(np.float32)


def _bf16_type():
    t = h5py.h5t.IEEE_F32LE.copy()
    t.set_fields(15, 7, 8, 0, 7)
    t.set_size(2)
    t.set_ebias(127)
    return t


def _rows_of(x):
    """x as an array [rows][width] of numbers that bf16 holds."""
    x = np.asarray(x)
    if x.dtype.kind not in "fiu" and x.dtype.name != "bfloat16":
        raise ValueError(f"rows of type {x.dtype}, expected real numbers")
    if x.ndim != 2 or 0 in x.shape:
        raise ValueError(f"expected an array [rows][width], got {x.shape}")
    for first in range(0, len(x), 4096):  # before anything is written, in little memory
        with np.errstate(over="ignore"):
            part = np.asarray(x[first:first + 4096], dtype=np.float32)
        bad = np.argwhere(~np.isfinite(part) | ~np.isfinite(round_bf16(part)))
        if len(bad):
            raise ValueError(f"row {first + bad[0][0]}, column {bad[0][1]}: NaN, infinite or beyond bf16")
    return x


def _column_of(name, values, n, kind):
    """Whole numbers, one a row, that the type of the column holds."""
    values = np.asarray(values)
    if values.shape != (n,):
        raise ValueError(f"{name} has shape {values.shape}, expected ({n},)")
    if values.dtype.kind not in "iu":
        raise ValueError(f"{name} is of type {values.dtype}, expected whole numbers")
    most = np.iinfo(kind).max
    bad = np.flatnonzero((values < 0) | (values > most))
    if len(bad):
        raise ValueError(f"{name} holds {values[bad[0]]} at row {bad[0]}, expected 0 to {most}")
    return values.astype(kind)


def write_store(folder, x, token=None, document=None, position=None, model=None, layer=None, hook=None):
    """A store of the rows of x [rows][width]. The folder must be new. Ids tell shards apart, and are not
    those that saekit would make: sae-train --verify refuses the store."""
    x = _rows_of(x)
    columns = {"token": (token, "<u4"), "document": (document, "<u4"), "position": (position, "<u2")}
    columns = {name: _column_of(name, values, len(x), kind)
               for name, (values, kind) in columns.items() if values is not None}
    site = {"model": model, "layer": layer, "hook": hook, "d": int(x.shape[1])}
    record = {"inputs": [{"role": "import", "path": "saekit.py", "id": "none"}], "site": site}
    record_text = json.dumps(record)  # before the folder is made: it may fail
    os.makedirs(folder)
    n = max(1, min(65536, SHARD_BYTES // (2 * x.shape[1])))
    shards = []
    for i, first in enumerate(range(0, len(x), n)):
        part = round_bf16(x[first:first + n])
        name, digest = f"acts_{i:05d}.h5", hashlib.sha256(part.tobytes()).hexdigest()
        with h5py.File(os.path.join(folder, name), "w") as h:
            rows = h5py.h5d.create(h.id, b"rows", _bf16_type(), h5py.h5s.create_simple(part.shape))
            rows.write(h5py.h5s.ALL, h5py.h5s.ALL, part)
            for column, values in columns.items():
                h[column] = values[first:first + n]
            h["record"] = record_text
            h.attrs.update(kind="activations", id=digest)
            h.attrs["format_version"], h.attrs["shard"] = np.uint64(1), np.uint64(i)
        shards.append({"file": name, "rows": len(part), "id": digest})
    whole = hashlib.sha256("".join(s["id"] for s in shards).encode()).hexdigest()
    index = {"kind": "activations", "format_version": 1, "n_rows": len(x), "d": int(x.shape[1]),
             "shards": shards, "id": whole, "record": record}
    with open(os.path.join(folder, "acts.json"), "w", encoding="utf-8") as f:
        json.dump(index, f, indent=2)
    return Store(folder)
