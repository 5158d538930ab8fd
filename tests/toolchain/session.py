#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Debian's bpftool, ip and xdp-loader, unmodified, against the card, and against the kernel on a veth.

Every command runs on both sides; exit codes and output have to be equal after the differences of NORMALISE and
JSON_KEYS (docs/toolchain.md lists them). Commands that only the card is asked are marked. Without root there is no
kernel to compare with: the card's exit codes are checked all the same.
"""
import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

# What may differ between card and kernel, in text: ids, times, sizes of code and memory, and names that hold them.
NORMALISE = [
    (r"(?m)^\d+: ", "ID: "),
    (r"loaded_at \S+", "loaded_at TIME"),
    (r"xlated \d+B", "xlated NB"),
    (r"(not jited|jited \d+B)", "JITED"),
    (r"memlock \d+B", "memlock NB"),
    (r"map_ids [\d,]+", "map_ids IDS"),
    (r"\b(btf_id|prog|id|prog/xdp id) \d+", r"\1 ID"),
    (r" jited\b", ""),
    (r" run_time_ns \d+ run_cnt \d+", ""),  # the card always counts
    (r"duration: \d+ns", "duration: NS"),
    (r"lan\(\d+\)", "lan(INDEX)"),
    (r"'?ifindex'? \d+", "ifindex INDEX"),
]
# The same in JSON: members that are left out.
JSON_KEYS = {"id", "loaded_at", "bytes_xlated", "jited", "bytes_jited", "bytes_memlock", "map_ids", "btf_id", "prog_id",
             "ifindex", "duration", "run_time_ns", "run_cnt"}


def strip(value):
    if isinstance(value, dict):
        return {key: strip(one) for key, one in value.items() if key not in JSON_KEYS}
    if isinstance(value, list):
        return [strip(one) for one in value]
    return value


class Side:
    """One place where commands run: the card, or the kernel."""

    def __init__(self, name, prefix, pins, env=None):
        self.name, self.prefix, self.pins, self.env = name, prefix, pins, env

    def run(self, words, stdin=None):
        words = [word.replace("{pins}", self.pins) for word in words]
        done = subprocess.run(self.prefix + words, capture_output=True, text=True, timeout=60, env=self.env, input=stdin)
        return done.returncode, done.stdout.replace(self.pins, "PINS"), done.stderr.replace(self.pins, "PINS")


class Session:
    def __init__(self, card, kernel, xnic):
        self.card, self.kernel, self.xnic = card, kernel, xnic
        self.commands = self.compared = 0
        self.failures = []

    def fail(self, words, text):
        self.failures.append(f"{' '.join(words)}\n{text[:700]}")

    def normal(self, text, pick):
        if pick:
            return pick(json.loads(text)) if text.strip() else None
        for pattern, to in NORMALISE:
            text = re.sub(pattern, to, text)
        return text.strip()

    def both(self, command, code=0, pick=None, stdin=None):
        """The command on both sides; `pick` makes what is compared out of JSON."""
        words = command.split() if isinstance(command, str) else command
        got = self.on_card(words, code, stdin)
        if self.kernel is None:
            return got
        theirs = self.kernel.run(words, stdin)
        self.compared += 1
        try:
            ours = (got[0], self.normal(got[1], pick), self.normal(got[2], None))
            other = (theirs[0], self.normal(theirs[1], pick), self.normal(theirs[2], None))
        except json.JSONDecodeError as error:
            self.fail(words, f"not JSON: {error}\ncard: {got}\nkernel: {theirs}")
            return got
        if ours != other:
            self.fail(words, f"card:   {ours}\nkernel: {other}")
        return got

    def json(self, command, code=0, pick=strip):
        return self.both(command, code, pick)

    def on_card(self, command, code=0, stdin=None, contains=""):
        """The command on the card alone: whether it succeeds (code 0) or fails, and a text that the output has to contain."""
        words = command.split() if isinstance(command, str) else command
        got = self.card.run(words, stdin)
        self.commands += 1
        if (got[0] == 0) != (code == 0) or contains not in got[1] + got[2]:
            self.fail(words, f"on the card: exit code {got[0]}, expected {'0' if code == 0 else 'another'}, and "
                             f"«{contains}» in:\n{got[1]}{got[2]}")
        return got

    def wait_for_one(self, name):
        """Until the kernel has one map of this name: it frees a map some time after the last handle is closed."""
        for _ in range(200 if self.kernel else 0):
            found = json.loads(self.kernel.run(["bpftool", "-j", "map", "show", "name", name])[1] or "[]")
            if isinstance(found, dict) or len(found) == 1:
                return
            time.sleep(0.05)

    def absent(self, command, text):
        """The command on the card alone: it succeeds, and does not say this."""
        got = self.on_card(command)
        if text in got[1]:
            self.fail(command.split(), f"on the card: «{text}» in:\n{got[1]}")


def xdp_of(links):
    """Of `ip -j link`: the XDP part of each interface."""
    return [strip(link.get("xdp")) for link in links if link]


def programs(session, objects):
    s = session
    s.both(f"bpftool prog load {objects}/xdp1.bpf.o {{pins}}/one")
    s.both("bpftool prog show pinned {pins}/one")
    s.json("bpftool -j prog show pinned {pins}/one")
    s.both("bpftool prog show pinned {pins}/none", 1)
    s.both(f"bpftool prog load {objects}/xdp1.bpf.o {{pins}}/one", 1)
    s.wait_for_one("packets_by_prot")  # not that of the load that failed
    s.both("bpftool map show name packets_by_prot")
    s.json("bpftool -j map show name packets_by_prot")
    s.json("bpftool -j map dump name packets_by_prot")
    s.json("bpftool -j map lookup name packets_by_prot key 17 0 0 0")
    s.both("bpftool prog run pinned {pins}/one data_in {packet} repeat 1".replace("{packet}", PACKET))
    s.json("bpftool -j prog run pinned {pins}/one data_in {packet} repeat 1".replace("{packet}", PACKET))
    s.both("bpftool prog pin pinned {pins}/one {pins}/two")
    s.both("bpftool prog show pinned {pins}/two")
    s.on_card("bpftool -f prog show", contains="pinned PINS/two")
    s.on_card("bpftool prog dump xlated pinned {pins}/one", contains="exit")
    s.on_card("bpftool -j prog dump xlated pinned {pins}/one opcodes", contains='"opcodes"')
    s.both(f"bpftool prog loadall {objects}/xdp2.bpf.o {{pins}}/all")
    s.both("bpftool prog show pinned {pins}/all/xdp2")
    s.both("bpftool prog load /dev/null {pins}/bad", 1)
    for pin in ("two", "all/xdp2"):
        s.both(["rm", "{pins}/" + pin])
    s.both("bpftool prog show pinned {pins}/two", 1)


def maps(session):
    s = session
    s.both("bpftool map create {pins}/h type hash key 4 value 8 entries 4 name xnic_h")
    s.both("bpftool map show pinned {pins}/h")
    s.json("bpftool -j map show pinned {pins}/h")
    s.both("bpftool map update pinned {pins}/h key 1 0 0 0 value 1 2 3 4 5 6 7 8")
    s.both("bpftool map update pinned {pins}/h key 1 0 0 0 value 9 2 3 4 5 6 7 8 noexist", 1)
    s.both("bpftool map update pinned {pins}/h key 2 0 0 0 value 9 2 3 4 5 6 7 8 exist", 1)
    s.both("bpftool map lookup pinned {pins}/h key 1 0 0 0")
    s.json("bpftool -j map lookup pinned {pins}/h key 1 0 0 0")
    s.both("bpftool map lookup pinned {pins}/h key 7 0 0 0", 1)
    s.both("bpftool map getnext pinned {pins}/h")
    s.both("bpftool map getnext pinned {pins}/h key 1 0 0 0", 1)
    s.both("bpftool map dump pinned {pins}/h")
    s.json("bpftool -j map dump pinned {pins}/h")
    for key in (3, 4, 5):
        s.both(f"bpftool map update pinned {{pins}}/h key {key} 0 0 0 value 1 1 1 1 1 1 1 1")
    s.both("bpftool map update pinned {pins}/h key 6 0 0 0 value 1 1 1 1 1 1 1 1", 1)
    s.both("bpftool map delete pinned {pins}/h key 3 0 0 0")
    s.both("bpftool map delete pinned {pins}/h key 3 0 0 0", 1)
    s.both("bpftool map freeze pinned {pins}/h")
    s.both("bpftool map update pinned {pins}/h key 1 0 0 0 value 0 0 0 0 0 0 0 0", 1)
    s.both("bpftool map freeze pinned {pins}/h", 1)
    s.both("bpftool map show pinned {pins}/h")
    s.both("bpftool map create {pins}/a type array key 4 value 4 entries 2 name xnic_a")
    s.both("bpftool map dump pinned {pins}/a")
    s.both("bpftool map delete pinned {pins}/a key 0 0 0 0", 1)
    s.both("bpftool map update pinned {pins}/a key 9 0 0 0 value 1 0 0 0", 1)
    for kind in ("queue", "stack"):
        s.both(f"bpftool map create {{pins}}/{kind} type {kind} value 4 entries 2 name xnic_{kind}")
        for value in (1, 2, 3):
            s.both(f"bpftool map {'enqueue' if kind == 'queue' else 'push'} pinned {{pins}}/{kind} value {value} 0 0 0",
                   1 if value == 3 else 0)
        s.both(f"bpftool map peek pinned {{pins}}/{kind}")
        for code in (0, 0, 1):
            s.json(f"bpftool -j map {'dequeue' if kind == 'queue' else 'pop'} pinned {{pins}}/{kind}", code)
    for kind, key in (("lru_hash", 4), ("percpu_hash", 4), ("percpu_array", 4), ("lpm_trie", 8)):
        flags = " flags 1" if kind == "lpm_trie" else ""
        s.both(f"bpftool map create {{pins}}/{kind} type {kind} key {key} value 8 entries 4 name xnic_m{flags}")
        s.both(f"bpftool map show pinned {{pins}}/{kind}")
        s.json(f"bpftool -j map dump pinned {{pins}}/{kind}")
    s.both("bpftool map create {pins}/x type hash key 0 value 8 entries 4 name xnic_x", 1)
    s.both("bpftool map create {pins}/h type hash key 4 value 8 entries 4 name xnic_h", 1)
    s.both("bpftool map pin pinned {pins}/h {pins}/h2")
    s.both("bpftool map show pinned {pins}/h2")
    s.both(["rm", "{pins}/h2"])


def network(session, objects):
    s = session
    s.json("ip -j link show dev lan", pick=xdp_of)
    s.both("ip link set dev lan xdp pinned {pins}/one")
    s.json("ip -j link show dev lan", pick=xdp_of)
    s.both("bpftool net show dev lan")
    s.json("bpftool -j net show dev lan")
    s.both("ip link set dev lan xdp pinned {pins}/one", 2)
    s.both("ip -force link set dev lan xdp pinned {pins}/one")
    s.both("ip -force link set dev lan xdpgeneric pinned {pins}/one", 2)
    s.both("ip link set dev lan xdp off")
    s.both("ip link set dev lan xdp off")
    s.json("ip -j link show dev lan", pick=xdp_of)
    s.both("ip link set dev lan xdpgeneric pinned {pins}/one")
    s.json("ip -j link show dev lan", pick=xdp_of)
    s.both("ip link set dev lan xdpgeneric off")
    s.both(f"ip link set dev lan xdpdrv obj {objects}/xdp2.bpf.o sec xdp")
    s.json("ip -j link show dev lan", pick=xdp_of)
    s.both("ip link set dev lan xdpdrv off")
    s.both("bpftool net attach xdp pinned {pins}/one dev lan")
    s.both("bpftool net attach xdp pinned {pins}/one dev lan", 1)
    s.both("bpftool net attach xdp pinned {pins}/one dev lan overwrite")
    s.both("bpftool net detach xdp dev lan")
    s.both("bpftool net show dev lan")
    s.both("ip link set dev nowhere xdp pinned {pins}/one", 1)
    s.on_card(f"ip link set dev lan xdpoffload obj {objects}/xdp1.bpf.o sec xdp")
    s.on_card("ip link show dev lan", contains="xdpoffload")
    s.on_card("bpftool prog show", contains="offloaded_to lan")
    s.on_card("ip link set dev lan xdpoffload off")
    s.on_card("ip link set dev lan xdpoffload pinned {pins}/one", 2, contains="xdpoffload of non-bound program")
    s.on_card("ip link set dev lan mtu 9000", 2, contains="only XDP programs can be changed")
    s.on_card("ip -br link", contains="wan")
    s.on_card(f"xdp-loader load lan {objects}/xdp1.bpf.o")
    s.on_card("xdp-loader status", contains="xdp1")
    s.on_card("xdp-loader unload lan -a")


def others(session, events, obj):
    s = session
    s.both([events])
    s.both([events, "lan"])
    s.both("bpftool link show")
    s.both(f"bpftool gen skeleton {obj}")
    s.both(f"bpftool btf dump file {obj} format c")
    s.on_card("bpftool feature probe kernel", contains="eBPF program_type xdp is available")
    s.on_card("bpftool btf show", contains="size")
    s.on_card("bpftool prog load {} {{pins}}/events".format(obj))
    s.on_card("bpftool map dump name events.bss", contains="packets")


def offload(session, objects):
    """Rows of the kernel's own test of offloading (docs/toolchain.md has the table), as far as these tools can ask."""
    s = session
    refused = "ip link set dev {} {} pinned {{pins}}/bound"
    s.on_card(f"bpftool prog load {objects}/xdp1.bpf.o {{pins}}/bound type xdp dev lan")
    s.on_card("bpftool prog show pinned {pins}/bound", contains="offloaded_to lan")  # 24: program and maps
    s.on_card("bpftool map show", contains="offloaded_to lan")
    s.on_card(refused.format("lan", "xdpdrv"), 1, contains="Using offloaded program without HW_MODE flag")  # 14
    s.on_card(refused.format("wan", "xdpoffload"), 1, contains="Program bound to different device")  # 18
    s.on_card(refused.format("lan", "xdpoffload"))
    s.on_card("ip -j link show dev lan", contains='"mode":3')  # 16
    s.on_card("ip link set dev lan xdpdrv pinned {pins}/one", 1, contains="one program")  # 19: no second one
    s.on_card("ip link set dev lan xdpoffload pinned {pins}/bound", 1, contains="XDP program already attached")  # 20
    for mode in ("xdpoffload", "xdpoffload", "xdpdrv", "xdp"):  # 17: repeated
        s.on_card(f"ip link set dev lan {mode} off")
    s.on_card(["rm", "{pins}/bound"])
    s.on_card(f"ip link set dev lan xdpoffload obj {objects}/xdp1.bpf.o sec xdp")
    s.on_card("ip link set dev lan xdpoffload off")
    s.absent("bpftool prog show", "offloaded_to")  # 27: gone with the attachment
    s.absent("bpftool map show", "offloaded_to")
    s.on_card(f"ip link set dev wan xdpgeneric obj {objects}/xdp2.bpf.o sec xdp")
    s.on_card(f"ip link set dev lan xdpoffload obj {objects}/xdp2.bpf.o sec xdp")
    s.on_card("bpftool prog show", contains="name xdp2")
    for port in ("lan", "wan"):
        s.on_card([s.xnic, "ports", "remove", port])  # 1: ports take their programs with them
    s.absent("bpftool prog show", "name xdp2")
    s.on_card("ip link show dev lan", 1, contains="does not exist")


PACKET = ""


def start(arguments, folder):
    with open(f"{folder}/card.toml", "w", encoding="ascii") as file:
        file.write('[card]\ncontrol = "control"\nspin_polls = 0\nframes = 1024\nengine = "interp"\n')
        for index, name in ((4101, "lan"), (4102, "wan")):
            file.write(f'[[port]]\nname = "{name}"\nkind = "memory"\nifindex = {index}\npath = "{name}.sock"\n')
    subprocess.run([arguments.xnic, "up", f"{folder}/card.toml"], check=True, stdout=subprocess.DEVNULL)


def kernel_side(name, pins):
    """A veth called lan in a network namespace of its own; None without the rights for it."""
    if os.geteuid() != 0 or not os.path.ismount("/sys/fs/bpf"):
        return None
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, check=False)
    if made.returncode != 0:
        return None
    for command in ("link add lan type veth peer name peer", "link set peer up", "link set lan up"):
        if subprocess.run(["ip", "-n", name, *command.split()], capture_output=True, check=False).returncode != 0:
            return None
    os.makedirs(pins, mode=0o700)
    return Side("kernel", ["nsenter", f"--net=/run/netns/{name}"], pins)


def main():
    global PACKET
    parser = argparse.ArgumentParser()
    for option in ("xnic", "events", "object", "programs"):
        parser.add_argument(f"--{option}", required=True)
    arguments = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="xnic-toolchain-")
    name = f"xnic-tools-{os.getpid()}"
    PACKET = f"{folder}/packet"
    with open(PACKET, "wb") as file:
        file.write(bytes(12) + b"\x08\x00\x45" + bytes(8) + b"\x11" + bytes(40))
    session = None
    try:
        start(arguments, folder)
        env = dict(os.environ, XNIC_SOCKET=f"{folder}/control")
        card = Side("card", [arguments.xnic, "exec", "--"], f"/sys/fs/bpf/{name}", env)
        kernel = kernel_side(name, f"/sys/fs/bpf/{name}")
        if kernel is None:
            print("No kernel to compare with (that needs root and a bpffs): the card alone is asked.")
        session = Session(card, kernel, arguments.xnic)
        programs(session, arguments.programs)
        maps(session)
        network(session, arguments.programs)
        others(session, arguments.events, arguments.object)
        offload(session, arguments.programs)
    finally:
        subprocess.run([arguments.xnic, "down", "--socket", f"{folder}/control"], capture_output=True, check=False)
        subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)
        shutil.rmtree(f"/sys/fs/bpf/{name}", ignore_errors=True)
        shutil.rmtree(folder, ignore_errors=True)
    for failure in session.failures:
        print(failure, "\n")
    print(f"{session.commands} commands on the card, {session.compared} compared with the kernel, "
          f"{len(session.failures)} different")
    return 1 if session.failures else 0


if __name__ == "__main__":
    sys.exit(main())
