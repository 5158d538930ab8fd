// SPDX-License-Identifier: Apache-2.0
// Live registers, and live upper halves, by backward data flow inside each subprogram: a fixpoint over sets that only
// grow, so it ends. Calls read r1-r5 (as many as a known helper takes) and write r0-r5; exit reads r0. r10 is never
// written and is left out.
#include <deque>

#include "compile/verify/cfg.hpp"

namespace xnic::compile::verify {
namespace {

constexpr uint16_t bit(Reg reg) { return static_cast<uint16_t>(1u << index(reg)); }
constexpr uint16_t kCallerSaved = 0b111111;  // r0-r5
constexpr uint16_t kArguments = 0b111110;    // r1-r5

uint16_t operand_bit(const Operand& operand) {
  const Reg* reg = std::get_if<Reg>(&operand);
  return reg ? bit(*reg) : 0;
}

RegisterUse use_of(const Binary& insn) {
  RegisterUse use;
  bool reads_dst = insn.op != BinaryOp::kMov;
  use.uses = operand_bit(insn.src) | (reads_dst ? bit(insn.dst) : 0);
  use.defs = bit(insn.dst);
  if (insn.width == Width::k32) return use;
  bool low_depends_on_high = insn.op == BinaryOp::kDiv || insn.op == BinaryOp::kMod || insn.op == BinaryOp::kSdiv ||
                             insn.op == BinaryOp::kSmod || insn.op == BinaryOp::kRsh || insn.op == BinaryOp::kArsh;
  bool shift = insn.op == BinaryOp::kLsh || insn.op == BinaryOp::kRsh || insn.op == BinaryOp::kArsh;
  uint16_t halves = shift ? bit(insn.dst) : use.uses;  // only the low bits of a shift amount count
  (low_depends_on_high ? use.upper : use.upper_if) = halves;
  return use;
}

RegisterUse use_of(const Atomic& insn) {
  RegisterUse use;
  use.uses = bit(insn.dst) | bit(insn.src);
  use.upper = bit(insn.dst);
  if (insn.op == AtomicOp::kLoadAcquire) return {bit(insn.src), bit(insn.dst), bit(insn.src), 0};
  if (insn.size == Size::k8) use.upper |= bit(insn.src);
  if (insn.op == AtomicOp::kStoreRelease) return use;
  if (insn.op == AtomicOp::kCmpxchg) {
    use.uses |= bit(Reg::kR0);
    use.defs = bit(Reg::kR0);
    if (insn.size == Size::k8) use.upper |= bit(Reg::kR0);
  } else if (insn.fetch) {
    use.defs = bit(insn.src);
  }
  return use;
}

RegisterUse use_of(const CallHelper& insn) {
  RegisterUse use{kArguments, kCallerSaved, kArguments, 0};
  if (const HelperSignature* helper = find_helper(insn.id)) {
    use.uses = 0;
    for (int i = 0; i < 5 && helper->args[i] != ArgType::kNone; ++i) use.uses |= static_cast<uint16_t>(2u << i);
    use.upper = use.uses;
  }
  return use;
}

}  // namespace

RegisterUse register_use(const Instruction& instruction) {
  auto same = [](uint16_t uses, uint16_t defs) { return RegisterUse{uses, defs, uses, 0}; };
  return std::visit(
      Overloaded{
          [](const Binary& insn) { return use_of(insn); },
          [](const MovSx& insn) { return RegisterUse{bit(insn.src), bit(insn.dst), 0, 0}; },
          [](const Neg& insn) {
            return RegisterUse{bit(insn.dst), bit(insn.dst), 0, insn.width == Width::k64 ? bit(insn.dst) : uint16_t{0}};
          },
          [](const Swap& insn) {
            return RegisterUse{bit(insn.dst), bit(insn.dst), insn.bits == 64 ? bit(insn.dst) : uint16_t{0}, 0};
          },
          [&](const LoadImm64& insn) { return same(0, bit(insn.dst)); },
          [&](const LoadMap& insn) { return same(0, bit(insn.dst)); },
          [&](const LoadMapValue& insn) { return same(0, bit(insn.dst)); },
          [&](const LoadFunction& insn) { return same(0, bit(insn.dst)); },
          [&](const LoadKernelVariable& insn) { return same(0, bit(insn.dst)); },
          [&](const WideTail&) { return same(0, 0); },
          [&](const LoadPacket& insn) {
            return same(static_cast<uint16_t>(bit(Reg::kR6) | (insn.indirect ? bit(insn.src) : 0)), kCallerSaved);
          },
          [&](const Load& insn) { return same(bit(insn.src), bit(insn.dst)); },
          [&](const Store& insn) {
            uint16_t value = operand_bit(insn.src);
            return RegisterUse{static_cast<uint16_t>(bit(insn.dst) | value), 0,
                               static_cast<uint16_t>(bit(insn.dst) | (insn.size == Size::k8 ? value : 0)), 0};
          },
          [](const Atomic& insn) { return use_of(insn); },
          [](const Jump& insn) {
            uint16_t uses = static_cast<uint16_t>(bit(insn.dst) | operand_bit(insn.src));
            return RegisterUse{uses, 0, insn.width == Width::k64 ? uses : uint16_t{0}, 0};
          },
          [&](const Goto&) { return same(0, 0); },
          [&](const MayGoto&) { return same(0, 0); },
          [](const CallHelper& insn) { return use_of(insn); },
          [&](const CallLocal&) { return same(kArguments, kCallerSaved); },
          [&](const CallKernel&) { return same(kArguments, kCallerSaved); },
          [&](const CallRegister& insn) { return same(kArguments | bit(insn.reg), kCallerSaved); },
          [&](const Exit&) { return same(bit(Reg::kR0), 0); },
      },
      instruction);
}

void compute_liveness(const Program& program, Flow& flow) {
  const size_t count = program.insns.size();
  flow.live.assign(count, 0);
  flow.upper_live.assign(count, 0);
  std::vector<RegisterUse> use(count);
  for (Slot slot = 0; slot < count; ++slot) use[slot] = register_use(program.insns[slot]);
  // Backward sweeps converge fast because most edges go forward.
  for (bool changed = true; changed;) {
    changed = false;
    for (Slot slot = static_cast<Slot>(count); slot-- > 0;) {
      std::array<Slot, 2> next{};
      uint16_t out = 0, upper_out = 0;
      for (int i = successors(program, slot, next); i-- > 0;) {
        if (next[i] >= count) continue;
        out |= flow.live[next[i]];
        upper_out |= flow.upper_live[next[i]];
      }
      uint16_t live = (out & ~use[slot].defs) | use[slot].uses;
      uint16_t upper = (upper_out & ~use[slot].defs) | use[slot].upper;
      if (upper_out & use[slot].defs) upper |= use[slot].upper_if;
      changed |= live != flow.live[slot] || upper != flow.upper_live[slot];
      flow.live[slot] = live;
      flow.upper_live[slot] = upper;
    }
  }
}

}  // namespace xnic::compile::verify
