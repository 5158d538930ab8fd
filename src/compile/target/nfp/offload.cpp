// SPDX-License-Identifier: Apache-2.0
// One pass over the instructions that are reached, then the rules of the program as a whole: the uses of map words, the
// stack of the deepest call chain, the farthest byte of the packet. Unreached instructions are not looked at: the
// kernel removes them before the driver translates.
#include "compile/target/nfp/offload.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <cerrno>
#include <functional>

#include "compile/target/nfp/checker.hpp"

namespace xnic::compile::target::nfp {

using namespace arch::ebpf;

namespace {

// The general register that an instruction of a subprogram's body sets, or -1. Calls set r0 to r5, which are never
// saved.
int written_register(const Instruction& insn) {
  return std::visit(Overloaded{
                        [](const Binary& i) { return index(i.dst); },
                        [](const MovSx& i) { return index(i.dst); },
                        [](const Neg& i) { return index(i.dst); },
                        [](const Swap& i) { return index(i.dst); },
                        [](const LoadImm64& i) { return index(i.dst); },
                        [](const LoadMap& i) { return index(i.dst); },
                        [](const Load& i) { return index(i.dst); },
                        [](const auto&) { return -1; },
                    },
                    insn);
}

}  // namespace

std::string_view rule_name(Rule rule) {
  static constexpr std::string_view kNames[] = {
#define XNIC_NFP_RULE(name, id) id,
      XNIC_NFP_RULES(XNIC_NFP_RULE)
#undef XNIC_NFP_RULE
  };
  return kNames[static_cast<size_t>(rule)];
}

std::string_view stage_name(Stage stage) {
  static constexpr std::string_view kNames[] = {"map creation", "verification", "translation", "attachment"};
  return kNames[static_cast<size_t>(stage)];
}

void Checker::refuse(Rule rule, Stage stage, int error, std::string message, std::string advice) {
  Refusal refusal{rule, stage, slot_, error, std::move(message), std::move(advice), {}};
  if (slot_ != kNoSlot) {
    if (const LineInfo* line = program_.line_at(slot_))
      refusal.source = fmt::format("{}:{}: {}", line->file, line->line, line->text);
  }
  refusals_.push_back(std::move(refusal));
}

const RegFact& Checker::fact(Reg reg) const { return facts_.insns[slot_].regs[static_cast<size_t>(index(reg))]; }

// The driver adds up the frames of each call chain. A subprogram's frame also holds its return address, and r6 to r9
// when it changes them.
void Checker::check_stack_size() {
  constexpr uint32_t kReturnAddressBytes = 4;
  constexpr uint32_t kSavedBytes = 4 * 8;
  const auto number_of = [&](Slot slot) {
    return static_cast<size_t>(&program_.subprogram_at(slot) - program_.subprograms.data());
  };
  std::vector<uint32_t> frames(program_.subprograms.size());
  std::vector<std::set<size_t>> callees(program_.subprograms.size());
  for (size_t i = 0; i < frames.size(); ++i) {
    const Subprogram& sub = program_.subprograms[i];
    bool saves = false;
    for (Slot slot = sub.first; slot < sub.end; ++slot) {
      if (!facts_.insns[slot].reached) continue;
      if (const auto* call = std::get_if<CallLocal>(&program_.insns[slot])) callees[i].insert(number_of(call->target));
      const int written = written_register(program_.insns[slot]);
      saves = saves || (written >= index(Reg::kR6) && written <= index(Reg::kR9));
    }
    frames[i] = facts_.stack_bytes[i];
    if (i != 0) frames[i] += kReturnAddressBytes + (saves ? kSavedBytes : 0);
    frames[i] =
        (frames[i] + arch::nfp::kStackFrameAlign - 1) / arch::nfp::kStackFrameAlign * arch::nfp::kStackFrameAlign;
  }
  const std::function<uint32_t(size_t)> deepest = [&](size_t sub) -> uint32_t {
    uint32_t below = 0;
    for (const size_t callee : callees[sub]) below = std::max(below, deepest(callee));
    return frames[sub] + below;
  };
  const uint32_t bytes = deepest(0);
  if (bytes > firmware_.stack_bytes)
    refuse(Rule::kStackSize, Stage::kVerification, EOPNOTSUPP,
           fmt::format("stack too large: program {}B > FW stack {}B", bytes, firmware_.stack_bytes),
           "Keep large buffers in an array map, or inline the subprograms: each frame is rounded up to 64 bytes.");
}

// Only the first inline_bytes of a packet lie where programs can reach them; nothing is wrong as long as the port's
// packets are not longer.
void Checker::check_packet_reach() {
  uint64_t farthest = 0;
  Slot where = kNoSlot;
  for (slot_ = 0; slot_ < program_.insns.size(); ++slot_) {
    if (!facts_.insns[slot_].reached) continue;
    const auto reach = [&](Reg base, int16_t offset, Size size) {
      if (fact(base).type != RegType::kPacket) return;
      const uint64_t end = fact(base).range.umax + static_cast<uint64_t>(int64_t{offset}) + bytes(size);
      if (end > farthest) farthest = end, where = slot_;
    };
    if (const auto* load = std::get_if<Load>(&program_.insns[slot_])) reach(load->src, load->offset, load->size);
    if (const auto* store = std::get_if<Store>(&program_.insns[slot_])) reach(store->dst, store->offset, store->size);
  }
  slot_ = where;
  if (std::min<uint64_t>(farthest, card_.mtu) > firmware_.inline_bytes)
    refuse(
        Rule::kPacketReach, Stage::kAttachment, EOPNOTSUPP,
        "BPF offload not supported with potential packet access beyond HW packet split boundary",
        fmt::format("The program may reach byte {} and the port's MTU is {}: bound the offset by {} or lower the MTU.",
                    farthest, card_.mtu, firmware_.inline_bytes));
}

std::vector<Refusal> Checker::run() {
  check_maps();
  for (slot_ = 0; slot_ < program_.insns.size(); ++slot_) {
    if (!facts_.insns[slot_].reached) continue;
    std::visit([this](const auto& insn) { check(insn); }, program_.insns[slot_]);
  }
  check_map_words();
  slot_ = kNoSlot;
  check_stack_size();
  check_packet_reach();
  std::stable_sort(refusals_.begin(), refusals_.end(), [](const Refusal& a, const Refusal& b) {
    return std::pair(a.stage, a.slot) < std::pair(b.stage, b.slot);
  });
  return std::move(refusals_);
}

std::vector<Refusal> check_offload(const Program& program, const Facts& facts, const Card& card) {
  return Checker(program, facts, card).run();
}

}  // namespace xnic::compile::target::nfp
