// SPDX-License-Identifier: Apache-2.0
// What operations read, write and where they go, for schedulers, checkers and printers alike.
#include "arch/hxdp/instruction.hpp"

namespace xnic::arch::hxdp {

using ebpf::Overloaded;

namespace {
uint32_t bit(Reg reg) { return 1u << reg; }
uint32_t bit(const Operand& operand) {
  const Reg* reg = std::get_if<Reg>(&operand);
  return reg ? bit(*reg) : 0;
}
uint32_t bit(const Memory& memory) { return memory.space == Space::kRegister ? bit(memory.base) : 0; }
}  // namespace

int64_t branch_target(const Op& op) {
  if (const auto* branch = std::get_if<Branch>(&op)) return branch->target;
  if (const auto* check = std::get_if<BranchPacket>(&op)) return check->target;
  if (const auto* jump = std::get_if<Goto>(&op)) return jump->target;
  return -1;
}

void set_branch_target(Op& op, Row target) {
  if (auto* branch = std::get_if<Branch>(&op)) branch->target = target;
  if (auto* check = std::get_if<BranchPacket>(&op)) check->target = target;
  if (auto* jump = std::get_if<Goto>(&op)) jump->target = target;
}

int written_register(const Op& op) {
  return std::visit(
      Overloaded{[](const Alu& o) -> int { return o.dst; }, [](const Move& o) -> int { return o.dst; },
                 [](const MoveHigh& o) -> int { return o.dst; }, [](const SignExtend& o) -> int { return o.dst; },
                 [](const Swap& o) -> int { return o.dst; }, [](const FoldSum& o) -> int { return o.dst; },
                 [](const Select& o) -> int { return o.dst; }, [](const Address& o) -> int { return o.dst; },
                 [](const Load& o) -> int { return o.dst; },
                 [](const Atomic& o) -> int { return o.fetch ? o.dst : -1; },
                 [](const Call& o) -> int { return o.has_result ? o.dst : -1; }, [](const auto&) { return -1; }},
      op);
}

const Memory* memory_of(const Op& op) {
  if (const auto* load = std::get_if<Load>(&op)) return &load->from;
  if (const auto* store = std::get_if<Store>(&op)) return &store->to;
  if (const auto* add = std::get_if<AddMemory>(&op)) return &add->to;
  if (const auto* atomic = std::get_if<Atomic>(&op)) return &atomic->to;
  return nullptr;
}

uint32_t read_registers(const Op& op) {
  return std::visit(
      Overloaded{
          [](const Alu& o) { return bit(o.a) | bit(o.b); },
          [](const Move& o) { return bit(o.src); },
          [](const MoveHigh& o) { return bit(o.a); },
          [](const SignExtend& o) { return bit(o.src); },
          [](const Swap& o) { return bit(o.src); },
          [](const FoldSum& o) { return bit(o.a) | bit(o.b); },
          [](const Select& o) { return bit(o.dst) | bit(o.a) | bit(o.value); },
          [](const Load& o) { return bit(o.from); },
          [](const Store& o) { return bit(o.to) | bit(o.src); },
          [](const AddMemory& o) { return bit(o.to) | bit(o.src); },
          [](const Atomic& o) { return bit(o.to) | bit(o.src) | (o.op == AtomicOp::kCmpxchg ? bit(o.expected) : 0); },
          [](const Branch& o) { return bit(o.a) | bit(o.b); },
          [](const ExitRegister& o) { return bit(o.src); },
          [](const auto&) { return uint32_t{0}; },
      },
      op);
}

bool ends_row(const Op& op) {
  return std::holds_alternative<Goto>(op) || std::holds_alternative<CallExit>(op) || std::holds_alternative<Exit>(op) ||
         std::holds_alternative<ExitRegister>(op);
}

}  // namespace xnic::arch::hxdp
