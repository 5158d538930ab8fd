# SPDX-License-Identifier: Apache-2.0
"""Collects the cases of one program and writes them as tests/programs/NAME.json (format: tests/programs/README.md)."""

import json


class Suite:

    def __init__(self, program):
        self.program = program
        self.cases = []

    def case(self, name, packet, verdict, expect=None, maps=None, expect_maps=None, ingress=1, queue=0):
        """`maps` and `expect_maps`: {map: {key bytes: value bytes, None for absent}}; a list of values for a queue."""
        assert len(packet) >= 14 and name not in [case["name"] for case in self.cases], name
        entry = {
            "name": name,
            "maps": table(maps),
            "packet": packet.hex(),
            "ingress_ifindex": ingress,
            "rx_queue": queue,
            "verdict": "XDP_" + verdict
        }
        if expect is not None and expect != packet:
            entry["expect"] = expect.hex()
        entry["expect_maps"] = table(expect_maps)
        self.cases.append(entry)

    def write(self, folder):
        with open(folder / f"{self.program}.json", "w", encoding="ascii") as file:
            json.dump({"program": self.program, "cases": self.cases}, file, indent=1)
            file.write("\n")


def table(maps):
    result = {}
    for name, entries in (maps or {}).items():
        if isinstance(entries, list):
            result[name] = [{"key": "", "value": value.hex()} for value in entries]
        else:
            result[name] = [{
                "key": key.hex(),
                "value": None if value is None else value.hex()
            } for key, value in entries.items()]
    return result
