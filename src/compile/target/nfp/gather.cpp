// SPDX-License-Identifier: Apache-2.0
// A pair is a load and behind it a store of the same register and width, from the packet or a map's value to the
// packet. Pairs whose places follow each other, upwards or downwards, are a chain, as in the driver: no branch enters
// it, the bases do not change in it, and what is written is not read by it, which is known only when both places are
// named from the same base.
#include "compile/target/nfp/gather.hpp"

#include <algorithm>

#include "compile/target/nfp/packet_reads.hpp"

namespace xnic::compile::target::nfp {

using namespace arch::ebpf;

namespace {

constexpr uint32_t kMostBytes = 128;

struct Pair {
  Load load;
  Store store;
  unsigned bytes() const { return arch::ebpf::bytes(load.size); }
};

class Finder {
 public:
  Finder(const Program& program, const Facts& facts) : program_(program), facts_(facts) {
    entered_.resize(program.insns.size() + 1);
    for (const Instruction& insn : program.insns) {
      if (const auto* jump = std::get_if<Jump>(&insn)) entered_[jump->target] = true;
      if (const auto* jump = std::get_if<Goto>(&insn)) entered_[jump->target] = true;
    }
  }

  // The longest chain from `first`, or nothing.
  std::optional<Copy> chain(Slot first, const RegisterVersions& versions) const {
    const auto head = pair_at(first);
    if (!head) return std::nullopt;
    const RegFact from = fact(first, head->load.src), to = fact(first + 1, head->store.dst);
    int16_t low_from = head->load.offset, low_to = head->store.offset;
    uint32_t bytes = head->bytes();
    Pair last = *head;
    Slot end = first + 2;
    int direction = 0;
    for (;; end += 2) {
      const auto next = entered_[end] ? std::nullopt : pair_at(end);
      if (!next || !continues(*head, *next) || bytes + next->bytes() > kMostBytes) break;
      const int step = next->load.offset - last.load.offset;
      if (step != next->store.offset - last.store.offset || std::abs(step) != static_cast<int>(head->bytes())) break;
      if (direction != 0 && (step > 0) != (direction > 0)) break;
      direction = step;
      bytes += next->bytes();
      low_from = std::min(low_from, next->load.offset), low_to = std::min(low_to, next->store.offset);
      last = *next;
    }
    if (end == first + 2) return std::nullopt;
    if (from.type == RegType::kPacket) {
      const PacketPlace source = versions.place(from, head->load.src, low_from);
      const PacketPlace target = versions.place(to, head->store.dst, low_to);
      if (!source.same_base(target) || std::abs(source.offset - target.offset) < int64_t{bytes}) return std::nullopt;
    }
    return Copy{first, end, head->load.src, head->store.dst, low_from, low_to, bytes, last.load};
  }

 private:
  const RegFact& fact(Slot slot, Reg reg) const { return facts_.insns[slot].regs[static_cast<size_t>(index(reg))]; }

  std::optional<Pair> pair_at(Slot slot) const {
    if (slot + 1 >= program_.insns.size() || !facts_.insns[slot].reached || entered_[slot + 1]) return std::nullopt;
    const auto* load = std::get_if<Load>(&program_.insns[slot]);
    const auto* store = std::get_if<Store>(&program_.insns[slot + 1]);
    if (load == nullptr || store == nullptr || load->sign_extend || load->size != store->size) return std::nullopt;
    const auto* through = std::get_if<Reg>(&store->src);
    if (through == nullptr || *through != load->dst || load->dst == load->src || load->dst == store->dst)
      return std::nullopt;
    const RegType from = fact(slot, load->src).type, to = fact(slot + 1, store->dst).type;
    if ((from != RegType::kPacket && from != RegType::kMapValue) || to != RegType::kPacket) return std::nullopt;
    return Pair{*load, *store};
  }

  static bool continues(const Pair& head, const Pair& next) {
    return next.load.src == head.load.src && next.store.dst == head.store.dst && next.load.size == head.load.size &&
           next.load.dst == head.load.dst;
  }

  const Program& program_;
  const Facts& facts_;
  std::vector<bool> entered_;
};

}  // namespace

Copies::Copies(const Program& program, const Facts& facts, const PassSet& passes)
    : insns_(program.insns), number_(program.insns.size()) {
  if (!passes.has(Pass::kGather)) return;
  const Finder finder(program, facts);
  RegisterVersions versions;
  for (Slot slot = 0; slot < program.insns.size(); ++slot) {
    if (!number_[slot]) {
      if (const auto copy = finder.chain(slot, versions)) {
        for (Slot part = copy->first; part < copy->end; ++part) number_[part] = static_cast<uint32_t>(copies_.size());
        copies_.push_back(*copy);
      }
    }
    versions.step(program.insns[slot]);
  }
}

const Copy* Copies::at(Slot slot) const {
  if (!number_[slot]) return nullptr;
  const Copy& copy = copies_[*number_[slot]];
  return copy.first == slot ? &copy : nullptr;
}

}  // namespace xnic::compile::target::nfp
