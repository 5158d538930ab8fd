# SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
# Writes 8 bytes below the 512 that a frame may have.
  .section xdp,"ax",@progbits
  .globl big_stack
  .type big_stack,@function
big_stack:
  r1 = 1
  *(u64 *)(r10 - 520) = r1
  r0 = 2
  exit
  .size big_stack, .-big_stack
