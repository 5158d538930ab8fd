# SPDX-License-Identifier: Apache-2.0
"""Compiles every XDP source of the extracted kernel trees for each cpu variant, copies the installed objects, writes index.json.

Called by build.sh with the corpus folder. An object is built again only when its source, a shim, vmlinux.h or this file is
newer; what does not build is listed in failed.txt with the compiler's first error. Invariant: index.json holds exactly the
objects that this run found good, so objects of an older run never linger in it.
"""
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import bpf_elf

CLANG = "clang-19"
VARIANTS = ("v1", "v2", "v3", "v4")
TREES = ("6.12", "6.1")
PACKAGES = ("xdp-tools", "libxdp1", "xdp-tests")
SHIMS = Path(__file__).resolve().parent / "shims"
XDP_SECTION = re.compile(r'SEC\("\??xdp')
# Sources the kernel's build compiles with flags of their own (selftests/bpf/Makefile).
EXTRA_FLAGS = {"test_xdp_noinline": ["-fno-inline"]}

Job = namedtuple("Job", "origin variant source object command needs_vmlinux companion")


def sources_of(folder):
    """The C files in `folder` with at least one XDP section."""
    return [p for p in sorted(folder.glob("*.c")) if XDP_SECTION.search(p.read_text(errors="replace"))]


def needs_vmlinux(source):
    """Whether the source includes vmlinux.h, by itself or through a header beside it."""
    seen, todo = set(), [source]
    while todo:
        file = todo.pop()
        for name in re.findall(r'#include\s+["<]([^">]+)[">]', file.read_text(errors="replace")):
            if name == "vmlinux.h":
                return True
            beside = [file.parent / name, file.parent.parent / name]
            todo += [p for p in beside if p.is_file() and p not in seen]
            seen.update(beside)
    return False


def command_for(out, tree, kind, source, variant, vmlinux):
    """The compiler call, as the kernel's own build does it: the tree's libbpf and uapi headers before the system's."""
    base = out / "src" / tree
    flags = ["-target", "bpf", "-O2", "-g", f"-mcpu={variant}", "-D__TARGET_ARCH_x86", "-Wno-everything",
             "-Werror=implicit-function-declaration"]  # else a missing macro would look like a kernel function
    if kind == "samples":
        flags += ["-idirafter", str(base / "include")]
        if not vmlinux:
            flags += ["-include", str(SHIMS / "kernel_types.h")]
    elif variant in ("v3", "v4"):
        flags.append("-DENABLE_ATOMICS_TESTS")
    for folder in (out / "vmlinux", base / "generated", base / "tools/lib", base / "tools/testing/selftests/bpf",
                   base / "tools/include/uapi", "/usr/include/x86_64-linux-gnu"):
        flags.append(f"-I{folder}")
    return [CLANG, *flags, *EXTRA_FLAGS.get(source.stem, [])]


def jobs_for(out):
    """Every (source, variant) there is to build, by origin."""
    folders = (("samples", "samples/bpf"), ("selftests", "tools/testing/selftests/bpf/progs"),
               ("selftests-net", "tools/testing/selftests/net"))
    for tree in TREES:
        for kind, folder in folders:
            for source in sources_of(out / "src" / tree / folder):
                vmlinux = needs_vmlinux(source)
                for variant in VARIANTS:
                    origin = f"linux-{tree}-{kind}"
                    name = source.name.removesuffix(".c").removesuffix(".bpf") + ".o"
                    yield Job(origin, variant, source, out / "objects" / origin / variant / name,
                              command_for(out, tree, kind, source, variant, vmlinux), vmlinux, companion_of(source))


def companion_of(source):
    """The source whose object the kernel's build links to this one's, or None: samples that share xdp_sample.bpf.h's variables."""
    companion = source.with_name("xdp_sample.bpf.c")
    return companion if '"xdp_sample.bpf.h"' in source.read_text(errors="replace") and companion.exists() else None


def first_error(text):
    lines = [line for line in text.splitlines() if "error:" in line] or text.splitlines() or ["no message"]
    return re.sub(r"^.*?error: ", "error: ", lines[0])


def build(job, newest_input):
    """None when the object is there, or the reason why not."""
    if job.object.exists() and job.object.stat().st_mtime >= max(newest_input, job.source.stat().st_mtime):
        return None
    job.object.parent.mkdir(parents=True, exist_ok=True)
    fresh = job.object.with_suffix(".new")
    parts = [(job.source, fresh)]
    if job.companion:
        parts = [(job.source, job.object.with_suffix(".own")), (job.companion, job.object.with_suffix(".companion"))]
    reason = None
    for source, to in parts:
        reason = reason or run([*job.command, "-c", str(source), "-o", str(to)])
    if job.companion:
        reason = reason or run(["bpftool", "gen", "object", str(fresh), *(str(to) for _, to in parts)])
    if reason is None:
        os.replace(fresh, job.object)
    else:
        job.object.unlink(missing_ok=True)
    for leftover in (fresh, *(to for _, to in parts)):
        leftover.unlink(missing_ok=True)
    return reason


def run(command):
    """None when the command succeeds, else its first error."""
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "CCACHE_DISABLE": "1"}, check=False)
    return None if done.returncode == 0 else first_error(done.stderr)


def compile_all(out):
    """Builds all; gives the good (origin, variant, source, object) and the failures (same, reason)."""
    jobs = list(jobs_for(out))
    header = out / "vmlinux" / "vmlinux.h"
    inputs = [Path(__file__), *SHIMS.glob("*.h"), *([header] if header.exists() else [])]
    newest = max(p.stat().st_mtime for p in inputs)
    good, failed = [], []

    def one(job):
        return "needs vmlinux.h: this kernel has no BTF" if job.needs_vmlinux and not header.exists() else build(job, newest)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for done, (job, reason) in enumerate(zip(jobs, pool.map(one, jobs)), 1):
            source = str(job.source.relative_to(out / "src"))
            if reason is None:
                good.append((job.origin, job.variant, source, job.object))
            else:
                failed.append((job.origin, job.variant, source, reason))
            if done % 50 == 0 or done == len(jobs):
                print(f"corpus: {done} of {len(jobs)} compiled, {len(failed)} failed", flush=True)
    return good, failed


def copy_installed(out):
    """The objects that Debian's XDP packages install, as they are."""
    good = []
    for package in PACKAGES:
        listed = subprocess.run(["dpkg", "-L", package], capture_output=True, text=True, check=True).stdout
        for path in (Path(line) for line in listed.splitlines() if line.endswith(".o")):
            to = out / "objects" / f"debian-{package}" / "installed" / path.name
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, to)
            good.append((f"debian-{package}", "installed", str(path), to))
    return good


def index(out, objects, failed):
    """The entries of index.json; an object that cannot be read goes to `failed`."""
    entries = []
    for origin, variant, source, path in objects:
        try:
            programs = bpf_elf.programs_of(path)
        except bpf_elf.NotBpf as error:
            failed.append((origin, variant, source, str(error)))
            continue
        if programs:
            entries.append({"object": str(path.relative_to(out)), "origin": origin, "source": source, "variant": variant,
                            "programs": programs})
    return entries


def main():
    out = Path(sys.argv[1]).resolve()
    start = time.monotonic()
    good, failed = compile_all(out)
    entries = index(out, good + copy_installed(out), failed)
    with open(out / "index.json", "w", encoding="utf-8") as file:
        json.dump(entries, file, indent=1)
        file.write("\n")
    with open(out / "failed.txt", "w", encoding="utf-8") as file:
        file.writelines(f"{origin}\t{variant}\t{source}\t{reason}\n" for origin, variant, source, reason in failed)
    hashes = {p["hash"] for e in entries for p in e["programs"]}
    print(f"corpus: {len(entries)} objects, {sum(len(e['programs']) for e in entries)} programs, {len(hashes)} distinct, "
          f"{len(failed)} not built, {time.monotonic() - start:.0f} s: {out}/index.json")


if __name__ == "__main__":
    main()
