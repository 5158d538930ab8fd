// SPDX-License-Identifier: Apache-2.0
// The rules of helper calls. A helper runs where the firmware has a routine for it (capability TLV 1) or the compiler
// writes it out; keys and values are read from the stack at constant addresses.
#include "arch/ebpf/helpers.hpp"

#include <fmt/core.h>
#include <linux/bpf.h>

#include <cerrno>

#include "compile/target/nfp/checker.hpp"

namespace xnic::compile::target::nfp {

using namespace arch::ebpf;

namespace {

std::string_view instead_of(uint32_t id) {
  switch (id) {
    case BPF_FUNC_redirect:
    case BPF_FUNC_redirect_map:
      return "The card sends back to the ingress port (XDP_TX) or passes to the host; it does not redirect.";
    case BPF_FUNC_ktime_get_ns:
    case BPF_FUNC_ktime_get_boot_ns:
    case BPF_FUNC_ktime_get_coarse_ns:
      return "The card gives programs no clock: let the host write the time into a map.";
    case BPF_FUNC_csum_diff:
      return "Add up the words that change yourself (RFC 1624).";
    case BPF_FUNC_tail_call:
      return "Join the programs into one; subprograms are supported.";
    case BPF_FUNC_xdp_adjust_meta:
      return "The card has no packet metadata.";
    case BPF_FUNC_trace_printk:
      return "Report by bpf_perf_event_output, or count in a map.";
    default:
      return "Helpers of the card: map look-up, update and delete, random numbers, perf events, adjust_head, "
             "adjust_tail.";
  }
}

}  // namespace

void Checker::check(const CallHelper& insn) {
  const auto needs = [&](bool available, std::string message, std::string advice) {
    if (!available)
      refuse(Rule::kHelperFirmware, Stage::kVerification, EOPNOTSUPP, std::move(message), std::move(advice));
  };
  switch (insn.id) {
    case BPF_FUNC_map_lookup_elem:
      return check_map_call("map_lookup", firmware_.map_lookup, false);
    case BPF_FUNC_map_update_elem:
      return check_map_call("map_update", firmware_.map_update, true);
    case BPF_FUNC_map_delete_elem:
      return check_map_call("map_delete", firmware_.map_delete, false);
    case BPF_FUNC_get_prandom_u32:
      return needs(firmware_.random, "bpf_get_prandom_u32(): FW doesn't support random number generation",
                   "Derive a number from the packet (a hash of its addresses).");
    case BPF_FUNC_xdp_adjust_head:
      return needs(firmware_.adjust_head.has_value(), "adjust_head not supported by FW",
                   "Rewrite the packet without moving its start.");
    case BPF_FUNC_xdp_adjust_tail:
      return needs(firmware_.adjust_tail, "adjust_tail not supported by FW", "Leave the packet's length as it is.");
    case BPF_FUNC_perf_event_output:
      return check_event_output();
    default:
      refuse(Rule::kHelper, Stage::kVerification, EOPNOTSUPP, fmt::format("unsupported function id: {}", insn.id),
             std::string(instead_of(insn.id)));
  }
}

void Checker::check_map_call(std::string_view name, bool available, bool with_value) {
  if (!available)
    return refuse(Rule::kHelperFirmware, Stage::kVerification, EOPNOTSUPP, fmt::format("{}: not supported by FW", name),
                  "This firmware lets programs look up only: let the host fill the map, or take another firmware.");
  if (!check_stack_argument(name, Reg::kR2) || !with_value || !check_stack_argument(name, Reg::kR3)) return;
  const RegFact& map = fact(Reg::kR1);
  if (map.type == RegType::kMap) check_update_value(map.map, static_cast<int64_t>(fact(Reg::kR3).range.umin));
}

bool Checker::check_stack_argument(std::string_view name, Reg reg) {
  const RegFact& argument = fact(reg);
  const auto no = [&](std::string message, std::string advice) {
    refuse(Rule::kHelperArgument, Stage::kVerification, EOPNOTSUPP, std::move(message), std::move(advice));
    return false;
  };
  if (argument.type != RegType::kStack)
    return no(fmt::format("{}: unsupported ptr type {}", name, kernel_number(argument.type)),
              "Copy the key (or value) to the stack first.");
  if (!argument.range.is_constant())
    return no(fmt::format("{}: variable pointer", name), "Keep the key (or value) at one place of the stack.");
  if (const auto offset = static_cast<int64_t>(argument.range.umin); -offset % 4 != 0)
    return no(fmt::format("{}: unaligned stack pointer {}", name, -offset),
              "Align the key (or value) on the stack to 4 bytes.");
  return true;
}

// An update must leave words that are counted with atomics zero: the atomic engine's byte order is not the program's.
void Checker::check_update_value(MapIndex map, int64_t stack_offset) {
  for (int64_t at = 0; at < program_.maps.at(map).value_size; at += 4) {
    if (!stack_stays_zero(stack_offset + at, 4)) mark_word(map, at, 4, kNonZeroUpdate);
  }
}

void Checker::check_event_output() {
  if (!firmware_.perf_event_output)
    return refuse(Rule::kHelperFirmware, Stage::kVerification, EOPNOTSUPP, "event_output: not supported by FW",
                  "This firmware reports no events: count in a map, or take another firmware.");
  const Range& flags = fact(Reg::kR3).range;
  if (!flags.is_constant() || (flags.umin & BPF_F_INDEX_MASK) != BPF_F_CURRENT_CPU)
    refuse(Rule::kHelperArgument, Stage::kVerification, EOPNOTSUPP, "event_output: must use BPF_F_CURRENT_CPU",
           "Give BPF_F_CURRENT_CPU as the flags: the card has no CPUs to choose from.");
  switch (const RegType type = fact(Reg::kR4).type) {
    case RegType::kScalar:
    case RegType::kStack:
    case RegType::kMapValue:
    case RegType::kPacket:
      return;
    default:
      refuse(Rule::kHelperArgument, Stage::kVerification, EOPNOTSUPP,
             fmt::format("event_output: unsupported ptr type: {}", kernel_number(type)),
             "Report from the stack, a map value or the packet.");
  }
}

}  // namespace xnic::compile::target::nfp
