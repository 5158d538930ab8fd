# SPDX-License-Identifier: Apache-2.0
"""kernel_verdicts_test.py TOOL: the kernel's verdicts on objects made for the test. Exit code 77 (skipped) without root."""
import json
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import index

PREAMBLE = """
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
"""
OBJECTS = {
    "mixed": """
        SEC("xdp") int good(struct xdp_md *c) { return XDP_PASS; }
        SEC("xdp") int unchecked(struct xdp_md *c) { return *(char *)(long)c->data; }
        SEC("tc") int other_type(void *c) { return *(char *)c; }""",
    # Only a program loaded for a devmap may read the egress interface.
    "attach": """
        SEC("xdp/devmap") int for_devmap(struct xdp_md *c) { return c->egress_ifindex == 1 ? XDP_DROP : XDP_PASS; }
        SEC("xdp_devmap/old") int for_devmap_old_name(struct xdp_md *c) { return c->egress_ifindex == 1 ? XDP_DROP : XDP_PASS; }
        SEC("xdp") int not_for_devmap(struct xdp_md *c) { return c->egress_ifindex == 1 ? XDP_DROP : XDP_PASS; }
        SEC("my_section") int unknown_section(struct xdp_md *c) { return XDP_PASS; }""",
    "maps": """
        struct { __uint(type, BPF_MAP_TYPE_HASH); __type(key, int); __type(value, int); __uint(pinning, LIBBPF_PIN_BY_NAME); }
            corpus_test_no_size SEC(".maps");
        struct { __uint(type, BPF_MAP_TYPE_ARRAY); __type(key, int); __type(value, int); __uint(max_entries, 1u << 31); }
            too_many SEC(".maps");
        struct { __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS); __type(key, int); __type(value, int); __uint(max_entries, 2); }
            no_template SEC(".maps");
        int counter;
        SEC("xdp") int uses_maps(struct xdp_md *c) {
          int key = 1;
          void *inner = bpf_map_lookup_elem(&no_template, &key);
          counter += bpf_map_lookup_elem(&corpus_test_no_size, &key) != 0;
          counter += bpf_map_lookup_elem(&too_many, &key) != 0;
          return inner && bpf_map_lookup_elem(inner, &key) ? XDP_DROP : XDP_PASS;
        }""",
    "legacy": """
        struct { int type, key_size, value_size, max_entries, flags; } old SEC("maps") = {2, 4, 4, 1, 0};
        SEC("xdp") int uses_legacy_map(struct xdp_md *c) { int key = 0; return bpf_map_lookup_elem(&old, &key) != 0; }""",
    "kfunc": """
        extern int corpus_test_no_such_function(struct xdp_md *c) __ksym;
        SEC("xdp") int calls_nothing(struct xdp_md *c) { return corpus_test_no_such_function(c); }""",
}
EXPECTED = {
    "good": ("accepted", 0), "unchecked": ("rejected", 13),
    "for_devmap": ("accepted", 0), "for_devmap_old_name": ("accepted", 0), "not_for_devmap": ("rejected", 13),
    "unknown_section": ("accepted", 0), "uses_maps": ("accepted", 0), "calls_nothing": ("libbpf_refused", 22),
    "uses_legacy_map": ("libbpf_refused", 95),
}
ARRAY, HASH, ARRAY_OF_MAPS = 2, 1, 12


def verdicts():
    with tempfile.TemporaryDirectory() as folder:
        for name, source in OBJECTS.items():
            subprocess.run(["clang-19", "-target", "bpf", "-O2", "-g", "-mcpu=v3", "-I/usr/include/x86_64-linux-gnu",
                            "-x", "c", "-", "-c", "-o", f"{folder}/{name}.o"],
                           input=PREAMBLE + source, text=True, check=True)
        failed = []
        paths = sorted(Path(folder).glob("*.o"))
        index.write(Path(folder), index.entries(Path(folder), [("test", "v3", p.name, p) for p in paths], failed))
        assert not failed, failed
        subprocess.run([TOOL, folder], check=True)
        return {a["program"]: a for a in json.loads(Path(folder, "kernel.json").read_text(encoding="utf-8"))}


class KernelVerdictsTest(unittest.TestCase):
    def test_each_program_gets_its_own_verdict(self):
        found = verdicts()
        self.assertEqual({name: (a["status"], a["errno"]) for name, a in found.items()}, EXPECTED)
        self.assertTrue(all(a["accepted"] == (a["status"] == "accepted") for a in found.values()))
        self.assertTrue(any("invalid access to packet" in line or "outside of the packet" in line
                            for line in found["unchecked"]["log_tail"]), found["unchecked"])
        self.assertIn("corpus_test_no_such_function", found["calls_nothing"]["log_tail"][-1])
        self.assertIn("legacy map definitions", found["uses_legacy_map"]["log_tail"][-1])
        self.assertEqual(sorted(found["uses_maps"]["map_types"]), sorted([HASH, ARRAY, ARRAY_OF_MAPS, ARRAY]))
        self.assertEqual(found["good"]["verified_insns"], 2)
        self.assertFalse(Path("/sys/fs/bpf/corpus_test_no_size").exists())

    def test_a_missing_index_is_an_error(self):
        with tempfile.TemporaryDirectory() as folder:
            run = subprocess.run([TOOL, folder], capture_output=True, text=True, check=False)
            self.assertEqual(run.returncode, 1)
            self.assertIn("index.json is missing", run.stderr)


if __name__ == "__main__":
    TOOL = sys.argv.pop(1)
    if os.geteuid() != 0:
        print("only root may ask the kernel")
        sys.exit(77)
    unittest.main()
