# SPDX-License-Identifier: Apache-2.0
"""Compiles every XDP source of the extracted kernel trees for each cpu variant, copies the installed objects and writes
index.json. Called by build.sh with the corpus folder.

An object is built again only when its source, the compiler call or something all sources share (kernel tree, shims,
vmlinux.h, compiler) changed: `built.json` holds a digest of these for each. What does not build is listed in failed.txt
with the compiler's first error. Invariant: index.json holds exactly the objects that this run found good, so objects of
an older run never linger in it.
"""
import hashlib
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

import index

CLANG = "clang-19"
VARIANTS = ("v1", "v2", "v3", "v4")
TREES = ("6.12", "6.1")
PACKAGES = ("xdp-tools", "libxdp1", "xdp-tests")
SHIMS = Path(__file__).resolve().parent / "shims"
# An XDP section, or a context that only XDP programs take: which functions are programs is decided on the object.
XDP_SOURCE = re.compile(r'SEC\("\??xdp|struct xdp_md\s*\*')
# Sources the kernel's build compiles with flags of their own (selftests/bpf/Makefile).
EXTRA_FLAGS = {"test_xdp_noinline": ["-fno-inline"]}

Job = namedtuple("Job", "origin variant source object command needs_vmlinux companion")


def sources_of(folder):
    """The C files in `folder` that may hold XDP programs."""
    return [p for p in sorted(folder.glob("*.c")) if XDP_SOURCE.search(p.read_text(errors="replace"))]


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
    """The source whose object the kernel's build links to this one's (samples with xdp_sample.bpf.h's variables), or None."""
    companion = source.with_name("xdp_sample.bpf.c")
    return companion if '"xdp_sample.bpf.h"' in source.read_text(errors="replace") and companion.exists() else None


def first_error(text):
    lines = [line for line in text.splitlines() if "error:" in line] or text.splitlines() or ["no message"]
    return re.sub(r"^.*?error: ", "error: ", lines[0])


def digest_of_shared(out):
    """Of what every object depends on. The stamps stand for the kernel trees' packages and for vmlinux.h."""
    files = [out / "src" / tree / ".stamp" for tree in TREES] + [out / "vmlinux/.stamp", *sorted(SHIMS.glob("*.h"))]
    digest = hashlib.sha256(subprocess.run([CLANG, "--version"], capture_output=True, check=True).stdout)
    for file in files:
        digest.update(file.read_bytes() if file.exists() else b"none")
    return digest.hexdigest()


def digest_of(job, shared):
    digest = hashlib.sha256(json.dumps([shared, job.command]).encode())
    for source in filter(None, (job.source, job.companion)):
        digest.update(source.read_bytes())
    return digest.hexdigest()


def build(job):
    """Builds the object; None when it is there, or the reason why not."""
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
    environment = {**os.environ, "CCACHE_DISABLE": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    return None if done.returncode == 0 else first_error(done.stderr)


def compile_all(out):
    """Builds all; gives the good (origin, variant, source, object) and the failures (same, reason)."""
    jobs = list(jobs_for(out))
    header = out / "vmlinux" / "vmlinux.h"
    shared, ledger = digest_of_shared(out), out / "built.json"
    built = json.loads(ledger.read_text(encoding="utf-8")) if ledger.exists() else {}
    good, failed, now = [], [], {}

    def one(job):
        if job.needs_vmlinux and not header.exists():
            return "needs vmlinux.h: this kernel has no BTF"
        digest = digest_of(job, shared)
        reason = None if job.object.exists() and built.get(str(job.object)) == digest else build(job)
        if reason is None:
            now[str(job.object)] = digest
        return reason

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for done, (job, reason) in enumerate(zip(jobs, pool.map(one, jobs)), 1):
            source = str(job.source.relative_to(out / "src"))
            if reason is None:
                good.append((job.origin, job.variant, source, job.object))
            else:
                failed.append((job.origin, job.variant, source, reason))
            if done % 50 == 0 or done == len(jobs):
                print(f"corpus: {done} of {len(jobs)} compiled, {len(failed)} failed", flush=True)
    ledger.write_text(json.dumps(now, indent=1), encoding="utf-8")
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


def main():
    out = Path(sys.argv[1]).resolve()
    start = time.monotonic()
    good, failed = compile_all(out)
    entries = index.entries(out, good + copy_installed(out), failed)
    index.write(out, entries)
    with open(out / "failed.txt", "w", encoding="utf-8") as file:
        file.writelines(f"{origin}\t{variant}\t{source}\t{reason}\n" for origin, variant, source, reason in failed)
    hashes = {p["hash"] for e in entries for p in e["programs"]}
    programs = sum(len(e["programs"]) for e in entries)
    print(f"corpus: {len(entries)} objects, {programs} programs, {len(hashes)} distinct, "
          f"{len(failed)} not built, {time.monotonic() - start:.0f} s: {out}/index.json")


if __name__ == "__main__":
    main()
