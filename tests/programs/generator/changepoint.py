# SPDX-License-Identifier: Apache-2.0
"""Cases of the change-point programs. The expected tags are computed here in exact integers, by the definition."""

import math
import struct

from packets import *
from suite import Suite

MAGIC = 0x216C7174786A7A21
SPLIT, NO_SPLIT = 1, 2
SCALE = 1 << 14
EPSILON, EPSILON_SQUARED = 1638, 2684191


def tag_of(values):
    """The decision on 16 fixed-point values (docs/changepoint.md)."""
    mean = sum(values[:8]) >> 3
    variance = (sum(value * value for value in values[:8]) >> 3) - mean * mean
    far = sum(abs(value - mean) >= EPSILON for value in values[8:])
    return SPLIT if far * EPSILON_SQUARED > variance << 3 else NO_SPLIT


def fixed(samples):
    return [math.floor(sample * SCALE) for sample in samples]


def frame(body, tag=0, magic=MAGIC, length=272):
    """The sender's packet: a UDP payload of 272 bytes, what is not used is zero."""
    payload = struct.pack("<QQ", magic, tag) + body
    payload += bytes(max(0, length - len(payload)))
    return ethernet(IPV4, udp4("192.168.0.1", "255.255.255.255", 40000, 6666, payload, without_checksum=True))


def decided(packet, values):
    return packet[:50] + struct.pack("<Q", tag_of(values)) + packet[58:]


def common(suite, pack, convert, shortest):
    """What both programs do; pack() makes the body of 16 samples, `shortest` is the frame that just holds it."""

    def decide(name, samples, wanted=None):
        values = convert(samples)
        assert wanted in (None, tag_of(values)), name
        packet = frame(pack(samples))
        suite.case(name, packet, "PASS", decided(packet, values))

    level = [10.0] * 8
    decide("a constant series does not split", level * 2, NO_SPLIT)
    decide("one sample that is off splits a constant series", level + [10.0] * 7 + [11.0], SPLIT)
    decide("the first tested sample counts", level + [11.0] + [10.0] * 7, SPLIT)
    decide("a sample below counts", level + [10.0] * 7 + [9.0], SPLIT)
    decide("epsilon itself is far", level + [10.0] * 7 + [10.0 + EPSILON / SCALE], SPLIT)
    decide("one unit less is near", level + [10.0] * 7 + [10.0 + (EPSILON - 1) / SCALE], NO_SPLIT)
    decide("epsilon below is far", level + [10.0] * 7 + [10.0 - EPSILON / SCALE], SPLIT)
    decide("one unit less below is near", level + [10.0] * 7 + [10.0 - (EPSILON - 1) / SCALE], NO_SPLIT)
    decide("a scattered series does not split at its own scatter", [9.0, 11.0] * 8, NO_SPLIT)
    decide("a small scatter and a step split", [10.0, 10.03] * 4 + [12.0] * 8, SPLIT)
    decide("some far samples outweigh a small variance", [10.0, 10.1] * 4 + [10.3] * 4 + [10.0] * 4)
    decide("a mean below epsilon", [0.01] * 8 + [0.0] * 8, NO_SPLIT)
    decide("zeros", [0.0] * 16, NO_SPLIT)
    decide("zeros, then a step", [0.0] * 8 + [0.1] * 8)
    decide("the largest samples", [65535.75] * 16, NO_SPLIT)
    decide("the largest samples after zeros", [0.0] * 8 + [65535.75] * 8, SPLIT)
    decide("zeros after the largest samples", [65535.75] * 8 + [0.0] * 8, SPLIT)
    decide("the widest scatter", [0.0, 65535.75] * 8, NO_SPLIT)
    decide("stock prices", [1.51, 1.5, 1.51, 1.51, 1.53, 1.52, 1.54, 1.53, 1.54, 1.6, 1.66, 1.7, 1.7, 1.71, 1.72, 1.8])
    samples = [10.0] * 15 + [11.0]
    for name, tag in (("a decided packet stays (split)", 1), ("a decided packet stays (no split)", 2),
                      ("another tag stays", 3), ("a tag in the upper half stays", 1 << 63)):
        suite.case(name, frame(pack(samples), tag), "PASS")
    suite.case("another magic number, lowest byte", frame(pack(samples), magic=MAGIC ^ 1), "PASS")
    suite.case("another magic number, highest byte", frame(pack(samples), magic=MAGIC ^ 1 << 56), "PASS")
    packet = frame(pack(samples))[:shortest]
    suite.case("the shortest frame that holds it", packet, "PASS", decided(packet, convert(samples)))
    suite.case("one byte less is left alone", packet[:-1], "PASS")
    suite.case("only an Ethernet header", packet[:14], "PASS")


def changepoint_fixed():
    suite = Suite("changepoint_fixed")
    common(suite, lambda samples: struct.pack("<16I", *fixed(samples)), fixed, 122)
    return suite


def changepoint_double():
    suite = Suite("changepoint_double")

    def pack(samples):
        return struct.pack("<16d", *samples)

    common(suite, pack, fixed, 186)
    tiny = [5e-324, 2.0**-1022, 2.0**-30, 2.0**-25, 2.0**-24, 2.0**-16, 2.0**-15, 2.0**-14 * (1 - 2.0**-53)]
    # Each kind of tiny sample takes its turn as all of a window, where a wrong bit would show as a split.
    for sample in tiny:
        values = fixed([sample] * 8 + [0.0] * 8)
        assert tag_of(values) == NO_SPLIT
        packet = frame(pack([sample] * 8 + [0.0] * 8))
        suite.case(f"{sample!r} counts as zero", packet, "PASS", decided(packet, values))
    for exponent in range(-14, 16):
        sample = 2.0**exponent * 1.999999
        samples = [sample] * 8 + [sample + EPSILON / SCALE] + [sample] * 7
        packet = frame(pack(samples))
        suite.case(f"truncates 1.999999 times 2^{exponent}", packet, "PASS", decided(packet, fixed(samples)))
    return suite
