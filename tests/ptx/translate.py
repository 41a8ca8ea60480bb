#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""PTX of our kernels as C++ over the fibers of tests/emu.

    translate.py OUT.cc MODULE.ptx ...

Each entry becomes a function over its registers; loads and stores go through checks of alignment,
place and size (machine.h). Only what nvcc makes of our kernels is known: any other instruction ends
the translation with its text, so that nothing is skipped. Semantics: NVIDIA, PTX ISA 9.0.
"""
import re
import sys
from pathlib import Path

WIDTH = {k + str(w): w for k in "usbf" for w in (8, 16, 32, 64) if k + str(w) != "f8"}
CPP = {**{f"u{w}": f"uint{w}_t" for w in (8, 16, 32, 64)},
       **{f"b{w}": f"uint{w}_t" for w in (8, 16, 32, 64)},
       **{f"s{w}": f"int{w}_t" for w in (8, 16, 32, 64)}, "f32": "float", "f64": "double"}
SPECIAL = {"%tid.x": "threadIdx.x", "%ntid.x": "blockDim.x", "%ctaid.x": "blockIdx.x",
           "%ctaid.y": "blockIdx.y", "%nctaid.x": "gridDim.x", "%nctaid.y": "gridDim.y"}
INFIX = {"add": "+", "sub": "-", "mul": "*", "div": "/", "rem": "%", "and": "&", "or": "|",
         "xor": "^"}
COMPARE = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">=", "lo": "<",
           "ls": "<=", "hi": ">", "hs": ">="}
DYNAMIC_SHARED = "sae_shared_bytes"  # lib/math/cuda/device.h


def c_name(text):
    return text.replace("%", "r_").replace("$", "_").replace(".", "_")


def split_commas(text):
    """At commas outside of brackets."""
    parts, depth, now = [], 0, ""
    for ch in text:
        depth += (ch in "{[(") - (ch in "}])")
        if ch == "," and depth == 0:
            parts.append(now.strip())
            now = ""
        else:
            now += ch
    return parts + ([now.strip()] if now.strip() else [])


def statements(body):
    """Statements without ';', labels with ':', and the braces of blocks. Vectors keep theirs."""
    found, now, i = [], "", 0
    while i < len(body):
        ch = body[i]
        if ch == "{" and now.strip():  # a vector of registers
            end = body.index("}", i)
            now += body[i:end + 1]
            i = end
        elif ch in "{}":
            found.append(ch)
        elif ch == ";":
            found.append(" ".join(now.split()))
            now = ""
        elif ch == ":" and re.fullmatch(r"\s*[$\w]+\s*", now):
            found.append(now.strip() + ":")
            now = ""
        else:
            now += ch
        i += 1
    return found


class Function:
    """One .entry or .func."""

    def __init__(self, module, kind, name, params, returns, body, module_shared):
        self.kind, self.name, self.body = kind, name, body
        self.id = c_name(module + "_" + name)
        self.module = module
        self.params = [(p.split()[-1].split("[")[0], self.size_of(p)) for p in
                       re.findall(r"\.param[^,]*", params)]
        self.returns = returns
        self.shared, at = {}, 0
        for align, array, size in module_shared + re.findall(
                r"\.shared \.align (\d+) \.b8 (\S+)\[(\d+)\];", body):
            if array in body:
                at = -(-at // int(align)) * int(align)
                self.shared[array] = at
                at += int(size)
        self.static_bytes = -(-at // 16) * 16
        self.width, self.declared, self.code = {}, [], []

    @staticmethod
    def size_of(param):
        array = re.search(r"\[(\d+)\]", param)
        return int(array[1]) if array else WIDTH[re.search(r"\.(\w+)\s+\S+$", param.strip())[1]] // 8

    # --- operands ------------------------------------------------------------------------------

    def read(self, x, t):
        """The value of an operand as C++ of type t."""
        if t == "pred":
            return c_name(x)
        ct = CPP[t]
        if re.fullmatch(r"0[fF][0-9A-Fa-f]{8}", x):
            return f"as_f32(0x{x[2:]}u)" if t == "f32" else f"({ct})0x{x[2:]}u"
        if re.fullmatch(r"0[dD][0-9A-Fa-f]{16}", x):
            return f"as_f64(0x{x[2:]}ull)" if t == "f64" else f"({ct})0x{x[2:]}ull"
        if re.fullmatch(r"-?\d+|0x[0-9a-fA-F]+", x):
            return f"(({ct}){int(x, 0) % 2 ** 64}ull)"
        if x in SPECIAL:
            return f"(({ct}){SPECIAL[x]})"
        if x in self.shared:
            return f"(({ct}){self.shared[x]})"
        if x == DYNAMIC_SHARED:
            return f"(({ct}){self.static_bytes})"
        if t in ("f32", "f64"):
            return f"as_{t}({c_name(x)})"
        if x not in self.width:
            raise ValueError(f"operand {x}")
        return f"(({ct}){c_name(x)})"

    def write(self, to, t, value):
        if to == "_":
            return f"(void)({value});"
        if t == "pred":
            return f"{c_name(to)} = {value};"
        if t in ("f32", "f64"):
            return f"{c_name(to)} = bits_{t}({value});"
        return f"{c_name(to)} = (uint{self.width[to]}_t)({value});"

    def address(self, text, space, t, n=1):
        base, _, offset = text.strip()[1:-1].partition("+")
        base, offset = base.strip(), int(offset or 0)
        size = WIDTH[t] // 8 * n
        if space == "param":
            names = [p for p, _ in self.params]
            from_ = f"(const char *)args[{names.index(base)}]" if base in names else c_name(base)
            return f"({from_} + {offset})"
        if space == "shared":
            return (f"shared_at({self.read(base, 'u32')} + {offset}, {size}, {self.static_bytes}, "
                    f'"{self.name}")')
        return f'global_at({self.read(base, "u64")} + ({offset}), {size}, "{self.name}")'

    # --- instructions --------------------------------------------------------------------------

    def arithmetic(self, op, p, t, o):
        if t == "pred":
            a, b = self.read(o[1], t), self.read(o[2], t)
            return self.write(o[0], t, f"{a} {dict(zip(('and', 'or', 'xor'), ('&&', '||', '!=')))[op]} {b}")
        if t in ("f32", "f64"):
            x = [self.read(v, t) for v in o[1:]]
            if op == "fma":
                call = "fma_down" if "rm" in p else "std::fma"
                return self.write(o[0], t, f"{call}({', '.join(x)})")
            if op in ("min", "max"):
                return self.write(o[0], t, f"std::f{op}({x[0]}, {x[1]})")
            return self.write(o[0], t, f"{x[0]} {INFIX[op]} {x[1]}")
        if "wide" in p:
            wide = t[0] + str(2 * WIDTH[t])
            value = f"({CPP[wide]}){self.read(o[1], t)} * ({CPP[wide]}){self.read(o[2], t)}"
            return self.write(o[0], wide, value + (f" + {self.read(o[3], wide)}" if op == "mad" else ""))
        if op in ("min", "max"):
            return self.write(o[0], t, f"std::{op}({self.read(o[1], t)}, {self.read(o[2], t)})")
        if op in ("add", "sub", "mul", "mad"):  # low half: the same for signed and unsigned
            t = "u" + str(WIDTH[t])
            if "hi" in p:
                raise ValueError("high half of a product")
            if op == "mad":
                return self.write(o[0], t, f"{self.read(o[1], t)} * {self.read(o[2], t)} + {self.read(o[3], t)}")
        return self.write(o[0], t, f"{self.read(o[1], t)} {INFIX[op]} {self.read(o[2], t)}")

    def move(self, t, o):
        if o[0].startswith("{"):  # a register into its parts
            parts = split_commas(o[0][1:-1])
            w = WIDTH[t] // len(parts)
            return ("{ " + f"const uint{WIDTH[t]}_t all = {self.read(o[1], f'b{WIDTH[t]}')}; " +
                    " ".join(self.write(x, f"b{w}", f"all >> {i * w}") for i, x in enumerate(parts)) + " }")
        if o[1].startswith("{"):
            parts = split_commas(o[1][1:-1])
            w = WIDTH[t] // len(parts)
            return self.write(o[0], f"b{WIDTH[t]}", " | ".join(
                f"((uint{WIDTH[t]}_t){self.read(x, f'b{w}')} << {i * w})" for i, x in enumerate(parts)))
        if t == "pred":
            return self.write(o[0], t, self.read(o[1], t) if o[1].startswith("%") else o[1])
        raw = f"b{WIDTH[t]}"
        return self.write(o[0], raw, self.read(o[1], raw))

    def compare(self, p, t, o):
        if len(p) > 3 and p[2] != "ftz":
            raise ValueError("compare with a further operation")
        how, a, b = p[1], self.read(o[1], t), self.read(o[2], t)
        if t[0] != "f":
            return self.write(o[0], "pred", f"{a} {COMPARE[how]} {b}")
        unordered = f"(std::isnan({a}) || std::isnan({b}))"
        if how in ("nan", "num"):
            return self.write(o[0], "pred", ("" if how == "nan" else "!") + unordered)
        if how in COMPARE:
            return self.write(o[0], "pred", f"!{unordered} && {a} {COMPARE[how]} {b}")
        return self.write(o[0], "pred", f"{unordered} || {a} {COMPARE[how[:-1]]} {b}")

    def convert(self, p, o):
        to, t, modes = p[-2], p[-1], p[1:-2]
        x = self.read(o[1], t)
        if to[0] == "f" and t[0] == "f":
            for mode, call in (("sat", "saturate"), ("rzi", "std::trunc"), ("rmi", "std::floor"),
                               ("rpi", "std::ceil"), ("rni", "std::nearbyint")):
                if mode in modes:
                    return self.write(o[0], to, f"{call}({x})")
            return self.write(o[0], to, f"({CPP[to]})({x})")
        if t[0] == "f":
            if "rzi" not in modes:
                raise ValueError("rounding to an integer")
            return self.write(o[0], to, f"to_integer<{CPP[to]}>(std::trunc({x}))")
        return self.write(o[0], to, f"({CPP[to]})({x})")

    def shift(self, op, t, o):
        by, w = self.read(o[2], "u32"), WIDTH[t]
        if t[0] == "s":
            return self.write(o[0], t, f"{self.read(o[1], t)} >> std::min({by}, {w - 1}u)")
        sign = "<<" if op == "shl" else ">>"
        return self.write(o[0], t, f"{by} >= {w} ? 0 : {self.read(o[1], f'u{w}')} {sign} {by}")

    def unary(self, op, p, t, o):
        x = self.read(o[1], t if op != "popc" else "u32")
        calls = {"sqrt": f"std::sqrt({x})", "popc": f"__builtin_popcount({x})", "ex2": f"exp2_approx({x})",
                 "rcp": f"reciprocal_approx({x})" if "approx" in p else f"1 / {x}",
                 "not": ("!" if t == "pred" else "~") + x, "neg": ("-" if t[0] == "f" else "0 - ") + x,
                 "abs": f"std::fabs({x})" if t[0] == "f" else f"std::abs({x})"}
        if op == "copysign":
            return self.write(o[0], t, f"std::copysign({self.read(o[2], t)}, {x})")
        return self.write(o[0], "u32" if op == "popc" else t, calls[op])

    def memory(self, op, p, t, o):
        space = next((x for x in ("global", "shared", "param") if x in p), "generic")
        if "local" in p:
            raise ValueError("local memory")
        n = 2 if "v2" in p else 4 if "v4" in p else 1
        place, registers = (o[1], o[0]) if op == "ld" else (o[0], o[1])
        names = split_commas(registers[1:-1]) if n > 1 else [registers]
        at = self.address(place, space, t, n)
        if op == "st":
            values = ", ".join(f"({CPP[t]}){self.read(x, t)}" for x in names)
            return f"{{ const {CPP[t]} v[{n}] = {{{values}}}; memcpy((void *){at}, v, sizeof v); }}"
        return (f"{{ {CPP[t]} v[{n}]; memcpy(v, (const void *){at}, sizeof v); " +
                " ".join(self.write(x, t, f"v[{i}]") for i, x in enumerate(names)) + " }")

    def atomic(self, p, t, o):
        if "add" not in p or t[0] == "f":
            raise ValueError("an atomic that is no sum of integers")
        space = next((x for x in ("global", "shared") if x in p), "generic")
        to, place, value = o if p[0] == "atom" else ["_"] + o
        return (f"{{ {CPP[t]} *const q = ({CPP[t]} *){self.address(place, space, t)}; const {CPP[t]} old = *q; "
                f"*q = old + {self.read(value, t)}; {self.write(to, t, 'old')} }}")

    def call(self, rest):
        ret, function, given = split_commas(rest)[:3]
        arguments = ", ".join(c_name(x) for x in split_commas(given.strip()[1:-1]))
        return (f"{{ void *a[] = {{{arguments}}}; {c_name(self.module + '_' + function)}(a, "
                f"{c_name(ret.strip('() '))}); }}")

    def instruction(self, text):
        op, _, rest = text.partition(" ")
        p, o = op.split("."), split_commas(rest)
        op, t = p[0], p[-1]
        if op in ("add", "sub", "mul", "mad", "fma", "div", "rem", "min", "max", "and", "or", "xor"):
            return self.arithmetic(op, p, t, o)
        if op in ("not", "neg", "abs", "copysign", "ex2", "rcp", "sqrt", "popc"):
            return self.unary(op, p, t, o)
        if op in ("ld", "st"):
            return self.memory(op, p, t, o)
        if op in ("atom", "red"):
            return self.atomic(p, t, o)
        if op in ("shl", "shr"):
            return self.shift(op, t, o)
        if op == "mov":
            return self.move(t, o)
        if op == "setp":
            return self.compare(p, t, o)
        if op == "cvt":
            return self.convert(p, o)
        if op == "selp":
            raw = t if t[0] != "f" else f"b{WIDTH[t]}"
            return self.write(o[0], raw, f"{self.read(o[3], 'pred')} ? {self.read(o[1], raw)} : {self.read(o[2], raw)}")
        if op == "cvta":
            x = self.read(o[1], "u64")
            return self.write(o[0], "u64", f"generic_of_shared({x})" if "shared" in p else x)
        if op == "shfl":
            return self.write(o[0].split("|")[0], "b32", f"shuffle_{p[2]}({self.read(o[1], 'b32')}, "
                              f"{self.read(o[2], 'u32')}, {self.read(o[4], 'u32')}, \"{self.name}\")")
        if op == "vote" and "ballot" in p:
            return self.write(o[0], "b32", f"ballot({self.read(o[1], 'pred')}, {self.read(o[2], 'u32')}, \"{self.name}\")")
        if op == "bar":
            return "emu_warp_barrier();" if p[1] == "warp" else "emu_block_barrier();"
        if op == "bra":
            return f"goto {c_name(o[-1])};"
        if op == "ret":
            return "return;"
        if op == "call":
            return self.call(rest)
        raise ValueError("instruction")

    # --- a whole function ----------------------------------------------------------------------

    def registers(self, t, names):
        """Those that are used; the others only cost the compiler time."""
        w = "pred" if t == "pred" else WIDTH[t]
        ct = "bool" if t == "pred" else f"uint{w}_t"
        for name in split_commas(names):
            many = re.fullmatch(r"(%\w+)<(\d+)>", name)
            if not many:
                self.width[name] = w
                self.code.append(f"{ct} {c_name(name)} = 0;")
                continue
            used = sorted({int(k) for k in re.findall(re.escape(many[1]) + r"(\d+)", self.body)})
            for k in used:
                self.width[f"{many[1]}{k}"] = w
            if used:
                self.declared.append(f"{ct} " + ", ".join(f"{c_name(many[1])}{k} = 0" for k in used) + ";")

    def statement(self, s):
        if s in "{}":
            self.code.append(s)
        elif s.endswith(":"):
            self.code.append(c_name(s[:-1]) + ": ;")
        elif s.startswith(".reg "):
            t, names = re.fullmatch(r"\.reg \.(\w+) (.*)", s).groups()
            self.registers(t, names)
        elif s.startswith(".param "):
            name, size = re.fullmatch(r"\.param (?:\.align \d+ )?\.\w+ ([\w$]+)(?:\[(\d+)\])?", s).groups()
            self.code.append(f"alignas(16) unsigned char {c_name(name)}[{size or 8}];")
        elif not s.startswith((".pragma", ".shared")):
            guard, rest = re.fullmatch(r"(?:@(!?%p\d+)\s+)?(.*)", s).groups()
            condition = f"if ({c_name(guard)}) " if guard else ""
            self.code.append(condition + self.instruction(rest))

    def emit(self):
        for s in statements(self.body):
            try:
                self.statement(s)
            except (ValueError, KeyError, IndexError, AttributeError) as why:
                sys.exit(f"translate.py: {self.name}: cannot translate '{s}': {why}")
        head = f"static void {self.id}(void **args"
        if self.returns:
            result = re.findall(r"([\w$]+)\s*\)", self.returns)[0]
            head += f", unsigned char *{c_name(result)}"
        return head + ")", "\n".join([head + ")", "{", *self.declared, *self.code, "}"])


def functions_of(path):
    text = re.sub(r"//[^\n]*|/\*.*?\*/", "", Path(path).read_text(), flags=re.S)
    module_shared = re.findall(r"^\.shared \.align (\d+) \.b8 (\S+)\[(\d+)\];", text, re.M)
    heads = re.finditer(r"\.(entry|func)\s*(\(\s*\.param[^)]*\))?\s*([\w$]+)\s*\(([^)]*)\)([^;{]*)([;{])", text)
    for m in heads:
        if m[6] == ";":
            continue
        end, depth = m.end(), 1
        while depth:
            depth += (text[end] == "{") - (text[end] == "}")
            end += 1
        yield Function(Path(path).stem, m[1], m[3], m[4], m[2], text[m.end():end - 1], module_shared)


def main():
    out, sources = sys.argv[1], sys.argv[2:]
    functions = [f for path in sources for f in functions_of(path)]
    emitted = [f.emit() for f in functions]
    rows = [f'    {{"{f.name}", {f.id}, {f.static_bytes}, {len(f.params)}, '
            f'{{{", ".join(str(size) for _, size in f.params)}}}}},'
            for f in functions if f.kind == "entry"]
    Path(out).write_text('#include "tests/ptx/machine.h"\n\n' +
                         "\n".join(head + ";" for head, _ in emitted) + "\n\n" +
                         "\n\n".join(text for _, text in emitted) +
                         "\n\nconst struct ptx_entry ptx_entries[] = {\n" + "\n".join(rows) +
                         "\n    {nullptr, nullptr, 0, 0, {0}},\n};\n")


if __name__ == "__main__":
    main()
