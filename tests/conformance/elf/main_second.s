# SPDX-License-Identifier: Apache-2.0
# An object as the conformance runner's --elf mode makes them, except that main is not the first function.
        .text
square:
        r0 = r1
        r0 *= r1
        exit
        .globl main
main:
        r1 = *(u8 *)(r1 + 0)
        call square
        exit
