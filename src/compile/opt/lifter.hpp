// SPDX-License-Identifier: Apache-2.0
// The insides of lift(): the state of a path, and the queue of blocks to come. Shared by lift.cpp (control) and
// lift_insns.cpp (instructions).
#pragma once

#include <map>
#include <optional>
#include <vector>

#include "arch/ebpf/context.hpp"
#include "compile/opt/callbacks.hpp"
#include "compile/opt/cfg.hpp"
#include "compile/opt/lift.hpp"

namespace xnic::compile::opt {

using Key = std::vector<uint32_t>;  // call blocks' orders from the outside in, then the block's; compared as words

// What a path holds a value for: the registers, then the turns that may_goto has left in this function.
inline constexpr size_t kTurnsLeft = arch::ebpf::kRegCount;
inline constexpr size_t kPathValues = kTurnsLeft + 1;
inline constexpr uint64_t kMayGotoTurns = 8u << 20;  // kernel BPF_MAX_LOOPS

// The upper half of what LoadFunction puts into a register; the lower half is the function's slot. Programs cannot
// tell.
inline constexpr uint64_t kFunctionTag = 0xf0c0de00;

struct Frame {  // a caller that waits
  uint32_t return_block;
  std::array<NodeId, 5> saved;  // r6..r9, turns left
  bool counted;                 // by the verifier: not the loops of callbacks.hpp
  NodeId frame_pointer;
  uint32_t stack_base;
  Key key;  // prefix of the callee's keys
};
struct Known {
  Cond cond;
  bool truth;
};
struct Loop {
  Key key;
  uint32_t cfg_block;
  BlockId header;
  std::vector<size_t> values;  // those with phis: registers, then what callers saved
};

// What is known on a path. Invariant: `block` is open, every value in regs dominates it.
struct Env {
  std::array<NodeId, kPathValues> regs;
  EffectId head = 0;
  BlockId block = 0;
  std::vector<Known> known;
  EffectId packet_token = 0;  // packet_min and packet_max hold for these bounds
  uint32_t packet_min = 0;    // bytes that the packet has at least
  uint32_t packet_max = ~0u;  // and at most
  std::vector<Frame> frames;
  std::vector<Loop> loops;
  uint32_t stack_base = arch::ebpf::kStackBytes;  // r10 of the running frame, as a stack byte
  double weight = 1;
};

enum class Edge : uint8_t { kGoto, kTaken, kNext };
struct Arrival {
  Env env;  // env.block: the block that it comes from
  Edge edge;
};

class Lifter {
 public:
  Lifter(const arch::ebpf::Program& program, const arch::ebpf::Facts& facts, const LiftOptions& options, Graph& graph);
  base::Result<void> run();

 private:
  // lift.cpp
  void arrive(Env env, Edge edge, uint32_t cfg_block);
  base::Result<void> process(const Key& key, uint32_t cfg_block, std::vector<Arrival> arrivals);
  bool worth_copy(const BasicBlock& bb, const Arrival& arrival, size_t others);
  Env merge(std::vector<Arrival>& arrivals, uint32_t cfg_block, const Key& key);
  BlockId new_block(BlockId idom, double weight);
  void connect(const Arrival& arrival, BlockId to);
  void go_back(Env& env, const Loop& loop);
  base::Result<void> walk(Env env, uint32_t cfg_block);
  base::Result<void> finish_jump(Env env, const arch::ebpf::Jump& jump, Slot slot, const BasicBlock& bb);
  std::optional<bool> decided(const Env& env, const Cond& cond) const;
  void learn(Env& env, const Cond& cond, bool truth);
  double taken_probability(const Cond& cond, Slot slot, const BasicBlock& bb) const;
  base::Result<void> finish_may_goto(Env env, const arch::ebpf::MayGoto& jump, Slot slot, const BasicBlock& bb);
  base::Result<void> call_function(Env env, Slot target, Slot slot, const BasicBlock& bb);
  base::Result<void> call_register(Env env, arch::ebpf::Reg reg, Slot slot, const BasicBlock& bb);
  void leave_frame(Env env, Slot slot);
  void note_stack(uint32_t base, size_t subprogram);

  // conditions.cpp
  Cond make_cond(Env& env, const arch::ebpf::Jump& jump);

  // lift_insns.cpp
  base::Result<void> insn(Env& env, Slot slot);
  NodeId operand(const Env& env, const arch::ebpf::Operand& operand, Width width);
  void binary(Env& env, const arch::ebpf::Binary& i);
  base::Result<void> load(Env& env, const arch::ebpf::Load& i, Slot slot);
  int64_t frame_base(const Env& env, uint32_t frame) const;
  NodeId pointer(const Env& env, arch::ebpf::Reg r, Slot slot);
  void store(Env& env, const arch::ebpf::Store& i, Slot slot);
  base::Result<void> atomic(Env& env, const arch::ebpf::Atomic& i, Slot slot);
  base::Result<void> call(Env& env, const arch::ebpf::CallHelper& i, Slot slot);
  void pass_bytes(const Env& env, CallInfo& info);
  NodeId array_index(const CallInfo& info) const;
  NodeId constant_element(const CallInfo& info);
  bool always_found(NodeId id) const;
  NodeId forwarded(EffectId head, const Loc& loc, bool zero_extended);
  Loc place(const Env& env, arch::ebpf::Reg base, int16_t offset, uint32_t bytes, Slot slot);
  EffectId push(Env& env, Effect effect, Slot slot);
  NodeId reg(const Env& env, arch::ebpf::Reg r);
  base::Unexpected refuse(base::ErrorKind kind, Slot slot, const std::string& why) const;

  const arch::ebpf::Program& program_;
  const arch::ebpf::Facts& facts_;
  const LiftOptions& options_;
  Graph& graph_;
  Cfg cfg_;
  struct Pending {
    uint32_t cfg_block;
    std::vector<Arrival> arrivals;
  };
  std::map<Key, Pending> queue_;
  uint64_t lifted_ = 0;  // instructions walked
  uint64_t budget_ = 0;  // for copies
};

}  // namespace xnic::compile::opt
