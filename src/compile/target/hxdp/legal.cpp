// SPDX-License-Identifier: Apache-2.0
// One function a form. Immediate fields hold 32 bits, sign-extended where the operation is 64 bits wide; what does not
// fit becomes a register operand.
#include "compile/target/hxdp/legal.hpp"

#include <algorithm>

#include "base/check.hpp"

namespace xnic::compile::target::hxdp {

using namespace arch::hxdp;
using opt::CallArg;
using opt::Cond;
using opt::Effect;
using opt::EffectKind;
using opt::kNone;
using opt::Loc;
using opt::Node;
using opt::NodeKind;

namespace {

bool fits(uint64_t value) { return value == uint64_t(int64_t(int32_t(value))); }
constexpr uint64_t kLow32 = 0xffffffff;

// The constant operand b of an ALU operation can stand in the immediate field.
bool immediate_b(const Graph& g, const Node& n) {
  if (!g.is_const(n.b)) return false;
  const uint64_t c = g.const_of(n.b);
  if (n.width == Width::k32 || fits(c)) return true;
  return n.op == AluOp::kAnd && c <= kLow32;  // done in 32 bits
}
// The constant left operand of a subtraction (as kReverseSub).
bool immediate_a(const Graph& g, const Node& n) {
  return n.op == AluOp::kSub && g.is_const(n.a) && !g.is_const(n.b) && (n.width == Width::k32 || fits(g.const_of(n.a)));
}
bool immediate_store(const Graph& g, const Effect& e) {
  if (e.loc.mode == Space::kMapValue || e.big || !g.is_const(e.value)) return false;
  return e.loc.bytes <= 4 || fits(g.const_of(e.value));
}
bool immediate_cond(const Graph& g, const Cond& c) {
  return g.is_const(c.b) && (c.width == Width::k32 || fits(g.const_of(c.b)));
}
bool one_move(uint64_t value) { return fits(value) || value <= kLow32; }

// Whether an argument goes into the call table as it is.
bool table_argument(const Graph& g, const CallArg& arg) {
  const Node& n = g.node(arg.node);
  if (n.kind == NodeKind::kConst) return true;
  if (n.kind != NodeKind::kAddress || arg.bytes) return false;
  switch (n.space) {
    case Space::kStack:
      return n.value <= kStackBytes;
    case Space::kPacket:
    case Space::kContext:
    case Space::kMap:
    case Space::kMapValue:
      return true;
    default:
      return false;
  }
}

Memory memory(const Loc& loc, const RegisterOf& reg) {
  Memory m{loc.mode, 0, 0, uint8_t(loc.bytes), int16_t(uint16_t(loc.off))};
  if (loc.mode == Space::kRegister) m.base = reg(loc.base);
  if (loc.mode == Space::kMapValue) m.map = MapIndex(loc.map);
  return m;
}

}  // namespace

void prepare_constants(Graph& graph) {
  const size_t count = graph.nodes.size();
  for (NodeId id = 0; id < count; id++) {
    if (graph.is_const(id) && !one_move(graph.const_of(id))) {
      const NodeId low = graph.constant(graph.const_of(id) & kLow32);
      graph.nodes[id].a = low;
    }
  }
}

void required(const Graph& g, NodeId id, std::vector<NodeId>& out) {
  const Node& n = g.node(id);
  switch (n.kind) {
    case NodeKind::kConst:
      if (!one_move(n.value)) out.push_back(n.a);
      break;
    case NodeKind::kAlu:
      if (!immediate_a(g, n)) out.push_back(n.a);
      if (!immediate_b(g, n)) out.push_back(n.b);
      break;
    case NodeKind::kFold:
      out.push_back(n.a);
      if (!g.is_const(n.b)) out.push_back(n.b);
      break;
    case NodeKind::kSext:
    case NodeKind::kSwap:
      out.push_back(n.a);
      break;
    case NodeKind::kLoad:
      if (n.loc.mode == Space::kRegister) out.push_back(n.loc.base);
      break;
    case NodeKind::kCall:
      for (const CallArg& arg : g.calls[n.site].args) {
        if (arg.node != kNone && !table_argument(g, arg)) out.push_back(arg.node);
      }
      break;
    default:
      break;
  }
}

void required(const Graph& g, const Effect& e, std::vector<NodeId>& out) {
  switch (e.kind) {
    case EffectKind::kStore:
    case EffectKind::kAdd:
      if (e.loc.mode == Space::kRegister) out.push_back(e.loc.base);
      if (!immediate_store(g, e)) out.push_back(e.value);
      break;
    case EffectKind::kAtomic:
      out.push_back(e.value);
      if (e.loc.mode == Space::kRegister) out.push_back(e.loc.base);
      if (e.expected != kNone) out.push_back(e.expected);
      break;
    case EffectKind::kCall:
      for (const CallArg& arg : g.calls[e.call].args) {
        if (arg.node != kNone && !table_argument(g, arg)) out.push_back(arg.node);
      }
      break;
    default:
      break;
  }
}

void required(const Graph& g, const Cond& c, std::vector<NodeId>& out) {
  if (c.packet) return;
  out.push_back(c.a);
  if (!immediate_cond(g, c)) out.push_back(c.b);
}

namespace {

Op lower_const(uint64_t value, NodeId low, Reg dst, const RegisterOf& reg) {
  if (fits(value)) return Move{Width::k64, dst, Imm(value)};
  if (value <= kLow32) return Move{Width::k32, dst, Imm(uint32_t(value))};
  return MoveHigh{dst, reg(low), Imm(value >> 32)};
}

Op lower_alu(const Graph& g, const Node& n, Reg dst, const RegisterOf& reg) {
  if (immediate_a(g, n)) return Alu{AluOp::kReverseSub, n.width, dst, reg(n.b), Imm(g.const_of(n.a))};
  if (!immediate_b(g, n)) return Alu{n.op, n.width, dst, reg(n.a), reg(n.b)};
  const uint64_t c = g.const_of(n.b);
  if (n.op == AluOp::kAnd && c == kLow32) return Move{Width::k32, dst, reg(n.a)};
  if (n.width == Width::k64 && !fits(c)) return Alu{n.op, Width::k32, dst, reg(n.a), Imm(uint32_t(c))};
  return Alu{n.op, n.width, dst, reg(n.a), Imm(uint32_t(c))};
}

}  // namespace

Op lower(const Graph& g, NodeId id, Reg dst, bool speculative, const RegisterOf& reg, std::vector<CallSite>& sites) {
  const Node& n = g.node(id);
  switch (n.kind) {
    case NodeKind::kConst:
      return lower_const(n.value, n.a, dst, reg);
    case NodeKind::kAddress:
      return Address{n.space, dst, n.map >= 0 ? MapIndex(n.map) : 0, Imm(n.value)};
    case NodeKind::kAlu:
      return lower_alu(g, n, dst, reg);
    case NodeKind::kSext:
      return SignExtend{n.width, n.bits, dst, reg(n.a)};
    case NodeKind::kSwap:
      return Swap{n.bits, dst, reg(n.a)};
    case NodeKind::kFold:
      if (g.is_const(n.b)) return FoldSum{n.flag, dst, reg(n.a), Imm(uint32_t(g.const_of(n.b)))};
      return FoldSum{n.flag, dst, reg(n.a), reg(n.b)};
    case NodeKind::kLoad:
      return Load{dst, memory(n.loc, reg), n.flag, n.big, speculative};
    case NodeKind::kCall:
      return Call{call_site(g, g.calls[n.site], reg, sites), true, dst};
    default:
      CHECK(false);
      return Nop{};
  }
}

Op lower(const Graph& g, const Effect& e, int dst, const RegisterOf& reg, std::vector<CallSite>& sites) {
  switch (e.kind) {
    case EffectKind::kStore:
      if (immediate_store(g, e)) return Store{memory(e.loc, reg), Imm(uint32_t(g.const_of(e.value))), false};
      return Store{memory(e.loc, reg), reg(e.value), e.big};
    case EffectKind::kAdd:
      if (immediate_store(g, e)) return AddMemory{memory(e.loc, reg), Imm(uint32_t(g.const_of(e.value)))};
      return AddMemory{memory(e.loc, reg), reg(e.value)};
    case EffectKind::kAtomic:
      return Atomic{e.op,
                    e.fetch,
                    memory(e.loc, reg),
                    reg(e.value),
                    dst < 0 ? Reg(0) : Reg(dst),
                    e.expected == kNone ? Reg(0) : reg(e.expected)};
    case EffectKind::kCall:
      return Call{call_site(g, g.calls[e.call], reg, sites), dst >= 0, dst < 0 ? Reg(0) : Reg(dst)};
    default:
      CHECK(false);
      return Nop{};
  }
}

Op lower(const Graph& g, const Cond& c, const RegisterOf& reg) {
  if (c.packet) return BranchPacket{c.at_least, c.bytes, 0};
  if (immediate_cond(g, c)) return Branch{c.op, c.width, reg(c.a), Imm(uint32_t(g.const_of(c.b))), 0};
  return Branch{c.op, c.width, reg(c.a), reg(c.b), 0};
}

uint16_t call_site(const Graph& g, const opt::CallInfo& call, const RegisterOf& reg, std::vector<CallSite>& sites) {
  CallSite site{.helper = call.helper};
  using Kind = Argument::Kind;
  for (size_t i = 0; i < 5; i++) {
    const CallArg& arg = call.args[i];
    if (arg.node == kNone) continue;
    const Node& n = g.node(arg.node);
    Argument& out = site.args[i];
    if (!table_argument(g, arg)) {
      out = {arg.bytes ? Kind::kRegisterBytes : Kind::kRegister, reg(arg.node), 0, 0};
    } else if (n.kind == NodeKind::kConst) {
      out = {arg.bytes ? Kind::kConstantBytes : Kind::kConstant, 0, 0, int64_t(n.value)};
    } else {
      const Kind kind = n.space == Space::kStack     ? Kind::kStack
                        : n.space == Space::kPacket  ? Kind::kPacket
                        : n.space == Space::kContext ? Kind::kContext
                        : n.space == Space::kMap     ? Kind::kMap
                                                     : Kind::kMapValue;
      out = {kind, 0, n.map >= 0 ? MapIndex(n.map) : 0, int64_t(n.value)};
    }
  }
  if (auto same = std::find(sites.begin(), sites.end(), site); same != sites.end())
    return uint16_t(same - sites.begin());
  sites.push_back(site);
  return uint16_t(sites.size() - 1);
}

std::vector<Loc> reads(const Graph& g, NodeId id) {
  const Node& n = g.node(id);
  if (n.kind == NodeKind::kLoad) return {n.loc};
  if (n.kind == NodeKind::kCall) return g.calls[n.site].reads;
  if (n.kind == NodeKind::kAddress && (n.space == Space::kPacket || n.space == Space::kPacketEnd ||
                                       n.space == Space::kPacketMeta || n.space == Space::kPacketBytes))
    return {Loc{.region = Space::kPacketEnd}};
  return {};
}

}  // namespace xnic::compile::target::hxdp
