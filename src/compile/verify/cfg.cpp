// SPDX-License-Identifier: Apache-2.0
// Shape of the program before any path is walked: subprogram bounds, jumps that stay inside, code that can be reached,
// pruning points, and the call graph with its stack limits. Rules and messages are those of kernel/bpf/verifier.c
// check_subprogs, check_cfg and check_max_stack_depth.
#include "compile/verify/cfg.hpp"

#include <fmt/core.h>

#include <cerrno>

#include "base/check.hpp"

namespace xnic::compile::verify {
namespace {

constexpr HelperId kHelperTailCall = 12;
constexpr uint32_t kTailCallStackBytes = 256;  // most that callers of a tail-calling subprogram may use

bool ends_flow(const Instruction& insn) {
  return std::holds_alternative<Exit>(insn) || std::holds_alternative<Goto>(insn);
}

std::optional<Slot> jump_target(const Instruction& insn) {
  if (const auto* jump = std::get_if<Jump>(&insn)) return jump->target;
  if (const auto* go = std::get_if<Goto>(&insn)) return go->target;
  if (const auto* may = std::get_if<MayGoto>(&insn)) return may->target;
  return std::nullopt;
}

std::optional<Slot> called_slot(const Instruction& insn) {
  if (const auto* call = std::get_if<CallLocal>(&insn)) return call->target;
  if (const auto* load = std::get_if<LoadFunction>(&insn)) return load->target;
  return std::nullopt;
}

Fault structure(Slot slot, std::string reason, std::string advice) {
  return {Rejection::Kind::kStructure, slot, EINVAL, std::move(reason), std::move(advice)};
}

// Subprograms tile the program, jumps stay inside theirs, and each ends by leaving.
std::optional<Fault> check_bounds(const Program& program, Flow& flow) {
  const Slot count = static_cast<Slot>(program.insns.size());
  if (count == 0) return structure(0, "no program", "give the program at least r0 = 0; exit");
  flow.subprogram.assign(count, 0);
  Slot expected = 0;
  for (uint32_t i = 0; i < program.subprograms.size(); ++i) {
    const Subprogram& sub = program.subprograms[i];
    if (sub.first != expected || sub.end <= sub.first || sub.end > count)
      return structure(sub.first < count ? sub.first : 0, "subprograms do not tile the program",
                       "load the object again; its function table is damaged");
    for (Slot slot = sub.first; slot < sub.end; ++slot) flow.subprogram[slot] = i;
    expected = sub.end;
    Slot last = sub.end - 1;
    if (std::holds_alternative<WideTail>(program.insns[last]) || !ends_flow(program.insns[last]))
      return structure(last, "last insn is not an exit or jmp", "end every path of the function with a return");
  }
  if (expected != count) return structure(0, "subprograms do not tile the program", "load the object again");
  for (Slot slot = 0; slot < count; ++slot) {
    if (auto target = jump_target(program.insns[slot])) {
      const Subprogram& sub = program.subprograms[flow.subprogram[slot]];
      if (*target < sub.first || *target >= sub.end || std::holds_alternative<WideTail>(program.insns[*target]))
        return structure(slot, fmt::format("jump out of range from insn {} to {}", slot, *target),
                         "jump to an instruction of the same function");
    }
    if (auto target = called_slot(program.insns[slot])) {
      if (*target >= count || program.subprograms[flow.subprogram[*target]].first != *target)
        return structure(slot, fmt::format("func at insn {} is not the start of a function", *target),
                         "call a function by its name");
    }
  }
  return std::nullopt;
}

bool calls_synchronous_callback(const Instruction& insn) {
  const auto* call = std::get_if<CallHelper>(&insn);
  const HelperSignature* helper = call ? find_helper(call->id) : nullptr;
  if (!helper || helper->name == "timer_set_callback") return false;
  for (ArgType arg : helper->args)
    if (arg == ArgType::kCallback) return true;
  return false;
}

void mark_points(const Program& program, Slot slot, Flow& flow) {
  const Instruction& insn = program.insns[slot];
  if (auto target = jump_target(insn)) {
    if (!std::holds_alternative<Goto>(insn)) flow.prune_point[slot] = true;
    if (std::holds_alternative<MayGoto>(insn)) flow.force_checkpoint[slot] = true;
    flow.prune_point[*target] = true;
    flow.jump_target[*target] = true;
  }
  if (std::holds_alternative<CallLocal>(insn)) {
    // Both sides of a call: states are compared where the callee's paths come together again.
    flow.prune_point[slot] = true;
    if (slot + 1 < program.insns.size()) flow.prune_point[slot + 1] = true;
  }
  if (const auto* load = std::get_if<LoadFunction>(&insn)) {
    // A timer's callback that starts the timer again is entered in the same state every time.
    flow.prune_point[load->target] = true;
    flow.force_checkpoint[load->target] = true;
  }
  if (calls_synchronous_callback(insn)) {
    flow.calls_callback[slot] = true;
    flow.force_checkpoint[slot] = true;
    flow.prune_point[slot] = true;
  }
}

// Addresses that the loader puts into instructions: checked even where no path goes, as the kernel does.
std::optional<Fault> check_references(const Program& program) {
  for (Slot slot = 0; slot < program.insns.size(); ++slot) {
    if (const auto* variable = std::get_if<LoadKernelVariable>(&program.insns[slot]))
      return Fault{Rejection::Kind::kUnsupported, slot, EINVAL,
                   fmt::format("kernel variable with BTF id {} is not supported", variable->btf_id),
                   "the card has no kernel variables; pass the value in a map"};
    const auto* value = std::get_if<LoadMapValue>(&program.insns[slot]);
    if (!value) continue;
    const MapSpec& spec = program.maps[value->map];
    if (spec.type != kMapArray || spec.max_entries != 1)
      return Fault{Rejection::Kind::kType, slot, EINVAL,
                   fmt::format("direct value access to map '{}' is not allowed", spec.name),
                   "take addresses only of global variables"};
    if (value->offset >= spec.value_size)
      return Fault{
          Rejection::Kind::kMemory, slot, EINVAL,
          fmt::format("invalid access to map value pointer, value_size={} off={}", spec.value_size, value->offset),
          "stay inside the global variable"};
  }
  return std::nullopt;
}

// Every instruction must be reachable along the graph, whatever conditions say.
std::optional<Fault> check_reachable(const Program& program, Flow& flow) {
  const size_t count = program.insns.size();
  std::vector<bool> seen(count, false);
  std::vector<Slot> work{0};
  seen[0] = true;
  auto visit = [&](Slot slot) {
    if (slot < count && !seen[slot]) {
      seen[slot] = true;
      work.push_back(slot);
    }
  };
  while (!work.empty()) {
    Slot slot = work.back();
    work.pop_back();
    std::array<Slot, 2> next{};
    int ways = successors(program, slot, next);
    for (int i = 0; i < ways; ++i) visit(next[i]);
    if (auto target = called_slot(program.insns[slot])) visit(*target);
    mark_points(program, slot, flow);
  }
  for (Slot slot = 0; slot < count; ++slot)
    if (!seen[slot] && !std::holds_alternative<WideTail>(program.insns[slot]))
      return structure(slot, fmt::format("unreachable insn {}", slot), "remove the code that no path reaches");
  return std::nullopt;
}

// What a subprogram does, itself or by its callees.
void propagate_effects(const Program& program, Flow& flow) {
  flow.changes_packet.assign(program.subprograms.size(), false);
  flow.has_tail_call.assign(program.subprograms.size(), false);
  for (Slot slot = 0; slot < program.insns.size(); ++slot) {
    const auto* call = std::get_if<CallHelper>(&program.insns[slot]);
    if (!call) continue;
    const HelperSignature* helper = find_helper(call->id);
    if (helper && helper->changes_packet) flow.changes_packet[flow.subprogram[slot]] = true;
    if (call->id == kHelperTailCall) flow.has_tail_call[flow.subprogram[slot]] = true;
  }
  for (bool changed = true; changed;) {
    changed = false;
    for (Slot slot = 0; slot < program.insns.size(); ++slot) {
      auto target = called_slot(program.insns[slot]);
      if (!target) continue;
      uint32_t from = flow.subprogram[slot], to = flow.subprogram[*target];
      if (flow.changes_packet[to] && !flow.changes_packet[from]) flow.changes_packet[from] = changed = true;
    }
  }
}

}  // namespace

int successors(const Program& program, Slot slot, std::array<Slot, 2>& out) {
  const Instruction& insn = program.insns[slot];
  if (std::holds_alternative<Exit>(insn)) return 0;
  if (const auto* go = std::get_if<Goto>(&insn)) {
    out[0] = go->target;
    return 1;
  }
  out[0] = slot + (is_wide(insn) ? 2 : 1);
  if (auto target = jump_target(insn)) {
    out[1] = *target;
    return 2;
  }
  return 1;
}

std::optional<Fault> analyse_flow(const Program& program, Flow& flow) {
  const size_t count = program.insns.size();
  flow.prune_point.assign(count, false);
  flow.jump_target.assign(count, false);
  flow.force_checkpoint.assign(count, false);
  flow.calls_callback.assign(count, false);
  if (auto fault = check_bounds(program, flow)) return fault;
  if (auto fault = check_references(program)) return fault;
  if (auto fault = check_reachable(program, flow)) return fault;
  propagate_effects(program, flow);
  compute_liveness(program, flow);
  return std::nullopt;
}

namespace {

// Depth-first walk of the call graph with the bytes of stack used so far.
class DepthWalk {
 public:
  DepthWalk(const Program& program, const Flow& flow, const std::vector<uint32_t>& stack,
            const std::vector<bool>& asynchronous)
      : program_(program),
        flow_(flow),
        stack_(stack),
        asynchronous_(asynchronous),
        seen_(stack.size() * (kMaxCallDepth + 1), 0) {}

  bool walk(uint32_t sub, uint32_t frames, uint32_t bytes, Slot from) {
    if (frames > kMaxCallDepth)
      return fail(Rejection::Kind::kLimit, from, E2BIG,
                  fmt::format("the call stack of {} frames is too deep !", frames - 1),
                  "call fewer functions inside each other, or let the compiler inline them");
    if (sub != 0 && flow_.has_tail_call[sub] && bytes >= kTailCallStackBytes)
      return fail(
          Rejection::Kind::kLimit, from, EACCES,
          fmt::format("tail_calls are not allowed when call stack of previous frames is {} bytes. Too large", bytes),
          "use less stack in the callers of the function that makes the tail call");
    bytes += (stack_[sub] + 15) / 16 * 16;  // the kernel's rounding when programs are compiled
    if (bytes > kStackBytes)
      return fail(Rejection::Kind::kLimit, from, EACCES,
                  fmt::format("combined stack size of {} calls is {}. Too large", frames, bytes),
                  "keep big objects in a per-CPU array map instead of on the stack");
    result.max_bytes = std::max(result.max_bytes, bytes);
    result.max_frames = std::max(result.max_frames, frames);
    // A subprogram seen at this depth with at least as much stack in use cannot fail now.
    uint32_t& seen = seen_[sub * (kMaxCallDepth + 1) + frames];
    if (seen > bytes) return true;
    seen = bytes + 1;
    const Subprogram& range = program_.subprograms[sub];
    for (Slot slot = range.first; slot < range.end; ++slot)
      if (auto target = called_slot(program_.insns[slot]))
        if (!runs_later(slot, *target) && !walk(flow_.subprogram[*target], frames + 1, bytes, slot)) return false;
    return true;
  }

  DepthResult result;

 private:
  bool runs_later(Slot slot, Slot target) const {
    return asynchronous_[flow_.subprogram[target]] && std::holds_alternative<LoadFunction>(program_.insns[slot]);
  }
  bool fail(Rejection::Kind kind, Slot slot, int error, std::string reason, std::string advice) {
    result.fault = Fault{kind, slot, error, std::move(reason), std::move(advice)};
    return false;
  }

  const Program& program_;
  const Flow& flow_;
  const std::vector<uint32_t>& stack_;
  const std::vector<bool>& asynchronous_;
  std::vector<uint32_t> seen_;  // by subprogram and depth: bytes in use + 1
};

}  // namespace

DepthResult check_stack_depth(const Program& program, const Flow& flow, const std::vector<uint32_t>& stack,
                              const std::vector<bool>& asynchronous) {
  CHECK(stack.size() == program.subprograms.size() && asynchronous.size() == stack.size());
  DepthWalk walk(program, flow, stack, asynchronous);
  for (uint32_t sub = 0; sub < stack.size(); ++sub)
    if ((sub == 0 || asynchronous[sub]) && !walk.walk(sub, 1, 0, program.subprograms[sub].first)) break;
  return walk.result;
}

}  // namespace xnic::compile::verify
