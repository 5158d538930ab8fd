# SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
# One instruction more than a program may have.
  .section xdp,"ax",@progbits
  .globl too_long
  .type too_long,@function
too_long:
  .rept 1000000
  .quad 0x00000002000000b7
  .endr
  exit
  .size too_long, .-too_long
