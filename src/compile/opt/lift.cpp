// SPDX-License-Identifier: Apache-2.0
// Symbolic execution along paths. Blocks wait in a queue ordered by call context and reverse postorder, so when one is
// taken out all its forward predecessors have arrived. Arrivals are then copied (each goes on with all it knows:
// constants, decided branches, forwarded stores) or merged (values that differ become phis). Loop headers always merge:
// registers that the loop may change are phis, and an edge back to a header on the path ends the path.
#include "compile/opt/lift.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "arch/ebpf/context.hpp"
#include "base/check.hpp"
#include "compile/opt/alu.hpp"
#include "compile/opt/lifter.hpp"

namespace xnic::compile::opt {

using namespace arch::ebpf;
using arch::ebpf::Width;

namespace {
constexpr size_t kMaxBlocks = 20'000;
}

std::string source_of(const Program& program, Slot slot) {
  const LineInfo* line = program.line_at(slot);
  if (line == nullptr) return fmt::format("insn {}", slot);
  return fmt::format("{}:{}: {} (insn {})", line->file, line->line, line->text, slot);
}

Cond negate(const Cond& cond) {
  Cond n = cond;
  if (cond.packet) {
    n.at_least = !cond.at_least;
    return n;
  }
  switch (cond.op) {
    case JumpOp::kEq:
      n.op = JumpOp::kNe;
      break;
    case JumpOp::kNe:
      n.op = JumpOp::kEq;
      break;
    case JumpOp::kGt:
      n.op = JumpOp::kLe;
      break;
    case JumpOp::kLe:
      n.op = JumpOp::kGt;
      break;
    case JumpOp::kGe:
      n.op = JumpOp::kLt;
      break;
    case JumpOp::kLt:
      n.op = JumpOp::kGe;
      break;
    case JumpOp::kSgt:
      n.op = JumpOp::kSle;
      break;
    case JumpOp::kSle:
      n.op = JumpOp::kSgt;
      break;
    case JumpOp::kSge:
      n.op = JumpOp::kSlt;
      break;
    case JumpOp::kSlt:
      n.op = JumpOp::kSge;
      break;
    case JumpOp::kSet:
      CHECK(false);
  }
  return n;
}

Lifter::Lifter(const Program& program, const Facts& facts, const LiftOptions& options, Graph& graph)
    : program_(program), facts_(facts), options_(options), graph_(graph), cfg_(build_cfg(program)) {
  graph_.fold = options.fold;
  graph_.merge_loads = options.merge_loads;
  budget_ = program.insns.size() * options.growth / 100 + (options.growth > 0 ? 400 : 0);
}

base::Unexpected Lifter::refuse(base::ErrorKind kind, Slot slot, const std::string& why) const {
  return base::Unexpected(base::Error{kind, source_of(program_, slot), why});
}

BlockId Lifter::new_block(BlockId idom, double weight) {
  Block block;
  block.idom = idom;
  block.weight = weight;
  block.depth = idom == kNone ? 0 : graph_.blocks[idom].depth + 1;
  graph_.blocks.push_back(std::move(block));
  return BlockId(graph_.blocks.size() - 1);
}

// The running frame's part of the stack.
void Lifter::note_stack(uint32_t base, size_t subprogram) {
  const uint32_t used = subprogram < facts_.stack_bytes.size() ? facts_.stack_bytes[subprogram] : kStackBytes;
  graph_.stack_used = std::max(graph_.stack_used, std::min(kStackBytes, kStackBytes - base + used));
}

base::Result<void> Lifter::run() {
  note_stack(kStackBytes, 0);
  Env env;
  env.regs.fill(kNone);
  env.block = new_block(kNone, 1);
  env.regs[1] = graph_.address(Space::kContext, 0);
  env.regs[10] = graph_.address(Space::kStack, kStackBytes);
  env.regs[kTurnsLeft] = graph_.constant(kMayGotoTurns);
  queue_[{cfg_.blocks[0].order}] = {0, {}};
  Arrival start{env, Edge::kGoto};
  XNIC_TRY(process({cfg_.blocks[0].order}, 0, {start}));
  while (!queue_.empty()) {
    auto first = queue_.extract(queue_.begin());
    if (first.mapped().arrivals.empty()) continue;
    const uint32_t cfg_block = first.mapped().cfg_block;
    XNIC_TRY(process(first.key(), cfg_block, std::move(first.mapped().arrivals)));
    if (graph_.blocks.size() > kMaxBlocks)
      return refuse(base::ErrorKind::kLimit, cfg_.blocks[cfg_block].first,
                    fmt::format("more than {} blocks: every call of a function becomes a copy of it", kMaxBlocks));
  }
  return {};
}

void Lifter::arrive(Env env, Edge edge, uint32_t cfg_block) {
  Key key = env.frames.empty() ? Key{} : env.frames.back().key;
  key.push_back(cfg_.blocks[cfg_block].order);
  for (const Loop& loop : env.loops) {
    if (loop.key != key) continue;
    if (edge != Edge::kGoto) {  // an edge out of a branch that leads back needs a block for its phis' values
      const BlockId from = env.block;
      const BlockId between = new_block(from, env.weight);
      (edge == Edge::kTaken ? graph_.blocks[from].taken : graph_.blocks[from].next) = between;
      env.block = between;
    }
    go_back(env, loop);
    return;
  }
  // Who has left a loop may share what follows with everybody.
  std::erase_if(env.loops, [&](const Loop& loop) {
    return loop.key.size() == key.size() && !cfg_.blocks[loop.cfg_block].loop_body[cfg_block];
  });
  Pending& pending = queue_[key];
  pending.cfg_block = cfg_block;
  pending.arrivals.push_back({std::move(env), edge});
}

namespace {
// All values of an environment as one list: registers, then what waiting callers saved.
NodeId& value_of(Env& e, size_t i) {
  return i < kPathValues ? e.regs[i] : e.frames[(i - kPathValues) / 5].saved[(i - kPathValues) % 5];
}
}  // namespace

void Lifter::go_back(Env& env, const Loop& loop) {
  Block& from = graph_.blocks[env.block];
  from.end = Block::End::kGoto;
  from.next = loop.header;
  for (size_t i : loop.values) {
    const NodeId value = value_of(env, i);
    from.args.push_back(value == kNone ? graph_.constant(0) : value);
  }
}

void Lifter::connect(const Arrival& arrival, BlockId to) {
  Block& from = graph_.blocks[arrival.env.block];
  if (arrival.edge == Edge::kTaken) from.taken = to;
  if (arrival.edge != Edge::kTaken) from.next = to;
  if (arrival.edge == Edge::kGoto) from.end = Block::End::kGoto;
}

// Whether this arrival gets its own copy of what follows, rather than sharing one with `others`.
bool Lifter::worth_copy(const BasicBlock& bb, const Arrival& arrival, size_t others) {
  if (others == 0) return true;
  if (!options_.duplicate) return false;
  if (bb.tail_insns <= 4) return true;
  if (lifted_ + bb.tail_insns > budget_) return false;
  return arrival.env.weight >= 0.02;  // rare paths share what follows
}

base::Result<void> Lifter::process(const Key& key, uint32_t cfg_block, std::vector<Arrival> arrivals) {
  const BasicBlock& bb = cfg_.blocks[cfg_block];
  // Only arrivals of the same loops may share a block: their ways back differ otherwise.
  std::stable_sort(arrivals.begin(), arrivals.end(), [](const Arrival& a, const Arrival& b) {
    const auto headers = [](const Arrival& x) {
      std::vector<BlockId> h;
      for (const Loop& loop : x.env.loops) h.push_back(loop.header);
      return h;
    };
    const auto ha = headers(a), hb = headers(b);
    return ha != hb ? ha < hb : a.env.weight > b.env.weight;
  });
  const auto same_loops = [](const Arrival& a, const Arrival& b) {
    return std::equal(a.env.loops.begin(), a.env.loops.end(), b.env.loops.begin(), b.env.loops.end(),
                      [](const Loop& x, const Loop& y) { return x.header == y.header; });
  };
  std::vector<std::vector<Arrival>> groups;
  for (size_t i = 0; i < arrivals.size(); i++) {
    size_t others = 0;
    for (size_t k = 0; k < arrivals.size(); k++) others += k != i && same_loops(arrivals[i], arrivals[k]);
    const bool fresh = groups.empty() || !same_loops(groups.back().back(), arrivals[i]);
    const bool alone = worth_copy(bb, arrivals[i], others);
    const bool previous_alone = !fresh && groups.back().size() == 1 && worth_copy(bb, groups.back()[0], others);
    if (fresh || alone || previous_alone) groups.emplace_back();
    groups.back().push_back(std::move(arrivals[i]));
  }
  for (auto& group : groups) {
    Env env;
    if (group.size() == 1 && !bb.loop_header) {
      env = std::move(group[0].env);
      if (group[0].edge != Edge::kGoto) {
        const BlockId block = new_block(env.block, env.weight);
        group[0].env.block = env.block;
        connect(group[0], block);
        env.block = block;
      }
    } else {
      env = merge(group, cfg_block, key);
    }
    XNIC_TRY(walk(std::move(env), cfg_block));
  }
  return {};
}

// One block for all arrivals. Post: the environment holds on every path through it.
Env Lifter::merge(std::vector<Arrival>& arrivals, uint32_t cfg_block, const Key& key) {
  const BasicBlock& bb = cfg_.blocks[cfg_block];
  const bool header = bb.loop_header;
  // Edges out of branches get a block of their own, which hands over the phis' values.
  for (Arrival& arrival : arrivals) {
    if (arrival.edge == Edge::kGoto) continue;
    const BlockId between = new_block(arrival.env.block, arrival.env.weight);
    connect(arrival, between);
    arrival.env.block = between;
    arrival.edge = Edge::kGoto;
  }
  Env env = arrivals[0].env;
  BlockId idom = env.block;
  for (const Arrival& arrival : arrivals) {
    BlockId other = arrival.env.block;
    while (idom != other) {
      BlockId& deeper = graph_.blocks[idom].depth >= graph_.blocks[other].depth ? idom : other;
      deeper = graph_.blocks[deeper].idom;
    }
  }
  env.weight = 0;
  for (const Arrival& arrival : arrivals) env.weight += arrival.env.weight;
  const BlockId block = new_block(idom, env.weight);
  graph_.blocks[block].merge = true;
  graph_.blocks[block].loop_header = header;
  env.block = block;
  graph_.at_block = block;
  graph_.at_slot = bb.first;

  Loop loop{key, cfg_block, block, {}};
  const size_t values = kPathValues + 5 * env.frames.size();
  for (size_t i = 0; i < values; i++) {
    bool differ = header && i < kPathValues && (bb.loop_writes >> i & 1);
    bool unset = false;
    for (Arrival& arrival : arrivals) {
      differ |= value_of(arrival.env, i) != value_of(env, i);
      unset |= value_of(arrival.env, i) == kNone;
    }
    if (!differ) continue;
    if (unset && !header) {
      value_of(env, i) = kNone;  // unset on some path: nothing reads it
      continue;
    }
    const NodeId phi = graph_.phi(block);
    Space region = Space::kRegister;
    int64_t map = -1;
    for (Arrival& arrival : arrivals) {
      NodeId value = value_of(arrival.env, i);
      if (value == kNone) value = graph_.constant(0);
      graph_.blocks[arrival.env.block].args.push_back(value);
      int64_t m = -1;
      const Space r = graph_.provenance(value, m);
      if (&arrival == &arrivals[0]) region = r, map = m;
      if (r != region || m != map) region = Space::kRegister;
    }
    // A phi of a loop may later be anything, so only joins of known pointers keep what they point to.
    if (!header) {
      graph_.nodes[phi].map = region == Space::kMapValue && map >= 0 ? map
                              : region == Space::kPacket             ? -2
                              : region == Space::kStack              ? -3
                                                                     : -1;
    }
    graph_.blocks[block].phis.push_back(phi);
    value_of(env, i) = phi;
    loop.values.push_back(i);
  }
  bool heads_differ = header && bb.loop_effects;
  for (const Arrival& arrival : arrivals) {
    heads_differ |= arrival.env.head != env.head;
    connect(arrival, block);
    // What holds on all paths: conditions known alike, the weakest packet bounds.
    std::erase_if(env.known, [&](const Known& k) {
      return std::none_of(arrival.env.known.begin(), arrival.env.known.end(),
                          [&](const Known& o) { return o.cond == k.cond && o.truth == k.truth; });
    });
    if (arrival.env.packet_token != env.packet_token) env.packet_min = 0, env.packet_max = ~0u;
    env.packet_min = std::min(env.packet_min, arrival.env.packet_min);
    env.packet_max = std::max(env.packet_max, arrival.env.packet_max);
  }
  if (heads_differ) {
    graph_.effects.push_back({.kind = EffectKind::kMerge, .prev = env.head, .block = block, .slot = bb.first});
    env.head = EffectId(graph_.effects.size() - 1);
  }
  if (header) env.loops.push_back(std::move(loop));
  return env;
}

// Runs one basic block and hands its end on.
base::Result<void> Lifter::walk(Env env, uint32_t cfg_block) {
  const BasicBlock& bb = cfg_.blocks[cfg_block];
  graph_.at_block = env.block;
  graph_.head = env.head;
  const Slot last = bb.end - 1;
  for (Slot slot = bb.first; slot < bb.end; slot++) {
    XNIC_TRY(insn(env, slot));
    lifted_++;
  }
  graph_.at_slot = last;
  graph_.blocks[env.block].end_slot = last;
  const Instruction& end = program_.insns[last];
  if (const auto* jump = std::get_if<Jump>(&end)) return finish_jump(std::move(env), *jump, last, bb);
  if (const auto* jump = std::get_if<Goto>(&end)) {
    arrive(std::move(env), Edge::kGoto, cfg_.block_at[jump->target]);
  } else if (const auto* local = std::get_if<CallLocal>(&end)) {
    return call_function(std::move(env), local->target, last, bb);
  } else if (const auto* indirect = std::get_if<CallRegister>(&end)) {
    return call_register(std::move(env), indirect->reg, last, bb);
  } else if (const auto* may = std::get_if<MayGoto>(&end)) {
    return finish_may_goto(std::move(env), *may, last, bb);
  } else if (std::holds_alternative<Exit>(end)) {
    leave_frame(std::move(env), last);
  } else {
    if (bb.successors.empty()) return refuse(base::ErrorKind::kBadInput, last, "the program runs past its end");
    arrive(std::move(env), Edge::kGoto, bb.successors[0]);
  }
  return {};
}

// A callback: the register holds what LoadFunction put there.
base::Result<void> Lifter::call_register(Env env, Reg r, Slot slot, const BasicBlock& bb) {
  const NodeId function = reg(env, r);
  if (!graph_.is_const(function) || graph_.const_of(function) >> 32 != kFunctionTag)
    return refuse(base::ErrorKind::kUnsupported, slot, "callbacks: which function is called is not known here");
  return call_function(std::move(env), Slot(graph_.const_of(function)), slot, bb);
}

base::Result<void> Lifter::call_function(Env env, Slot target, Slot slot, const BasicBlock& bb) {
  const auto counted =
      size_t(std::count_if(env.frames.begin(), env.frames.end(), [](const Frame& f) { return f.counted; }));
  if (counted + 1 >= kMaxCallDepth)
    return refuse(base::ErrorKind::kLimit, slot,
                  fmt::format("calls nest deeper than {} frames (recursion?)", kMaxCallDepth));
  const Subprogram& caller = program_.subprogram_at(slot);
  const Subprogram& callee = program_.subprogram_at(target);
  const auto sub = size_t(&caller - program_.subprograms.data());
  if (callee.name == kWalkName) {
    const Node& map = graph_.node(reg(env, Reg::kR1));
    const bool known = map.kind == NodeKind::kAddress && map.space == Space::kMap;
    const MapType type = known ? program_.maps[size_t(map.map)].type : kMapUnspec;
    if (type != kMapArray && type != kMapPercpuArray)
      return refuse(base::ErrorKind::kUnsupported, slot,
                    "bpf_for_each_map_elem: the map module can look keys up, not list them; arrays are possible");
  }
  // The callee's frame begins below what the caller uses.
  const uint32_t used = sub < facts_.stack_bytes.size() ? (facts_.stack_bytes[sub] + 7) / 8 * 8 : kStackBytes;
  if (used > env.stack_base)
    return refuse(base::ErrorKind::kLimit, slot,
                  fmt::format("frames need more than the {} bytes of stack", kStackBytes));
  Frame frame{.return_block = bb.successors[0],
              .saved = {},
              .counted = callee.name != kLoopName && callee.name != kWalkName,
              .frame_pointer = env.regs[10],
              .stack_base = env.stack_base,
              .key = {}};
  for (size_t i = 0; i < 4; i++) frame.saved[i] = env.regs[6 + i];
  frame.saved[4] = env.regs[kTurnsLeft];
  frame.key = env.frames.empty() ? Key{} : env.frames.back().key;
  frame.key.push_back(bb.order);
  env.frames.push_back(std::move(frame));
  env.stack_base -= used;
  note_stack(env.stack_base, size_t(&callee - program_.subprograms.data()));
  env.regs[10] = graph_.address(Space::kStack, env.stack_base);
  for (size_t r = 6; r <= 9; r++) env.regs[r] = kNone;
  env.regs[0] = kNone;
  env.regs[kTurnsLeft] = graph_.constant(kMayGotoTurns);
  arrive(std::move(env), Edge::kGoto, cfg_.block_at[target]);
  return {};
}

void Lifter::leave_frame(Env env, Slot slot) {
  if (env.frames.empty()) {
    Block& block = graph_.blocks[env.block];
    block.end = Block::End::kExit;
    block.verdict = graph_.zero_extend(32, reg(env, Reg::kR0));
    block.end_slot = slot;
    return;
  }
  const Frame frame = env.frames.back();
  env.frames.pop_back();
  for (size_t i = 0; i < 4; i++) env.regs[6 + i] = frame.saved[i];
  env.regs[kTurnsLeft] = frame.saved[4];
  for (size_t r = 1; r <= 5; r++) env.regs[r] = kNone;
  env.regs[10] = frame.frame_pointer;
  env.stack_base = frame.stack_base;
  // Loops of the callee end with it.
  std::erase_if(env.loops, [&](const Loop& loop) { return loop.key.size() > env.frames.size() + 1; });
  arrive(std::move(env), Edge::kGoto, frame.return_block);
}

std::optional<bool> Lifter::decided(const Env& env, const Cond& cond) const {
  if (cond.packet) {
    if (cond.bytes == 0) return cond.at_least;
    if (!options_.thread || cond.token != env.packet_token) return std::nullopt;
    if (env.packet_min >= cond.bytes) return cond.at_least;
    if (env.packet_max < cond.bytes) return !cond.at_least;
    return std::nullopt;
  }
  if (graph_.is_const(cond.a) && graph_.is_const(cond.b))
    return evaluate(cond.op, cond.width, graph_.const_of(cond.a), graph_.const_of(cond.b));
  if (!options_.thread) return std::nullopt;
  const Cond inverse = negate(cond);
  for (auto known = env.known.rbegin(); known != env.known.rend(); ++known) {
    if (known->cond == cond) return known->truth;
    if (known->cond == inverse) return !known->truth;
    // a == c decides every comparison of a with a constant.
    const bool equals =
        (known->cond.op == JumpOp::kEq && known->truth) || (known->cond.op == JumpOp::kNe && !known->truth);
    if (!known->cond.packet && equals && known->cond.width == Width::k64 && known->cond.a == cond.a &&
        graph_.is_const(known->cond.b) && graph_.is_const(cond.b))
      return evaluate(cond.op, cond.width, graph_.const_of(known->cond.b), graph_.const_of(cond.b));
  }
  // Addresses are never null.
  const Node& a = graph_.node(cond.a);
  const bool address = (a.kind == NodeKind::kAddress && a.space != Space::kPacketBytes) || always_found(cond.a);
  if (address && graph_.is_const(cond.b) && graph_.const_of(cond.b) == 0 &&
      (cond.op == JumpOp::kEq || cond.op == JumpOp::kNe))
    return cond.op == JumpOp::kNe;
  // No value reaches beyond the bits it can have.
  if (cond.width == Width::k64 && graph_.is_const(cond.b) && graph_.used_bits(cond.a) < 63) {
    const uint64_t limit = uint64_t{1} << graph_.used_bits(cond.a), c = graph_.const_of(cond.b);
    if (c >= limit) {
      if (cond.op == JumpOp::kEq) return false;
      if (cond.op == JumpOp::kNe || cond.op == JumpOp::kLt || cond.op == JumpOp::kLe) return true;
      if (cond.op == JumpOp::kGt || cond.op == JumpOp::kGe) return false;
    }
  }
  return std::nullopt;
}

void Lifter::learn(Env& env, const Cond& cond, bool truth) {
  if (!cond.packet) {
    env.known.push_back({cond, truth});
    return;
  }
  if (cond.token != env.packet_token) env.packet_token = cond.token, env.packet_min = 0, env.packet_max = ~0u;
  if (cond.at_least == truth) {
    env.packet_min = std::max(env.packet_min, cond.bytes);
  } else {
    env.packet_max = std::min(env.packet_max, cond.bytes - 1);
  }
}

// Static heuristics, from what network programs test; a profile replaces them.
double Lifter::taken_probability(const Cond& cond, Slot slot, const BasicBlock& bb) const {
  if (slot < options_.profile.size()) {
    const auto [taken, not_taken] = options_.profile[slot];
    if (taken + not_taken > 0) return (double(taken) + 0.01) / (double(taken + not_taken) + 0.02);
  }
  if (cond.packet) return cond.at_least ? 0.99 : 0.01;  // packets are whole
  const bool equality = cond.op == JumpOp::kEq || cond.op == JumpOp::kNe;
  double equal = 0.5;
  bool sure = false;
  if (equality && graph_.is_const(cond.b)) {
    const Node& a = graph_.node(cond.a);
    const uint64_t c = graph_.const_of(cond.b);
    const bool pointer =
        a.kind == NodeKind::kCall || (a.kind == NodeKind::kResult && graph_.effects[a.site].kind == EffectKind::kCall);
    if (pointer && c == 0) {
      // Lookups find; helpers that return an error code succeed.
      const bool is_lookup = a.kind == NodeKind::kCall || graph_.calls[graph_.effects[a.site].call].helper == 1;
      equal = is_lookup ? 0.1 : 0.95;
      sure = true;
    } else if (a.kind == NodeKind::kLoad && a.loc.region == Space::kPacket && a.loc.bytes == 2) {
      equal = c == (a.big ? 0x0800u : 0x0008u) ? 0.9 : 0.1;  // most frames are IPv4
      sure = true;
    } else if (a.kind == NodeKind::kAlu && a.op == AluOp::kAnd && c == 5) {
      equal = 0.95, sure = true;  // a header length without options
    }
  }
  // Otherwise programs go on: towards the longer way.
  const uint32_t next = bb.successors.size() > 0 ? cfg_.blocks[bb.successors[0]].longest : 0;
  const uint32_t taken = bb.successors.size() > 1 ? cfg_.blocks[bb.successors[1]].longest : 0;
  const double towards = next + 8 < taken ? 0.8 : taken + 8 < next ? 0.2 : taken > next ? 0.55 : 0.45;
  if (!sure) return towards;
  return cond.op == JumpOp::kEq ? equal : 1 - equal;
}

base::Result<void> Lifter::finish_jump(Env env, const Jump& jump, Slot slot, const BasicBlock& bb) {
  const Cond cond = make_cond(env, jump);
  const uint32_t taken = cfg_.block_at[jump.target];
  const uint32_t next = bb.successors[0];
  if (taken == next) return arrive(std::move(env), Edge::kGoto, next), base::Result<void>{};
  if (auto truth = decided(env, cond)) {
    arrive(std::move(env), Edge::kGoto, *truth ? taken : next);
    return {};
  }
  Block& block = graph_.blocks[env.block];
  block.end = Block::End::kBranch;
  block.cond = cond;
  const double p = taken_probability(cond, slot, bb);
  Env other = env;
  env.weight *= 1 - p;
  other.weight *= p;
  learn(env, cond, false);
  learn(other, cond, true);
  arrive(std::move(env), Edge::kNext, next);
  arrive(std::move(other), Edge::kTaken, taken);
  return {};
}

// Counts this function's turns down; taken when none is left.
base::Result<void> Lifter::finish_may_goto(Env env, const MayGoto& jump, Slot slot, const BasicBlock& bb) {
  NodeId& left = env.regs[kTurnsLeft];
  const Cond cond{.op = JumpOp::kEq, .a = left, .b = graph_.constant(0)};
  Env none = env;
  left = graph_.alu(AluOp::kAdd, Width::k64, left, graph_.constant(~uint64_t{0}));
  if (auto truth = decided(none, cond)) {
    arrive(*truth ? std::move(none) : std::move(env), Edge::kGoto,
           *truth ? cfg_.block_at[jump.target] : bb.successors[0]);
    return {};
  }
  Block& block = graph_.blocks[env.block];
  block.end = Block::End::kBranch;
  block.cond = cond;
  block.end_slot = slot;
  env.weight *= 0.999;
  none.weight *= 0.001;
  arrive(std::move(env), Edge::kNext, bb.successors[0]);
  arrive(std::move(none), Edge::kTaken, cfg_.block_at[jump.target]);
  return {};
}

base::Result<void> lift(const Program& program, const Facts& facts, const LiftOptions& options, Graph& graph) {
  return Lifter(program, facts, options, graph).run();
}

}  // namespace xnic::compile::opt
