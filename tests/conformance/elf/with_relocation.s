# SPDX-License-Identifier: Apache-2.0
# A call that only a linker can resolve.
        .text
        .globl main
main:
        call elsewhere
        exit
