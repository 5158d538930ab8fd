# SPDX-License-Identifier: Apache-2.0
"""What counts as one program, on objects compiled for the test."""
import subprocess
import tempfile
import unittest
from pathlib import Path

import bpf_elf

# What every test's source may use; `lookup` and the others are helper ids, as the uapi header has them.
PREAMBLE = """
#define SEC(name) __attribute__((section(name), used))
struct xdp_md { unsigned data, data_end; };
static void *(*lookup)(void *map, const void *key) = (void *)1;
static long (*redirect)(unsigned ifindex, unsigned long flags) = (void *)23;
struct map { int (*type)[1]; };
"""


def programs(source, debug="-g", **how):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "test.o"
        subprocess.run(["clang-19", "-target", "bpf", "-O2", debug, "-mcpu=v3", "-x", "c", "-", "-c", "-o", str(path)],
                       input=PREAMBLE + source, text=True, check=True)
        return {p["name"]: p for p in bpf_elf.programs_of(path, **how)}


class HashTest(unittest.TestCase):
    def test_the_name_of_a_map_does_not_count_but_the_key_does(self):
        body = """struct map {0} SEC(".maps");
                  SEC("xdp") int f(struct xdp_md *c) {{ int k = {1}; return !lookup(&{0}, &k); }}"""
        one, renamed, other_key = (programs(body.format(*a))["f"] for a in (("a", 1), ("b", 1), ("a", 2)))
        self.assertEqual(one["hash"], renamed["hash"])
        self.assertNotEqual(one["hash"], other_key["hash"])
        self.assertEqual((one["maps"], renamed["maps"]), (["a"], ["b"]))

    def test_a_subprogram_counts_with_its_caller(self):
        body = """__attribute__((noinline)) static int sub(int x) {{ __asm__ volatile("" : "+r"(x)); return x + {0}; }}
                  SEC("xdp") int f(struct xdp_md *c) {{ return sub(c->data_end - c->data); }}"""
        one, two = programs(body.format(1))["f"], programs(body.format(2))["f"]
        self.assertEqual((one["subprograms"], one["insns"]), (1, two["insns"]))
        self.assertGreater(one["insns_total"], one["insns"])
        self.assertNotEqual(one["hash"], two["hash"])

    def test_a_callback_counts_as_subprogram(self):
        found = programs("""static long (*loop)(unsigned n, void *f, void *c, unsigned long flags) = (void *)181;
                            static long step(unsigned i, void *c) { return i == 3; }
                            SEC("xdp") int f(struct xdp_md *c) { return loop(9, step, 0, 0); }""")
        self.assertEqual((found["f"]["subprograms"], found["f"]["helpers"]), (1, [181]))


class ProgramsTest(unittest.TestCase):
    def test_only_sections_of_xdp_are_programs(self):
        found = programs("""SEC("tc") int a(void *c) { return 0; }
                            SEC("?xdp") int b(struct xdp_md *c) { return 1; }
                            SEC("xdp.frags/devmap") int d(struct xdp_md *c) { return 2; }
                            SEC("xdp_prog0") int e(struct xdp_md *c) { return redirect(1, 0); }""")
        self.assertEqual(sorted((n, p["section"]) for n, p in found.items()),
                         [("b", "?xdp"), ("d", "xdp.frags/devmap"), ("e", "xdp_prog0")])
        self.assertEqual((found["e"]["helpers"], found["b"]["helpers"], found["b"]["insns"]), ([23], [], 2))

    def test_in_other_sections_the_context_decides(self):
        found = programs("""struct __sk_buff { int len; };
                            SEC("redirect_1") int a(struct xdp_md *c) { return 1; }
                            SEC("redirect_2") int b(struct __sk_buff *c) { return 1; }
                            SEC("classifier") int d(struct xdp_md *c) { return 1; }
                            SEC("freplace/a") int e(struct xdp_md *c) { return 1; }
                            int global_subprogram(struct xdp_md *c) { return 1; }""")
        self.assertEqual(list(found), ["a"])

    def test_without_btf_any_section_can_be_asked_for(self):
        source = """SEC("2/1") int a(struct xdp_md *c) { return 1; }
                    int global_subprogram(struct xdp_md *c) { return 1; }"""
        self.assertEqual(list(programs(source, debug="-g0")), [])
        self.assertEqual(list(programs(source, debug="-g0", any_section=True)), ["a"])

    def test_kernel_functions_are_named(self):
        found = programs("""extern int bpf_magic(struct xdp_md *c) SEC(".ksyms");
                            SEC("xdp") int f(struct xdp_md *c) { return bpf_magic(c); }""")
        self.assertEqual((found["f"]["kfuncs"], found["f"]["helpers"]), (["bpf_magic"], []))

    def test_what_is_no_object_is_refused_with_a_reason(self):
        for data in (b"", b"\x7fELF\x01\x01", b"\x7fELF\x02\x01" + bytes(80)):
            with self.assertRaises(bpf_elf.NotBpf):
                bpf_elf.Object(data)


if __name__ == "__main__":
    unittest.main()
