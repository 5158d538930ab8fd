// SPDX-License-Identifier: Apache-2.0
// Loads of the packet off the same pointer within 64 bytes share the read of the first, as in the driver, which forgets
// what it has read at the target of a branch, a store to the packet, a call, and a load from elsewhere.
//
// With kWideReads two reads of up to 120 bytes are kept at a time, in registers that other loads do not use; a store
// that cannot overlap leaves them, and so does a join of paths that all have them. A read grows by loads that come
// later, so it may bring bytes behind the packet's end: those are looked at only where the program has checked.
#include "compile/target/nfp/packet_reads.hpp"

#include <algorithm>

#include "compile/target/nfp/gather.hpp"

namespace xnic::compile::target::nfp {

using namespace arch::ebpf;

namespace {

constexpr int64_t kNarrowBytes = 64;
constexpr int64_t kWideBytes = 120;
constexpr uint32_t kWideWords = kWideBytes / 4;
constexpr uint32_t kBehindWide = 2 * kWideWords;  // registers of loads that share nothing

std::optional<Reg> written(const Instruction& insn) {
  return std::visit(Overloaded{
                        [](const Binary& i) { return std::optional(i.dst); },
                        [](const Neg& i) { return std::optional(i.dst); },
                        [](const Swap& i) { return std::optional(i.dst); },
                        [](const LoadImm64& i) { return std::optional(i.dst); },
                        [](const LoadMap& i) { return std::optional(i.dst); },
                        [](const Load& i) { return std::optional(i.dst); },
                        [](const auto&) { return std::optional<Reg>(); },
                    },
                    insn);
}

bool calls(const Instruction& insn) {
  return std::holds_alternative<CallHelper>(insn) || std::holds_alternative<CallLocal>(insn);
}

}  // namespace

void RegisterVersions::step(const Instruction& insn) {
  if (const auto reg = written(insn)) ++written_[static_cast<size_t>(index(*reg))];
  if (calls(insn))
    for (size_t r = 0; r <= 5; ++r) ++written_[r];
}

PacketPlace RegisterVersions::place(const RegFact& fact, Reg base, int16_t offset) const {
  if (fact.range.is_constant()) return {std::nullopt, 0, static_cast<int64_t>(fact.range.umin) + offset};
  return {base, written_[static_cast<size_t>(index(base))], offset};
}

PacketReads::PacketReads(const Program& program, const Facts& facts, const Copies& copies, const PassSet& passes)
    : program_(program),
      facts_(facts),
      copies_(copies),
      wide_(passes.has(Pass::kWideReads)),
      own_register_(wide_ && passes.has(Pass::kPacketCache) ? kBehindWide : 0),
      entrance_(program.insns.size() + 1),
      from_below_(program.insns.size() + 1),
      brought_(program.insns.size() + 1),
      uses_(program.insns.size()) {
  if (!passes.has(Pass::kPacketCache)) return;
  find_entrances();
  walk();
}

std::optional<SharedRead> PacketReads::at(Slot slot) const {
  const auto& use = uses_[slot];
  if (!use || reads_[use->read].loads == 1) return std::nullopt;
  const Read& read = reads_[use->read];
  return SharedRead{read.first == slot, static_cast<uint32_t>(use->offset - read.begin),
                    static_cast<uint32_t>(read.end - read.begin), read.xfer};
}

void PacketReads::find_entrances() {
  const auto enter = [&](Slot from, Slot to) {
    entrance_[to] = true;
    if (to <= from) from_below_[to] = true;
  };
  for (const Subprogram& sub : program_.subprograms) from_below_[sub.first] = true;
  for (Slot slot = 0; slot < program_.insns.size(); ++slot) {
    if (const auto* jump = std::get_if<Jump>(&program_.insns[slot])) enter(slot, jump->target);
    if (const auto* jump = std::get_if<Goto>(&program_.insns[slot])) enter(slot, jump->target);
  }
}

void PacketReads::walk() {
  RegisterVersions versions;
  bool falls = false;  // the instruction before may go on here
  const auto bring = [&](Slot to) {
    if (!brought_[to]) {
      brought_[to] = available_;
    } else {
      std::erase_if(*brought_[to], [&](uint32_t read) { return std::ranges::count(available_, read) == 0; });
    }
  };
  for (Slot slot = 0; slot < program_.insns.size(); ++slot) {
    const Instruction& insn = program_.insns[slot];
    if (!facts_.insns[slot].reached) {
      if (!std::holds_alternative<WideTail>(insn)) falls = false;
      continue;
    }
    if (falls) bring(slot);
    available_ = brought_[slot].value_or(Available{});
    if (from_below_[slot] || (entrance_[slot] && !wide_)) available_.clear();
    const auto fact = [&](Reg reg) { return facts_.insns[slot].regs[static_cast<size_t>(index(reg))]; };
    if (copies_.stands_for(slot)) {
      available_.clear();
    } else if (const auto* from = std::get_if<Load>(&insn)) {
      load(*from, slot, versions);
    } else if (const auto* store = std::get_if<Store>(&insn); store && fact(store->dst).type == RegType::kPacket) {
      forget_stored(versions.place(fact(store->dst), store->dst, store->offset), bytes(store->size));
    } else if (calls(insn)) {
      available_.clear();
    }
    versions.step(insn);
    forget_registers(insn);
    if (const auto* jump = std::get_if<Jump>(&insn)) bring(jump->target);
    if (const auto* jump = std::get_if<Goto>(&insn)) bring(jump->target);
    falls = !std::holds_alternative<Goto>(insn) && !std::holds_alternative<Exit>(insn);
  }
}

void PacketReads::load(const Load& insn, Slot slot, const RegisterVersions& versions) {
  const RegFact& base = facts_.insns[slot].regs[static_cast<size_t>(index(insn.src))];
  if (base.type != RegType::kPacket) {
    if (!wide_) available_.clear();
    return;
  }
  const PacketPlace place = versions.place(base, insn.src, insn.offset);
  const int64_t begin = place.offset, end = begin + bytes(insn.size);
  for (const uint32_t number : available_) {
    Read& read = reads_[number];
    if (!can_join(read, place, end)) continue;
    read.begin = std::min(begin, read.begin), read.end = std::max(end, read.end);
    ++read.loads;
    uses_[slot] = Use{number, begin};
    return;
  }
  uint32_t xfer = 0;
  if (!wide_) {
    available_.clear();
  } else if (!available_.empty()) {
    if (available_.size() == 2) available_.erase(available_.begin());
    xfer = reads_[available_.front()].xfer == 0 ? kWideWords : 0;
  }
  uses_[slot] = Use{static_cast<uint32_t>(reads_.size()), begin};
  available_.push_back(static_cast<uint32_t>(reads_.size()));
  reads_.push_back({.base = place, .begin = begin, .end = end, .first = slot, .xfer = xfer});
}

bool PacketReads::can_join(const Read& read, const PacketPlace& place, int64_t end) const {
  const int64_t low = std::min(place.offset, read.begin), high = std::max(end, read.end);
  return read.base.same_base(place) && low >= read.floor && high <= read.ceiling &&
         high - low <= (wide_ ? kWideBytes : kNarrowBytes);
}

// A read may yet grow, but not over what was stored.
void PacketReads::forget_stored(const PacketPlace& place, unsigned bytes) {
  if (!wide_) return available_.clear();
  std::erase_if(available_, [&](uint32_t number) {
    Read& read = reads_[number];
    const int64_t end = place.offset + bytes;
    if (!read.base.same_base(place) || (place.offset < read.end && end > read.begin)) return true;
    if (place.offset >= read.end) {
      read.ceiling = std::min(read.ceiling, place.offset);
    } else {
      read.floor = std::max(read.floor, end);
    }
    return false;
  });
}

// What lies at a register's place cannot be named any more once it is written.
void PacketReads::forget_registers(const Instruction& insn) {
  const auto reg = written(insn);
  if (!reg) return;
  std::erase_if(available_, [&](uint32_t number) { return reads_[number].base.base == *reg; });
}

}  // namespace xnic::compile::target::nfp
