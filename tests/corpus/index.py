# SPDX-License-Identifier: Apache-2.0
"""index.py FOLDER [--any-section]: writes FOLDER/index.json for any folder of BPF objects (every *.o under it).

For other people's collections. The origin of an object is the first folder of its path, its source is the object itself.
Files that hold no XDP program are left out, files that cannot be read are named on standard error. Old objects have no
BTF and program sections of any name: --any-section takes every function outside .text.
"""
import argparse
import json
import sys
from pathlib import Path

import bpf_elf


def entries(out, objects, failed, any_section=False):
    """The entries of index.json for (origin, variant, source, path); what cannot be read goes to `failed`, with the reason."""
    found = []
    for origin, variant, source, path in objects:
        try:
            programs = bpf_elf.programs_of(path, any_section)
        except bpf_elf.NotBpf as error:
            failed.append((origin, variant, source, str(error)))
            continue
        if programs:
            found.append({"object": str(path.relative_to(out)), "origin": origin, "source": source, "variant": variant,
                          "programs": programs})
    return found


def write(out, found):
    """Writes index.json in the folder `out`."""
    with open(out / "index.json", "w", encoding="utf-8") as file:
        json.dump(found, file, indent=1)
        file.write("\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--any-section", action="store_true")
    arguments = parser.parse_args()
    out = arguments.folder.resolve()
    objects = [(p.relative_to(out).parts[0], "given", str(p.relative_to(out)), p) for p in sorted(out.rglob("*.o"))]
    failed = []
    found = entries(out, objects, failed, arguments.any_section)
    write(out, found)
    for _, _, path, reason in failed:
        print(f"corpus: not indexed: {path}: {reason}", file=sys.stderr)
    print(f"corpus: {len(found)} objects, {sum(len(e['programs']) for e in found)} programs: {out}/index.json")


if __name__ == "__main__":
    main()
