// SPDX-License-Identifier: Apache-2.0
// Liveness. Stack bytes are followed where their place is a constant: for the program that is what the verifier says of
// the base register, for the image the operand. Anything else reads all bytes.
#include "compile/prove/liveness.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "arch/ebpf/helpers.hpp"
#include "compile/prove/order.hpp"
#include "compile/verify/cfg.hpp"

namespace xnic::compile::prove {

namespace hxdp = arch::hxdp;
using namespace arch::ebpf;

namespace {

constexpr int64_t kBytes = hxdp::kStackBytes;

struct StackUse {
  StackBytes reads, writes;
  void read(int64_t at, int64_t bytes) { mark(reads, at, bytes); }
  void write(int64_t at, int64_t bytes) { mark(writes, at, bytes); }
  static void mark(StackBytes& set, int64_t at, int64_t bytes) {
    for (int64_t i = std::max<int64_t>(at, 0); i < std::min(at + bytes, kBytes); i++) set.set(size_t(i));
  }
};

// Bytes that a helper may read at a pointer to the stack: up to the end where the signature does not say.
int64_t argument_bytes(const HelperSignature* signature, size_t i, const MapSpec* map) {
  if (signature && map && signature->args[i] == ArgType::kMapKey) return map->key_size;
  if (signature && map && signature->args[i] == ArgType::kMapValue) return map->value_size;
  return kBytes;
}

StackUse stack_use(const Program& program, const InsnFacts& facts, const Instruction& insn) {
  StackUse use;
  const auto fact = [&](Reg r) -> const RegFact& { return facts.regs[size_t(index(r))]; };
  const auto place = [&](Reg base, int64_t offset) -> std::optional<int64_t> {
    if (!fact(base).range.is_constant()) return std::nullopt;
    return kBytes + fact(base).range.smin + offset;
  };
  const auto reads = [&](Reg base, int64_t offset, int64_t bytes) {
    if (fact(base).type != RegType::kStack && fact(base).type != RegType::kMixed) return;
    if (const auto at = place(base, offset)) return use.read(*at, bytes);
    use.reads.set();
  };
  if (const auto* o = std::get_if<Load>(&insn)) reads(o->src, o->offset, bytes(o->size));
  if (const auto* o = std::get_if<Store>(&insn); o && fact(o->dst).type == RegType::kStack) {
    if (const auto at = place(o->dst, o->offset)) use.write(*at, bytes(o->size));
  }
  if (const auto* o = std::get_if<Atomic>(&insn)) {
    reads(o->dst, o->offset, bytes(o->size));
    reads(o->src, o->offset, bytes(o->size));
  }
  if (const auto* o = std::get_if<CallHelper>(&insn)) {
    const RegFact& first = fact(Reg::kR1);
    const MapSpec* map =
        first.type == RegType::kMap && first.map < program.maps.size() ? &program.maps[first.map] : nullptr;
    for (size_t i = 0; i < 5; i++) reads(Reg(i + 1), 0, argument_bytes(find_helper(o->id), i, map));
  }
  return use;
}

StackUse stack_use(const hxdp::Image& image, const hxdp::Op& op, bool by_register, std::span<const MapSpec> maps) {
  StackUse use;
  const auto reads = [&](const hxdp::Memory& from) {
    if (from.space == hxdp::Space::kStack) use.read(hxdp::unsigned_offset(from), from.bytes);
    if (from.space == hxdp::Space::kRegister && by_register) use.reads.set();
  };
  if (const auto* o = std::get_if<hxdp::Load>(&op)) reads(o->from);
  if (const auto* o = std::get_if<hxdp::AddMemory>(&op)) reads(o->to);
  if (const auto* o = std::get_if<hxdp::Atomic>(&op)) reads(o->to);
  if (const auto* o = std::get_if<hxdp::Store>(&op); o && o->to.space == hxdp::Space::kStack)
    use.write(hxdp::unsigned_offset(o->to), o->to.bytes);
  const hxdp::CallSite* site = nullptr;
  if (const auto* o = std::get_if<hxdp::Call>(&op)) site = &image.call_sites[o->site];
  if (const auto* o = std::get_if<hxdp::CallExit>(&op)) site = &image.call_sites[o->site];
  if (!site) return use;
  const MapSpec* map = site->args[0].kind == hxdp::Argument::Kind::kMap && site->args[0].map < maps.size()
                           ? &maps[site->args[0].map]
                           : nullptr;
  for (size_t i = 0; i < 5; i++) {
    const hxdp::Argument& a = site->args[i];
    if (a.kind == hxdp::Argument::Kind::kStack) use.read(a.value, argument_bytes(find_helper(site->helper), i, map));
    if (a.kind == hxdp::Argument::Kind::kRegister && by_register) use.reads.set();
  }
  return use;
}

}  // namespace

Liveness::Liveness(const Setting& setting) : s_(setting) {
  for (size_t r = 0; r < kRegCount; r++) dead_slot_regs_.push_back(s_.terms.fresh(64, fmt::format("clobbered r{}", r)));
  for (size_t r = 0; r < hxdp::kRegisters; r++)
    dead_row_regs_.push_back(s_.terms.fresh(64, fmt::format("clobbered core r{}", r)));
  dead_slot_byte_ = s_.terms.fresh(8, "clobbered stack"), dead_row_byte_ = s_.terms.fresh(8, "clobbered core stack");
  find_slots();
  find_rows();
}

void Liveness::find_slots() {
  verify::Flow flow;
  verify::compute_liveness(s_.program, flow);
  slot_regs_ = flow.live;
  const size_t n = s_.program.insns.size();
  slot_stack_.resize(n + 1);
  const bool several = std::any_of(s_.program.insns.begin(), s_.program.insns.end(),
                                   [](const Instruction& i) { return std::holds_alternative<CallLocal>(i); });
  if (several) {
    for (StackBytes& all : slot_stack_) all.set();
    return;
  }
  std::vector<StackUse> uses;
  for (Slot slot = 0; slot < n; slot++)
    uses.push_back(stack_use(s_.program, s_.facts.insns[slot], s_.program.insns[slot]));
  for (bool more = true; more;) {
    more = false;
    for (Slot slot = Slot(n); slot-- > 0;) {
      StackBytes out;
      for (uint32_t to : next_slots(s_.program, slot)) out |= slot_stack_[std::min<size_t>(to, n)];
      const StackBytes in = (out & ~uses[slot].writes) | uses[slot].reads;
      more |= in != slot_stack_[slot];
      slot_stack_[slot] = in;
    }
  }
}

void Liveness::find_rows() {
  const hxdp::Image& image = s_.image;
  bool by_register = false;  // a register may hold an address of the stack
  for (const hxdp::Bundle& row : image.rows) {
    for (const hxdp::Op& op : row.lanes) {
      const auto* o = std::get_if<hxdp::Address>(&op);
      by_register |= o && o->space == hxdp::Space::kStack;
    }
  }
  row_regs_.resize(image.rows.size() + 1, 0);
  row_stack_.resize(image.rows.size() + 1);
  for (bool more = true; more;) {
    more = false;
    for (size_t row = image.rows.size(); row-- > 0;) {
      uint32_t in = 0, written = 0;
      StackBytes stack, stored;
      bool ends = false;
      const auto leads_to = [&](size_t to) {
        if (to >= row_regs_.size()) return;
        in |= row_regs_[to] & ~written;
        stack |= row_stack_[to] & ~stored;
      };
      for (uint32_t lane = 0; lane < image.parameters.lanes && !ends; lane++) {
        const hxdp::Op& op = image.rows[row].lanes[lane];
        const StackUse use = stack_use(image, op, by_register, s_.program.maps);
        in |= hxdp::read_registers(op, image.call_sites);
        stack |= use.reads;
        if (const int64_t to = hxdp::branch_target(op); to >= 0) leads_to(size_t(to));
        if (const int reg = hxdp::written_register(op); reg >= 0) written |= 1u << reg;
        stored |= use.writes;
        ends = hxdp::ends_row(op);
      }
      if (!ends) leads_to(row + 1);
      more |= in != row_regs_[row] || stack != row_stack_[row];
      row_regs_[row] = in;
      row_stack_[row] = stack;
    }
  }
}

void Liveness::forget_stack(Memory& stack, Term base, uint64_t lowest, const StackBytes& live, Term dead) const {
  if (live.all() || stack->form != MemoryNode::Form::kWritten || stack->base != base) return;
  for (const auto& [at, byte] : std::map<uint64_t, Term>(stack->bytes)) {
    const uint64_t place = at - lowest;
    if (byte == dead || place >= live.size() || live[place]) continue;
    stack = write(s_.terms, stack, s_.terms.plus(base, at), dead);
  }
}

void Liveness::forget_dead(Product& p) const {
  Bytecode& b = p.bytecode;
  const auto forget = [](auto& regs, uint32_t live, const std::vector<Term>& dead, size_t first) {
    for (size_t r = 0; r < regs.size(); r++) {
      if (!(live >> (first + r) & 1)) regs[r] = dead[first + r];
    }
  };
  forget(b.regs, b.done ? 0 : slot_regs_.at(b.slot) | 1u << 10, dead_slot_regs_, 0);
  for (Frame& f : b.frames) forget(f.saved, slot_regs_.at(f.call + 1), dead_slot_regs_, 6);
  forget(p.core.regs, p.core.done ? 0 : row_regs_.at(p.core.row), dead_row_regs_, 0);
  forget_stack(b.stack, s_.frames[0], uint64_t(-kBytes), b.done ? StackBytes() : slot_stack_.at(b.slot),
               dead_slot_byte_);
  forget_stack(p.core.stack, s_.core_stack, 0, p.core.done ? StackBytes() : row_stack_.at(p.core.row), dead_row_byte_);
}

}  // namespace xnic::compile::prove
