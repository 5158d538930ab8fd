// SPDX-License-Identifier: Apache-2.0
// The conditions of jumps: comparisons in the width that needs the fewest operations before them, and comparisons of
// the packet's length, which need none.
#include "arch/ebpf/jump.hpp"
#include "compile/opt/lifter.hpp"

namespace xnic::compile::opt {

using namespace arch::ebpf;
using arch::ebpf::Width;

namespace {

bool is_signed(JumpOp op) {
  return op == JumpOp::kSgt || op == JumpOp::kSge || op == JumpOp::kSlt || op == JumpOp::kSle;
}

// A value whose low 32 bits, sign-extended, are `id`; kNone if none is known.
NodeId low_half(const Graph& g, NodeId id) {
  const Node& n = g.node(id);
  if (n.kind == NodeKind::kSext && n.width == Width::k64 && n.bits == 32) return n.a;
  if (g.is_const(id)) return g.const_of(id) == uint64_t(int64_t(int32_t(g.const_of(id)))) ? id : kNone;
  return g.used_bits(id) < 32 ? id : kNone;
}

// Values extended from 32 bits compare as those 32 bits do, signed or not; and values with few bits in either width,
// where 64 bits are the form that more is known about.
void choose_width(const Graph& g, Cond& cond) {
  const uint8_t a = g.used_bits(cond.a), b = g.used_bits(cond.b);
  if (cond.width == Width::k32) {
    const uint8_t limit = is_signed(cond.op) ? 31 : 32;
    if (a <= limit && b <= limit) cond.width = Width::k64;
    return;
  }
  const bool extended = g.node(cond.a).kind == NodeKind::kSext || g.node(cond.b).kind == NodeKind::kSext;
  const NodeId x = low_half(g, cond.a), y = low_half(g, cond.b);
  if (!extended || x == kNone || y == kNone) return;
  cond.a = x, cond.b = y;
  cond.width = Width::k32;
}

// "length op bytes" as a condition on the packet, if it is one. Pre: 64 bits wide.
std::optional<Cond> packet_cond(JumpOp op, int64_t bytes, EffectId token) {
  const bool at_least = op == JumpOp::kGe || op == JumpOp::kGt || op == JumpOp::kSge || op == JumpOp::kSgt;
  const bool less = op == JumpOp::kLt || op == JumpOp::kLe || op == JumpOp::kSlt || op == JumpOp::kSle;
  if (!at_least && !less) return std::nullopt;
  const bool plus_one = op == JumpOp::kGt || op == JumpOp::kSgt || op == JumpOp::kLe || op == JumpOp::kSle;
  if (bytes < 0 || bytes > 0xffff) return std::nullopt;
  return Cond{.packet = true, .bytes = uint32_t(bytes) + (plus_one ? 1 : 0), .token = token, .at_least = at_least};
}

}  // namespace

// data + c > data_end is "fewer than c bytes", and so is data_end - data < c.
Cond Lifter::make_cond(Env& env, const Jump& jump) {
  Cond cond{.op = jump.op, .width = jump.width, .a = reg(env, jump.dst), .b = operand(env, jump.src, jump.width)};
  if (cond.op == JumpOp::kSet) {  // no form has its negation: compare the masked value with zero
    cond.a = graph_.alu(AluOp::kAnd, cond.width, cond.a, cond.b);
    cond.b = graph_.constant(0);
    cond.op = JumpOp::kNe;
  }
  if (!options_.fold) return cond;
  choose_width(graph_, cond);
  if (graph_.is_const(cond.a) && !graph_.is_const(cond.b)) std::swap(cond.a, cond.b), cond.op = mirrored(cond.op);
  const Node *x = &graph_.node(cond.a), *y = &graph_.node(cond.b);
  JumpOp op = cond.op;
  if (x->kind != NodeKind::kAddress || cond.width != Width::k64) return cond;
  if (x->space == Space::kPacketBytes && x->value == 0 && y->kind == NodeKind::kConst)
    return packet_cond(op, int64_t(y->value), x->token).value_or(cond);
  if (y->kind != NodeKind::kAddress || x->token != y->token || is_signed(op)) return cond;
  if (x->space == Space::kPacketEnd && y->space == Space::kPacket) std::swap(x, y), op = mirrored(op);
  if (x->space != Space::kPacket || y->space != Space::kPacketEnd) return cond;
  // data + bytes op data_end
  return packet_cond(mirrored(op), int64_t(x->value) - int64_t(y->value), x->token).value_or(cond);
}

}  // namespace xnic::compile::opt
