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


STREAM_MAGIC = 0x216D616572747321
TAKEN, REFUSED, LATE, DUPLICATE, FOREIGN = 3, 4, 5, 6, 7
COUNTS = ["taken", "missing", "reordered", "late", "duplicates", "refused", "foreign", "no_room", "restarts",
          "decisions", "splits", "untold"]
STREAM_EPSILON = 1638
SENDER = "192.168.0.7"
KEY = address(SENDER) + u32(9)


def stream_frame(sequence, sample, tag=0, far=0, mean=0, variance=0, magic=STREAM_MAGIC):
    payload = struct.pack("<QQIIIIQQ", magic, tag, 9, sequence, sample, far, mean, variance)
    return ethernet(IPV4, udp4(SENDER, "192.168.0.254", 20009, 6667, payload, without_checksum=True))


def order(next_sequence, seen, owner=1):
    return struct.pack("<IIQ", owner, next_sequence, seen)


def counts(**wanted):
    return {u32(index): u64(wanted.get(name, 0)) for index, name in enumerate(COUNTS)}


def stream_cases(suite, state):
    """What both programs do with one packet. state(order, samples): a stream that has `samples` samples of 1000.
    `left`: so many samples lie in the running step, which no longer counts all of them."""

    def case(name, before, sequence, tag, after_order=None, sample=1000, after_samples=None, left=0, **counted):
        packet = stream_frame(sequence, sample)
        after = {} if after_order is None else {"streams": {KEY: state(after_order, after_samples, left=left)}}
        maps = {} if before is None else {"streams": {KEY: before}}
        suite.case(name, packet, "PASS", stream_frame(sequence, sample, tag), maps,
                   {"counts": counts(**counted), **after})

    case("the first sample of a stream", None, 0, TAKEN, order(1, 1), after_samples=1, taken=1)
    three = state(order(3, 7), 3)
    case("the next sample", three, 3, TAKEN, order(4, 15), after_samples=4, taken=1)
    case("two samples are missing", three, 5, TAKEN, order(6, 0x39), after_samples=4, taken=1, missing=2)
    case("a gap as long as the history", three, 66, TAKEN, order(67, 1), after_samples=4, taken=1, missing=63)
    case("a double", three, 1, DUPLICATE, order(3, 7), after_samples=3, duplicates=1)
    case("a reordered sample", state(order(6, 0x39), 4), 4, TAKEN, order(6, 0x3b), after_samples=5, taken=1, reordered=1)
    case("the oldest of the history", state(order(100, 1), 4), 36, TAKEN, order(100, 1 | 1 << 63), after_samples=5,
         taken=1, reordered=1)
    case("a late sample", state(order(100, 1), 4), 35, LATE, order(100, 1), after_samples=4, late=1)
    case("sequence numbers go round", state(order(0xFFFFFFFF, 3), 4), 0, TAKEN, order(1, 13), after_samples=5, taken=1,
         missing=1)
    case("a sender that begins anew", three, 1 << 20, TAKEN, order((1 << 20) + 1, 1), after_samples=1, left=3, taken=1,
         restarts=1)
    case("a sample out of range", three, 3, REFUSED, order(3, 7), 1 << 27, 3, refused=1)
    case("a stream of another queue", state(order(3, 7, owner=2), 3), 3, FOREIGN, order(3, 7, owner=2),
         after_samples=3, foreign=1)
    packet = stream_frame(0, 1000)
    suite.case("another magic number", stream_frame(0, 1000, magic=STREAM_MAGIC ^ 1), "PASS", expect_maps={"counts": counts()})
    suite.case("an answered packet stays", stream_frame(0, 1000, tag=1), "PASS", expect_maps={"counts": counts()})
    suite.case("one byte too short", packet[:-1], "PASS", expect_maps={"counts": counts()})


def changepoint_stream():
    suite = Suite("changepoint_stream")

    def state(stream_order, samples, far=0, steps=0, at=0, window=(0, 0), mean=0, variance=0, kept=(), running=None, left=0):
        running = running or (samples * 1000, samples * 1000**2)
        value = stream_order + struct.pack("<IIII", samples, far, steps, at) + struct.pack(
            "<QQQQQQ", *running, *window, mean, variance)
        kept = list(kept) + [(0, 0)] * (8 - len(kept))
        return value + b"".join(struct.pack("<QQ", *sums) for sums in kept)

    stream_cases(suite, state)
    seen = (1 << 64) - 1
    # Four steps in the window, half of its samples 900 and half 1100; the running step lacks its last sample.
    full = (128 * 1000, 64 * 900**2 + 64 * 1100**2)
    variance = (64 * 4 * 900**2 + 64 * 4 * 1100**2) // 512 - 1000**2
    window = tuple(4 * sums for sums in full)

    def step(name, far, sample, splits):
        running = (127 * 1000, 127 * 1000**2)
        before = state(order(800, seen), 127, far, 4, 1, window, 1000, variance, [full] * 4, running)
        far += abs(sample - 1000) >= STREAM_EPSILON
        assert splits == (far * STREAM_EPSILON**2 > variance * 128), name
        done = (127 * 1000 + sample, 127 * 1000**2 + sample**2)
        kept = [full, done, full, full]
        if splits:
            after = state(order(801, seen), 0, 0, 1, 2, done, 1000, variance, kept)
        else:
            moved = tuple(w - f + d for w, f, d in zip(window, full, done))
            mean = moved[0] // 512
            after = state(order(801, seen), 0, 0, 4, 2, moved, mean, moved[1] // 512 - mean**2, kept)
        tag = SPLIT if splits else NO_SPLIT
        suite.case(name, stream_frame(800, sample), "PASS", stream_frame(800, sample, tag, far, 1000, variance),
                   {"streams": {KEY: before}}, {
                       "streams": {KEY: after},
                       "counts": counts(taken=1, decisions=1, splits=int(splits))
                   })

    step("a step that fits moves the window", 0, 1000, False)
    step("its last sample is the far one", 0, 1000 + STREAM_EPSILON, True)
    step("one unit less is near", 0, 1000 + STREAM_EPSILON - 1, False)
    step("a step that splits begins the window", 100, 1000, True)
    return suite


def changepoint_sample():
    suite = Suite("changepoint_sample")

    def state(stream_order, samples, left=0):
        left = max(left, samples)
        running = [1000] * left + [0] * (128 - left)
        return stream_order + struct.pack("<IIQ", 1 + 9, samples, samples * 1000) + bytes(4 * 512) + struct.pack(
            "<128I", *running)

    stream_cases(suite, state)
    return suite
