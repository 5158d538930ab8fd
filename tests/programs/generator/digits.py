# SPDX-License-Identifier: Apache-2.0
"""Cases of the digit reader: small weights, and the scores computed here from the network's definition."""

import random
import struct

from packets import *
from suite import Suite

MAGIC = 0x2173746967696421
KERNELS, DIGITS = 8, 10


def read(image, kernels, kernel_bias, digits, digit_bias):
    pooled = []
    for kernel, bias in zip(kernels, kernel_bias):
        sums = [[bias + sum(image[(y + j) * 8 + x + i] * kernel[j * 5 + i] for j in range(5) for i in range(5))
                 for x in range(4)] for y in range(4)]
        for y in (0, 2):
            for x in (0, 2):
                pooled.append(max(0, sums[y][x], sums[y][x + 1], sums[y + 1][x], sums[y + 1][x + 1]) >> 7)
    return [bias + sum(a * b for a, b in zip(pooled, digit)) for digit, bias in zip(digits, digit_bias)]


def frame(image, tag=0, scores=None, magic=MAGIC):
    scores = scores or [0] * DIGITS
    digit = scores.index(max(scores))
    payload = struct.pack("<QQ64BI10i4x", magic, tag, *image, digit, *scores)
    return ethernet(IPV4, udp4("192.168.0.1", "192.168.0.254", 6668, 6668, payload, without_checksum=True))


def digits():
    suite = Suite("digits")
    rng = random.Random(8)

    def weights(size):
        return ([[rng.randint(-size, size) for _ in range(25)] for _ in range(KERNELS)],
                [rng.randint(-size * 100, size * 100) for _ in range(KERNELS)],
                [[rng.randint(-size, size) for _ in range(32)] for _ in range(DIGITS)],
                [rng.randint(-size * 1000, size * 1000) for _ in range(DIGITS)])

    def packed(w):
        flat = [v for kernel in w[0] for v in kernel] + w[1] + [v for digit in w[2] for v in digit] + w[3]
        return struct.pack(f"<{len(flat)}i", *flat)

    nothing = packed(([[0] * 25] * KERNELS, [0] * KERNELS, [[0] * 32] * DIGITS, [0] * DIGITS))

    def case(name, image, w, active=0):
        sets = {u32(active): packed(w), u32(1 - active): nothing}
        suite.case(name, frame(image), "PASS", frame(image, 1, read(image, *w)),
                   {"weights": sets, "active": {u32(0): u32(active)}})

    picture = [rng.randint(0, 255) for _ in range(64)]
    case("random weights", picture, weights(150))
    case("the other set of weights", picture, weights(150), active=1)
    case("a white image", [255] * 64, weights(150))
    case("a black image: the biases alone", [0] * 64, weights(150))
    zero = weights(150)
    case("nothing passes the ReLU", picture, ([[-1] * 25] * KERNELS, [0] * KERNELS, zero[2], zero[3]))
    case("of equal scores the first digit wins", picture, (zero[0], zero[1], [[1] * 32] * DIGITS, [7] * DIGITS))
    last = [[0] * 32] * (DIGITS - 1) + [[1] * 32]
    case("the last digit", picture, ([[10] * 25] * KERNELS, [0] * KERNELS, last, [0] * DIGITS))
    case("all scores are negative", picture, (zero[0], zero[1], zero[2], [-(10**9) - d for d in (5, 4, 3, 2, 1) * 2]))
    suite.case("a read image stays", frame(picture, 1), "PASS")
    suite.case("another magic number", frame(picture, magic=MAGIC ^ 1), "PASS")
    suite.case("one byte too short", frame(picture)[:-1], "PASS")
    return suite
