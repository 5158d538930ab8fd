# SPDX-License-Identifier: Apache-2.0
"""report.py [FOLDER] [--at-least N]: what the corpus holds and what the kernel said, from index.json and kernel.json.

All counts but the first two columns are of distinct programs (by hash). A hash counts as accepted when the kernel accepts
at least one program that has it: the same code can stand in a section where the kernel refuses it. With --at-least N the
exit code is 1 when fewer than N distinct programs were built.
"""
import argparse
import itertools
import json
import re
import sys
from collections import Counter, defaultdict
from pathlib import Path

# Lines the verifier writes after its message: statistics, and a hint on the argument already named.
TRAILER = re.compile(r"processed \d+ insns|max_states|verification time|stack depth|arg#\d+ ")


def names_of_helpers(folder):
    """Helper id -> name, from the list in the extracted uapi header."""
    header = (folder / "src/6.12/include/uapi/linux/bpf.h").read_text(encoding="utf-8")
    return {int(number): name for name, number in re.findall(r"\bFN\((\w+), (\d+), ", header)}


def names_of_map_types(folder):
    """Map type number -> name: the position in `enum bpf_map_type`, where some names are given as equal to another."""
    header = (folder / "src/6.12/include/uapi/linux/bpf.h").read_text(encoding="utf-8")
    body = re.sub(r"/\*.*?\*/", "", header.split("enum bpf_map_type {")[1].split("}")[0], flags=re.DOTALL)
    names = [n for n in (part.strip() for part in body.split(",")) if n and "=" not in n]
    return {number: name.removeprefix("BPF_MAP_TYPE_") for number, name in enumerate(names)}


def reason_of(answer):
    """The verifier's message, or libbpf's, with the numbers taken out."""
    lines = [line for line in answer["log_tail"] if not TRAILER.match(line)]
    return re.sub(r"-?\d+", "N", lines[-1]) if lines else "no message"


def table(title, rows):
    print(f"\n{title}")
    for row in rows:
        print("  " + "  ".join(str(cell) for cell in row))


def by_origin(index):
    rows = defaultdict(lambda: [0, 0, set()])
    for entry in index:
        for key in itertools.product((entry["origin"], "all"), (entry["variant"], "all")):
            rows[key][0] += 1
            rows[key][1] += len(entry["programs"])
            rows[key][2].update(p["hash"] for p in entry["programs"])
    return rows


def print_verdicts(folder, index):
    programs = {(e["object"], p["name"]): p for e in index for p in e["programs"]}
    origin = {e["object"]: (e["origin"], e["variant"]) for e in index}
    answers = json.loads((folder / "kernel.json").read_text(encoding="utf-8"))
    accepted, types, refused = defaultdict(set), {}, defaultdict(set)
    for answer in answers:
        program = programs.get((answer["object"], answer["program"]))
        if program is None:
            continue  # kernel.json is older than the index
        if answer["accepted"]:
            for key in (origin[answer["object"]], ("all", "all")):
                accepted[key].add(program["hash"])
            types[program["hash"]] = set(answer["map_types"])
        else:
            refused[(answer["status"], reason_of(answer))].add(program["hash"])
    table("kernel's verdicts on all program instances", Counter(a["status"] for a in answers).most_common())
    table("accepted, distinct, by origin and variant", [(*k, len(v)) for k, v in sorted(accepted.items())])
    table("not accepted, distinct, by reason", sorted(((len(v), *k) for k, v in refused.items()), reverse=True))

    taken = {p["hash"]: p for p in programs.values() if p["hash"] in accepted[("all", "all")]}
    helper_names, type_names = names_of_helpers(folder), names_of_map_types(folder)
    helpers = Counter(h for p in taken.values() for h in p["helpers"])
    table(f"helpers of the accepted ({len(helpers)})",
          [(n, f"{helper_names.get(h, '?')}({h})") for h, n in helpers.most_common()])
    maps = Counter(t for kinds in types.values() for t in kinds)
    table("map types of the accepted", [(n, f"{type_names.get(t, '?')}({t})") for t, n in maps.most_common()])
    kfuncs = Counter(k for p in taken.values() for k in p["kfuncs"])
    table(f"kernel functions: {sum(1 for p in taken.values() if p['kfuncs'])} accepted programs call one",
          [(n, k) for k, n in kfuncs.most_common()])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", default="build/corpus", type=Path)
    parser.add_argument("--at-least", type=int, default=0, metavar="N")
    arguments = parser.parse_args()
    index = json.loads((arguments.folder / "index.json").read_text(encoding="utf-8"))
    rows = by_origin(index)
    table("origin, variant, objects, programs, distinct",
          [(*key, objects, programs, len(hashes)) for key, (objects, programs, hashes) in sorted(rows.items())])
    if (arguments.folder / "kernel.json").exists():
        print_verdicts(arguments.folder, index)
    distinct = len(rows[("all", "all")][2])
    if distinct < arguments.at_least:
        sys.exit(f"corpus: {distinct} distinct programs, fewer than {arguments.at_least}")


if __name__ == "__main__":
    main()
