# SPDX-License-Identifier: Apache-2.0
"""Reads the XDP programs out of a BPF object file (64-bit little-endian ELF, machine 247).

A program is a function symbol in a section whose name begins with `xdp` (libbpf's `?xdp` = not loaded by default, too),
or in a section with a name of its own if the object's BTF says that the function takes a `struct xdp_md *`.
What is hashed is the program's own code followed by every subprogram it reaches, in the order the calls stand in the
code (each once), with the immediate of every relocated instruction zeroed. So two builds that differ in map names, in
symbol order or in where a subprogram is placed count as one program.
"""
import hashlib
import re
import struct
from collections import namedtuple

EM_BPF = 247
SHT_SYMTAB, SHT_REL = 2, 9
STT_OBJECT, STT_FUNC, STT_SECTION = 1, 2, 3
STB_LOCAL = 0
SLOT = 8  # bytes of one instruction; ld_imm64 takes two
OP_CALL, OP_LD_IMM64 = 0x85, 0x18
PSEUDO_CALL, PSEUDO_FUNC = 1, 4  # src_reg: call of a subprogram; ld_imm64 of a subprogram's address
XDP_SECTION = re.compile(r"\??xdp")
# Functions here may take a struct xdp_md, too, but are no entries, or entries that libbpf loads as another type.
OTHER_SECTION = re.compile(
    r"\.text$|\??(freplace|fentry|fexit|fmod_ret|cgroup|tcx?(/|$)|classifier|action|socket|sk_|lwt_)")
BTF_MAGIC = 0xEB9F
BTF_INT, BTF_PTR, BTF_ARRAY, BTF_STRUCT, BTF_UNION, BTF_ENUM = 1, 2, 3, 4, 5, 6
BTF_FUNC, BTF_PROTO, BTF_VAR, BTF_DATASEC, BTF_DECL_TAG, BTF_ENUM64 = 12, 13, 14, 15, 17, 19
# Bytes after a type's 12: fixed, and for each of its vlen members.
BTF_EXTRA = {BTF_INT: (4, 0), BTF_ARRAY: (12, 0), BTF_STRUCT: (0, 12), BTF_UNION: (0, 12), BTF_ENUM: (0, 8),
             BTF_PROTO: (0, 8), BTF_VAR: (4, 0), BTF_DATASEC: (0, 12), BTF_DECL_TAG: (4, 0), BTF_ENUM64: (0, 12)}

Section = namedtuple("Section", "name type offset size link info")
Symbol = namedtuple("Symbol", "name type bind section value size")


class NotBpf(Exception):
    """The file is not a readable BPF object; the text says why."""


class Object:
    """An object file: sections, symbols and, per code section, its relocations by byte offset."""

    def __init__(self, data):
        self.data = data
        try:
            self._read_sections()
            self._read_symbols()
            self._read_relocations()
        except (struct.error, IndexError, ValueError) as error:
            raise NotBpf(f"garbled ELF: {error}") from error

    def _string(self, table, offset):
        start = table.offset + offset
        return self.data[start:self.data.index(b"\0", start)].decode(errors="replace")

    def _read_sections(self):
        data = self.data
        if data[:6] != b"\x7fELF\x02\x01":
            raise NotBpf("not a 64-bit little-endian ELF file")
        if struct.unpack_from("<H", data, 18)[0] != EM_BPF:
            raise NotBpf("not for the BPF machine")
        table, = struct.unpack_from("<Q", data, 40)
        entry_size, count, names = struct.unpack_from("<3H", data, 58)
        raw = []
        for i in range(count):
            name, kind, _, _, offset, size, link, info = struct.unpack_from("<IIQQQQII", data, table + i * entry_size)
            raw.append(Section(name, kind, offset, size, link, info))
        self.sections = [s._replace(name=self._string(raw[names], s.name)) for s in raw]

    def _read_symbols(self):
        self.symbols = []
        for table in (s for s in self.sections if s.type == SHT_SYMTAB):
            for at in range(table.offset, table.offset + table.size, 24):
                name, info, _, section, value, size = struct.unpack_from("<IBBHQQ", self.data, at)
                text = self._string(self.sections[table.link], name)
                self.symbols.append(Symbol(text, info & 15, info >> 4, section, value, size))

    def _read_relocations(self):
        self.relocations = {}
        for table in (s for s in self.sections if s.type == SHT_REL):
            of_section = self.relocations.setdefault(table.info, {})
            for at in range(table.offset, table.offset + table.size, 16):
                offset, info = struct.unpack_from("<QQ", self.data, at)
                of_section[offset] = self.symbols[info >> 32]

    def _xdp_functions_of_btf(self):
        """Names of the functions whose first parameter is a `struct xdp_md *`; empty without BTF."""
        section = next((s for s in self.sections if s.name == ".BTF"), None)
        if section is None:
            return set()
        blob = self.data[section.offset:section.offset + section.size]
        magic, _, _, header, types_at, types_size, strings_at, _ = struct.unpack_from("<HBBIIIII", blob)
        if magic != BTF_MAGIC:
            return set()

        def text(offset):
            start = header + strings_at + offset
            return blob[start:blob.index(b"\0", start)].decode(errors="replace")

        types = [(0, "", 0, 0)]  # kind, name, type or size, first parameter's type; id 0 is void
        at, end = header + types_at, header + types_at + types_size
        while at < end:
            name, info, target = struct.unpack_from("<3I", blob, at)
            kind, members = info >> 24 & 31, info & 0xFFFF
            first = struct.unpack_from("<I", blob, at + 16)[0] if kind == BTF_PROTO and members else 0
            types.append((kind, text(name), target, first))
            fixed, each = BTF_EXTRA.get(kind, (0, 0))
            at += 12 + fixed + members * each

        def takes_xdp_md(function):
            pointer = types[types[function[2]][3]]
            return pointer[0] == BTF_PTR and types[pointer[2]][:2] == (BTF_STRUCT, "xdp_md")

        return {t[1] for t in types if t[0] == BTF_FUNC and takes_xdp_md(t)}

    def function_at(self, section, offset):
        """The function symbol that begins at this byte of this section, or None."""
        for symbol in self.symbols:
            if symbol.section == section and symbol.value == offset and symbol.type == STT_FUNC:
                return symbol
        return None

    def programs(self, any_section=False):
        """One dict a program, in the order of the file: the entries of `programs` in index.json. With `any_section` a
        function in a section with a name of its own is a program whatever its type: for objects without BTF."""
        try:
            by_type = self._xdp_functions_of_btf()
        except (struct.error, IndexError, ValueError) as error:
            raise NotBpf(f"garbled BTF: {error}") from error

        def is_entry(symbol):
            if symbol.type != STT_FUNC or symbol.section >= len(self.sections):
                return False
            section = self.sections[symbol.section].name
            if XDP_SECTION.match(section):
                return True
            return (any_section or symbol.name in by_type) and not OTHER_SECTION.match(section)

        found = [s for s in self.symbols if is_entry(s)]
        # A static function placed in a program's section that another program calls is its subprogram, not an entry.
        called = set()
        walks = {}
        for symbol in found:
            walks[symbol] = _Walk(self, symbol)
            called.update(walks[symbol].order[1:])
        found.sort(key=lambda s: (s.section, s.value))
        return [walks[s].describe() for s in found if not (s.bind == STB_LOCAL and s in called)]


class _Walk:
    """Collects a program's code and references, over its subprograms."""

    def __init__(self, obj, entry):
        self.obj, self.order = obj, [entry]
        self.code, self.maps, self.kfuncs, self.helpers = [], [], [], set()
        for function in self.order:  # grows while it is walked
            self.code.append(self._function(function))

    def _function(self, function):
        obj = self.obj
        section = obj.sections[function.section]
        relocations = obj.relocations.get(function.section, {})
        if function.value + function.size > section.size or function.size % SLOT or not function.size:
            raise NotBpf(f"function {function.name} does not lie in its section")
        code = bytearray(obj.data[section.offset + function.value:section.offset + function.value + function.size])
        at = 0
        while at < len(code):
            opcode, registers, _, imm = struct.unpack_from("<BBhi", code, at)
            symbol = relocations.get(function.value + at)
            wide = opcode == OP_LD_IMM64
            if symbol is not None:
                self._reference(symbol, opcode, imm)
                struct.pack_into("<i", code, at + 4, 0)
                if wide:
                    struct.pack_into("<i", code, at + 12, 0)
            elif opcode == OP_CALL and registers >> 4 == 0:
                self.helpers.add(imm)
            elif opcode == OP_CALL and registers >> 4 == PSEUDO_CALL:
                self._call(obj.function_at(function.section, function.value + at + (imm + 1) * SLOT))
            at += 2 * SLOT if wide else SLOT
        return bytes(code)

    def _reference(self, symbol, opcode, imm):
        """A relocated instruction: a subprogram, a kfunc or other kernel symbol, a map, or a global variable."""
        obj = self.obj
        if symbol.section == 0:
            if opcode == OP_CALL:
                self._note(self.kfuncs, symbol.name)
            return
        name = obj.sections[symbol.section].name if symbol.section < len(obj.sections) else ""
        if opcode == OP_CALL or symbol.type == STT_FUNC:
            # Against a section symbol the callee's place is in the immediate: slots - 1 for a call, bytes for address.
            offset = symbol.value if symbol.type != STT_SECTION else (imm + 1) * SLOT if opcode == OP_CALL else imm
            self._call(obj.function_at(symbol.section, offset))
        elif name == ".text":
            self._call(obj.function_at(symbol.section, symbol.value + imm))
        elif name in (".maps", "maps"):
            self._note(self.maps, symbol.name)
        else:
            self._note(self.maps, name)

    def _call(self, function):
        if function is not None and function not in self.order:
            self.order.append(function)

    @staticmethod
    def _note(names, name):
        if name not in names:
            names.append(name)

    def describe(self):
        entry = self.order[0]
        return {
            "name": entry.name,
            "section": self.obj.sections[entry.section].name,
            "static": entry.bind == STB_LOCAL,
            "insns": len(self.code[0]) // SLOT,
            "insns_total": sum(map(len, self.code)) // SLOT,
            "subprograms": len(self.code) - 1,
            "hash": hashlib.sha256(b"".join(self.code)).hexdigest()[:16],
            "helpers": sorted(self.helpers),
            "kfuncs": self.kfuncs,
            "maps": self.maps,
        }


def programs_of(path, any_section=False):
    """The XDP programs of the object file at `path`; raises NotBpf."""
    with open(path, "rb") as file:
        return Object(file.read()).programs(any_section)
