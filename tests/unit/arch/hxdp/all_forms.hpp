// SPDX-License-Identifier: Apache-2.0
// Every form of operation, with fields at their limits.
#pragma once

#include <vector>

#include "arch/hxdp/instruction.hpp"

namespace xnic::arch::hxdp {

inline std::vector<Op> all_forms() {
  std::vector<Op> ops;
  for (int op = 0; op < kAluOps; op++) {
    for (Width width : {Width::k64, Width::k32}) {
      ops.push_back(Alu{AluOp(op), width, 15, 3, Imm(-7)});
      ops.push_back(Alu{AluOp(op), width, 1, 14, Reg(9)});
    }
  }
  for (int op = 0; op < 11; op++) {
    for (Width width : {Width::k64, Width::k32}) {
      ops.push_back(Branch{JumpOp(op), width, 12, Imm(0x7fffffff), 1});
      ops.push_back(Branch{JumpOp(op), width, 0, Reg(15), 0});
    }
    ops.push_back(Select{JumpOp(op), 3, 4, 5, -300});
  }
  const Memory reg{Space::kRegister, 7, 0, 6, -32768}, packet{Space::kPacket, 0, 0, 2, 1500},
      stack{Space::kStack, 0, 0, 8, 504}, map{Space::kMapValue, 0, 1, 4, -1};
  for (const Memory& m : {reg, packet, stack, map}) {
    ops.push_back(Load{4, m, m.bytes <= 4, true, false});
    ops.push_back(Load{4, m, false, false, true});
    ops.push_back(Store{m, Reg(11), true});
    if (m.space != Space::kMapValue) ops.push_back(Store{m, Imm(-2), false});
  }
  for (const Memory& m : {stack, map}) ops.push_back(AddMemory{m, Reg(2)});
  ops.push_back(AddMemory{stack, Imm(-1)});
  for (int op = 0; op < 6; op++)
    ops.push_back(Atomic{AtomicOp(op), true, {Space::kRegister, 3, 0, 4, -4}, 5, 6, Reg(op == 5 ? 8 : 0)});
  for (Width width : {Width::k64, Width::k32}) {
    ops.push_back(Move{width, 1, Reg(2)});
    ops.push_back(Move{width, 1, Imm(-2)});
    ops.push_back(SignExtend{width, 16, 3, 4});
  }
  for (Space space :
       {Space::kPacket, Space::kPacketEnd, Space::kPacketMeta, Space::kPacketBytes, Space::kStack, Space::kContext})
    ops.push_back(Address{space, 6, 0, -14});
  for (Space space : {Space::kMapValue, Space::kMap}) ops.push_back(Address{space, 6, 1, 0});
  for (const Op& op :
       std::vector<Op>{MoveHigh{1, 2, -3}, Swap{16, 1, 2}, FoldSum{true, 1, 2, Reg(3)}, FoldSum{false, 1, 2, Imm(-3)},
                       BranchPacket{false, 34, 1}, BranchPacket{true, 100000, 0}, Goto{1}, Call{0, true, 9},
                       Call{0, false, 0}, CallExit{0}, Exit{2}, ExitRegister{7}, Nop{}})
    ops.push_back(op);
  return ops;
}

}  // namespace xnic::arch::hxdp
