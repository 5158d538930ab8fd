// SPDX-License-Identifier: Apache-2.0
// Depth-first walk over the paths: one current state, a stack of branches not yet taken, checkpoints at pruning points.
// At a conditional jump that can go both ways the current path falls through and the other way is put aside. The walk
// ends when no branch is left (accepted), when a rule is broken, or when the instruction budget is used up.
#include <fmt/core.h>

#include <cerrno>

#include "base/check.hpp"
#include "compile/verify/walk.hpp"

namespace xnic::compile::verify {

using enum Rejection::Kind;

// Branches put aside at one time; the kernel's BPF_COMPLEXITY_LIMIT_JMP_SEQ.
constexpr size_t kMaxBranches = 8192;
// Bytes of states stored at one time; the kernel's limit is the memory of the machine.
constexpr size_t kMaxStateBytes = size_t{2} << 30;

Walk::Walk(const Program& program, const Environment& environment, const Options& options, const Flow& flow,
           const Signatures& signatures)
    : facts(program, flow),
      stack_bytes(program.subprograms.size(), 0),
      global_used(program.subprograms.size(), false),
      asynchronous(program.subprograms.size(), false),
      program_(program),
      environment_(environment),
      options_(options),
      flow_(flow),
      signatures_(signatures) {}

bool Walk::run_main() {
  State start;
  start.frames.emplace_back();
  Frame& frame = start.top();
  frame.regs[1] = Register::pointer(Kind::kContext);
  frame.regs[10] = Register::pointer(Kind::kStack);
  global_run_ = false;
  return explore(std::move(start), 0);
}

bool Walk::run_global(uint32_t subprogram, const std::vector<Register>& arguments) {
  State start;
  start.frames.emplace_back();
  Frame& frame = start.top();
  frame.subprogram = subprogram;
  for (size_t i = 0; i < arguments.size() && i < 5; ++i) {
    frame.regs[i + 1] = arguments[i];
    if (arguments[i].maybe_null) frame.regs[i + 1].id = fresh_id();
  }
  frame.regs[10] = Register::pointer(Kind::kStack);
  global_run_ = true;
  return explore(std::move(start), program_.subprograms[subprogram].first);
}

bool Walk::explore(State start, Slot slot) {
  explored_.clear();
  scores_.clear();
  back_edges_.clear();
  work_.clear();
  work_.push_back({std::move(start), slot, 0});
  while (!work_.empty()) {
    state_ = std::move(work_.back().state);
    slot_ = work_.back().slot;
    memory_ -= work_.back().bytes;
    work_.pop_back();
    show_state_ = true;
    if (!walk_path()) return false;
    end_path();
  }
  return true;
}

bool Walk::walk_path() {
  path_ended_ = false;
  while (!path_ended_) {
    if (slot_ >= program_.insns.size())
      return reject(kStructure, EFAULT, fmt::format("invalid insn idx {} insn_cnt {}", slot_, program_.insns.size()),
                    "end every path with a return");
    if (++visited > options_.max_visits)
      return reject(kTermination, E2BIG, fmt::format("BPF program is too large. Processed {} insn", visited),
                    "bound the loops more tightly, or split the program with tail calls");
    if (memory_ > kMaxStateBytes)
      return reject(kTermination, ENOMEM, fmt::format("states take more than {} bytes", kMaxStateBytes),
                    "bound the loops more tightly, or split the program with tail calls");
    if (flow_.prune_point[slot_]) {
      bool finished = pruned();
      if (!rejection.reason.empty()) return false;
      if (finished) return true;
    }
    if (options_.log_level >= 2) log_visit();
    facts.visit(slot_, state_, global_run_);
    next_ = slot_ + (is_wide(program_.insns[slot_]) ? 2 : 1);
    if (!step()) return false;
    slot_ = next_;
  }
  return true;
}

bool Walk::step() {
  if (state_.lock_id != 0) {
    // Between spin_lock and spin_unlock no other function may be called.
    const auto* call = std::get_if<CallHelper>(&program_.insns[slot_]);
    const HelperSignature* helper = call ? find_helper(call->id) : nullptr;
    if (call && (!helper || helper->name != "spin_unlock"))
      return reject(kReference, EINVAL, "function calls are not allowed while holding a lock",
                    "call bpf_spin_unlock first");
  }
  return std::visit([this](const auto& insn) { return execute(insn); }, program_.insns[slot_]);
}

State& Walk::push_branch(Slot slot) {
  const size_t bytes = state_.footprint();
  memory_ += bytes;
  work_.push_back({state_, slot, bytes});
  if (state_.parent) ++state_.parent->branches;
  State& branch = work_.back().state;
  branch.branches = 1;
  if (work_.size() > kMaxBranches)
    reject(kTermination, E2BIG, fmt::format("The sequence of {} jumps is too complex.", kMaxBranches),
           "simplify the conditions, or split the program with tail calls");
  return branch;
}

// The path is over: checkpoints all of whose continuations are over become usable for pruning.
void Walk::end_path() {
  std::shared_ptr<State> up = state_.parent;
  while (up && --up->branches == 0) {
    std::shared_ptr<State> next = up->parent;
    close_checkpoint(*up);
    up = std::move(next);
  }
}

bool Walk::read_ok(int i) {
  if (reg(i).kind != Kind::kUnset) return true;
  return reject(kType, EACCES, fmt::format("R{} !read_ok", i), "give the register a value on every path to here");
}

bool Walk::write_ok(int i) {
  if (i != index(kFramePointer)) return true;
  return reject(kType, EACCES, "frame pointer is read only", "copy r10 to another register first");
}

bool Walk::execute(const WideTail&) {
  return reject(kStructure, EINVAL, fmt::format("unknown opcode 00 at insn {}", slot_),
                "jump to the first half of a 16-byte instruction");
}

bool Walk::execute(const Goto& insn) {
  ++jumps_;
  next_ = insn.target;
  return true;
}

// The hidden budget may end the loop at any visit, so the walk goes on at the target; the fall-through is explored as
// another iteration, with what changed since the last one widened so that the loop converges.
bool Walk::execute(const MayGoto& insn) {
  ++jumps_;
  State* previous = previous_visit(state_, slot_);
  State& again = push_branch(slot_ + 1);
  if (!rejection.reason.empty()) return false;
  ++again.may_goto_depth;
  if (previous) widen_against(*previous, again);
  next_ = insn.target;
  return true;
}

bool Walk::execute(const CallKernel& insn) {
  // Kernel functions the card has: none yet. A table by name is looked up here once there is one.
  return reject(kUnsupported, EINVAL,
                fmt::format("calling kernel function with BTF id {} is not supported", insn.btf_id),
                "use helpers instead of kfuncs; the card has no kernel to call into");
}

bool Walk::execute(const CallRegister&) {
  return reject(kStructure, EINVAL, "unknown opcode 8d", "call functions by name; no verifier accepts callx");
}

bool Walk::execute(const LoadImm64& insn) {
  if (!write_ok(index(insn.dst))) return false;
  reg(insn.dst) = Register::constant(insn.value);
  depend(here(index(insn.dst)));
  return true;
}

bool Walk::execute(const LoadMap& insn) {
  if (!write_ok(index(insn.dst))) return false;
  Register map = Register::pointer(Kind::kMap);
  map.map = insn.map;
  map.spec = &program_.maps[insn.map];
  reg(insn.dst) = map;
  depend(here(index(insn.dst)));
  return true;
}

bool Walk::execute(const LoadMapValue& insn) {
  if (!write_ok(index(insn.dst))) return false;
  const MapSpec& spec = program_.maps[insn.map];
  Register value = Register::pointer(Kind::kMapValue);
  value.map = insn.map;
  value.spec = &spec;
  value.offset = static_cast<int32_t>(insn.offset);
  reg(insn.dst) = value;
  depend(here(index(insn.dst)));
  return true;
}

bool Walk::execute(const LoadFunction& insn) {
  if (!write_ok(index(insn.dst))) return false;
  Register function = Register::pointer(Kind::kFunction);
  function.function = insn.target;
  reg(insn.dst) = function;
  depend(here(index(insn.dst)));
  return true;
}

bool Walk::execute(const LoadKernelVariable&) {
  CHECK(false);  // refused before the walk (cfg.cpp)
  return false;
}

// Legacy packet access (RFC 9669 §5.5): the context is implicit in r6; on failure the program ends with 0.
bool Walk::execute(const LoadPacket&) {
  return reject(kType, EINVAL, "BPF_LD_[ABS|IND] instructions not allowed for this program type",
                "read the packet through ctx->data");
}

}  // namespace xnic::compile::verify
