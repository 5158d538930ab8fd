// SPDX-License-Identifier: Apache-2.0
// The compilers' intermediate form: a tree-like graph of blocks, effects pinned to blocks in order, and pure values
// that float.
//
// A value (Node) has no place: it is computed wherever something needs it. What ties it down are its operands and, if
// it reads memory, its token: the last effect before it that may have written what it reads. It must be computed after
// the token and before the next effect that may write there; nodes with equal operands and token are one node.
// Effects (stores, calls with effects) stand in their block in program order, each linked to the effect before it on
// its path. A block has one predecessor, or it is a merge: then its values that differ between predecessors are phis.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <tuple>
#include <unordered_map>
#include <vector>

#include "arch/ebpf/program.hpp"
#include "arch/hxdp/instruction.hpp"

namespace xnic::compile::opt {

using arch::ebpf::JumpOp;
using arch::ebpf::MapIndex;
using arch::ebpf::Slot;
using arch::ebpf::Width;
using arch::hxdp::AluOp;
using arch::hxdp::Space;

using NodeId = uint32_t;
using EffectId = uint32_t;
using BlockId = uint32_t;
inline constexpr uint32_t kNone = ~uint32_t{0};
inline constexpr uint8_t kPacketBytesBits = 16;  // the packet selector's length register

// Some bytes of some memory. `mode` says how they are addressed (kRegister: base node + off), `region` which memory it
// is: kPacket, kStack, kContext, kMapValue; kRegister: unknown. Pseudo-memories: kMap (which keys a map holds),
// kPacketEnd (the packet's bounds).
struct Loc {
  Space mode = Space::kRegister;
  Space region = Space::kRegister;
  NodeId base = kNone;
  int64_t map = -1;  // kMapValue, kMap; -1: any
  int64_t off = 0;
  uint32_t bytes = 0;  // 0: any extent
  bool operator==(const Loc&) const = default;
};
// False only if no execution makes the two overlap.
bool may_alias(const Loc& a, const Loc& b);

enum class NodeKind : uint8_t {
  kConst,
  kAddress,  // space base + value
  kAlu,      // a op b
  kSext,     // low `bits` of a
  kSwap,     // byte order of low `bits` of a
  kFold,     // one's complement sum of a + b, `flag`: inverted
  kLoad,
  kCall,    // a call without effects
  kResult,  // of an effect (index `site`)
  kPhi,     // of a merge block
};

struct Node {
  NodeKind kind = NodeKind::kConst;
  AluOp op = AluOp::kAdd;
  Width width = Width::k64;
  uint8_t bits = 0;
  bool flag = false;  // kFold: inverted; kLoad: sign-extended; kSext: unused
  bool big = false;   // kLoad: big-endian
  Space space = Space::kRegister;
  NodeId a = kNone;
  NodeId b = kNone;
  uint64_t value = 0;  // kConst; kAddress: offset
  int64_t map = -1;    // kAddress of a map or its value; kResult, kCall, kPhi: the map it points into
  Loc loc{};           // kLoad
  EffectId token = 0;
  EffectId token2 = 0;  // kCall: of the map
  uint32_t site = 0;    // kCall: index of Call; kResult: effect
  BlockId block = 0;    // where it was first needed
  // Found once when the node is made, from its operands (kAlu).
  uint8_t found_bits = 64;
  Space found_space = Space::kRegister;
  int64_t found_map = -1;
  Slot slot = 0;
};

// One argument: the value of node, or with `bytes` the address of its bytes.
struct CallArg {
  NodeId node = kNone;  // kNone: not used
  bool bytes = false;
  bool operator==(const CallArg&) const = default;
};
struct CallInfo {
  uint32_t helper = 0;
  std::array<CallArg, 5> args{};
  std::vector<Loc> reads{};
  std::vector<Loc> writes{};
  bool reads_all = false;
  bool pure = false;
  bool void_result = false;
};

enum class EffectKind : uint8_t { kEntry, kMerge, kStore, kAdd, kAtomic, kCall };
struct Effect {
  EffectKind kind = EffectKind::kEntry;
  EffectId prev = 0;
  BlockId block = 0;
  Slot slot = 0;
  Loc loc{};             // kStore, kAdd, kAtomic
  NodeId value = kNone;  // stored, added; kAtomic: src
  NodeId expected = kNone;
  arch::ebpf::AtomicOp op{};
  bool fetch = false;
  bool big = false;
  bool dead = false;  // removed by a pass
  uint32_t call = 0;  // index of CallInfo
  NodeId result = kNone;
};

// A branch condition: a op b, or (packet) "the packet holds fewer than `bytes` bytes" of packet version `token`.
struct Cond {
  bool packet = false;
  JumpOp op = JumpOp::kEq;
  Width width = Width::k64;
  NodeId a = kNone;
  NodeId b = kNone;
  uint32_t bytes = 0;
  EffectId token = 0;
  bool at_least = false;  // packet: negated
  bool operator==(const Cond&) const = default;
};
Cond negate(const Cond& cond);  // pre: op is not kSet

struct Block {
  enum class End : uint8_t { kOpen, kBranch, kGoto, kExit };
  BlockId idom = kNone;
  bool merge = false;
  bool loop_header = false;
  double weight = 1;
  std::vector<EffectId> effects;  // kMerge and kEntry are not listed
  std::vector<NodeId> phis;       // merge
  End end = End::kOpen;
  Cond cond;                 // kBranch
  BlockId taken = kNone;     // kBranch
  BlockId next = kNone;      // kBranch: not taken; kGoto
  std::vector<NodeId> args;  // kGoto: for the target's phis, in order
  NodeId verdict = kNone;    // kExit
  Slot end_slot = 0;
  uint32_t depth = 0;  // in the dominator tree
};

class Graph {
 public:
  explicit Graph(const arch::ebpf::Program& program);

  const arch::ebpf::Program& program() const { return program_; }
  std::vector<Node> nodes;
  std::vector<Effect> effects;  // 0 is kEntry
  std::vector<Block> blocks;    // 0 is the entry
  std::vector<CallInfo> calls;
  bool fold = true;         // switch: constant and copy folding, identities
  bool merge_loads = true;  // switch: bytes of one load, byte order
  uint32_t stack_used = 0;  // bytes from the top, all inlined frames
  BlockId at_block = 0;     // stamped on new nodes
  Slot at_slot = 0;

  const Node& node(NodeId id) const { return nodes[id]; }
  bool is_const(NodeId id) const { return nodes[id].kind == NodeKind::kConst; }
  uint64_t const_of(NodeId id) const { return nodes[id].value; }

  // Constructors fold as they build; each returns an existing node where there is an equal one.
  NodeId constant(uint64_t value);
  NodeId address(Space space, int64_t offset, int64_t map = -1, EffectId token = 0);
  NodeId alu(AluOp op, Width width, NodeId a, NodeId b);
  NodeId sext(Width width, uint8_t bits, NodeId a);
  NodeId swap(uint8_t bits, NodeId a);
  NodeId zero_extend(uint8_t bits, NodeId a);
  NodeId fold_sum(bool invert, NodeId a, NodeId b);
  NodeId load(const Loc& loc, bool sign, bool big, EffectId token);
  NodeId pure_call(uint32_t call, EffectId memory, EffectId map);
  NodeId result(EffectId effect, int64_t map);
  NodeId phi(BlockId block);

  // Splits a pointer into a memory operand: direct where the space is known, else base + offset.
  Loc locate(NodeId pointer, int64_t offset, uint32_t bytes) const;
  // Which memory a pointer leads to; kRegister if unknown. `map` is set for map values.
  Space provenance(NodeId pointer, int64_t& map) const;
  // Upper bound of the bits that may be set (64: nothing known).
  uint8_t used_bits(NodeId id) const;
  // Last effect at or before `head` that may write `loc`.
  EffectId last_alias(EffectId head, const Loc& loc) const;
  bool writes(const Effect& effect, const Loc& loc) const;
  // True if `a` dominates `b` or is it.
  bool dominates(BlockId a, BlockId b) const;

 private:
  NodeId intern(Node node);
  uint8_t find_bits(const Node& node) const;
  NodeId fold_alu(AluOp op, Width width, NodeId a, NodeId b);
  NodeId join_loads(NodeId low, NodeId high, unsigned shift);
  const arch::ebpf::Program& program_;
  std::unordered_multimap<uint64_t, NodeId> index_;

 public:
  EffectId head = 0;  // where the builder stands; join_loads asks whether memory is still what it was
};

// The values that a node needs computed (not constants that fit a field: targets decide). Up to 7.
void for_each_operand(const Graph& graph, NodeId id, const auto& visit) {
  const Node& n = graph.nodes[id];
  switch (n.kind) {
    case NodeKind::kAlu:
    case NodeKind::kFold:
      visit(n.a), visit(n.b);
      break;
    case NodeKind::kSext:
    case NodeKind::kSwap:
      visit(n.a);
      break;
    case NodeKind::kLoad:
      if (n.loc.base != kNone) visit(n.loc.base);
      break;
    case NodeKind::kCall:
      for (const CallArg& arg : graph.calls[n.site].args) {
        if (arg.node != kNone) visit(arg.node);
      }
      break;
    default:
      break;
  }
}

// The graph as a program: blocks that the entry reaches, each with its effects in order and its end, values written out
// where they are used. For tests and for people.
std::string to_text(const Graph& graph);
std::string to_text(const Graph& graph, NodeId value);

}  // namespace xnic::compile::opt
