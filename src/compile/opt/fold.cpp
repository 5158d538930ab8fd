// SPDX-License-Identifier: Apache-2.0
// Folding of ALU operations as they are built: constants, identities, chains of constants, pointers plus constants,
// masks that change nothing, and bytes put together with shifts and ors, which become one load of either byte order.
#include "compile/opt/alu.hpp"
#include "compile/opt/ir.hpp"

namespace xnic::compile::opt {

namespace {
uint64_t low_mask(uint8_t bits) { return bits >= 64 ? ~uint64_t{0} : (uint64_t{1} << bits) - 1; }
}  // namespace

// The folded value, or kNone. Pre: op is not kReverseSub.
NodeId Graph::fold_alu(AluOp op, Width width, NodeId a, NodeId b) {
  if (is_const(a) && is_const(b)) return constant(evaluate(op, width, const_of(a), const_of(b)));
  const bool commutes =
      op == AluOp::kAdd || op == AluOp::kMul || op == AluOp::kOr || op == AluOp::kAnd || op == AluOp::kXor;
  if (commutes && is_const(a)) std::swap(a, b);
  const bool wide = width == Width::k64;
  // a op a
  if (a == b && wide && (op == AluOp::kSub || op == AluOp::kXor)) return constant(0);
  if (a == b && wide && (op == AluOp::kAnd || op == AluOp::kOr)) return a;
  if (op == AluOp::kSub) {
    // Differences of addresses in one memory are numbers; data_end - (data + c) is the packet's length less c.
    const Node &x = nodes[a], &y = nodes[b];
    if (wide && x.kind == NodeKind::kAddress && y.kind == NodeKind::kAddress && x.token == y.token && x.map == y.map) {
      if (x.space == y.space) return constant(x.value - y.value);
      if (x.space == Space::kPacketEnd && y.space == Space::kPacket)
        return address(Space::kPacketBytes, int64_t(x.value - y.value), -1, x.token);
    }
    if (is_const(b)) return alu(AluOp::kAdd, width, a, constant(wide ? 0 - const_of(b) : uint32_t(0 - const_of(b))));
  }
  if (op == AluOp::kOr && wide) {
    for (auto [shifted, other] : {std::pair{a, b}, std::pair{b, a}}) {
      const Node& s = nodes[shifted];
      if (s.kind != NodeKind::kAlu || s.op != AluOp::kLsh || !is_const(s.b)) continue;
      if (s.width == Width::k32 && used_bits(s.a) + const_of(s.b) > 32) continue;
      if (NodeId joined = join_loads(other, s.a, unsigned(const_of(s.b))); joined != kNone) return joined;
    }
  }
  if (op == AluOp::kOr && !wide && used_bits(a) <= 32 && used_bits(b) <= 32) return alu(op, Width::k64, a, b);
  if (!is_const(b)) {
    // A shift looks at the low bits of its amount only, so a mask that keeps them (C asks for one) does nothing.
    const Node amount = nodes[b];
    const uint64_t seen = wide ? 63 : 31;
    const bool shift = op == AluOp::kLsh || op == AluOp::kRsh || op == AluOp::kArsh;
    if (shift && amount.kind == NodeKind::kAlu && amount.op == AluOp::kAnd && is_const(amount.b) &&
        (const_of(amount.b) & seen) == seen)
      return alu(op, width, a, amount.a);
    return kNone;
  }

  uint64_t c = const_of(b);
  if (!wide) {
    // Operations whose low half does not depend on upper halves become 64-bit ones where no bit can leave the low half.
    const uint8_t bits = used_bits(a);
    c = uint32_t(c);
    if ((op == AluOp::kAnd || op == AluOp::kOr || op == AluOp::kXor) && bits <= 32)
      return alu(op, Width::k64, a, constant(c));
    if (op == AluOp::kRsh && bits <= 32) return alu(op, Width::k64, a, constant(c & 31));
    if (op == AluOp::kLsh && bits + (c & 31) <= 32) return alu(op, Width::k64, a, constant(c & 31));
    if (op == AluOp::kAnd) return alu(op, Width::k64, a, constant(c));
    if (op == AluOp::kAdd && c != 0 && bits < 32 && c < 0x80000000u) return alu(op, Width::k64, a, constant(c));
    if (c == 0 && (op == AluOp::kAdd || op == AluOp::kXor || op == AluOp::kOr)) return zero_extend(32, a);
    // Shifts and sums that follow each other in 32 bits.
    const Node x = nodes[a];
    if (op == AluOp::kAdd && x.kind == NodeKind::kAlu && x.op == op && x.width == width && is_const(x.b))
      return alu(op, width, x.a, constant(uint32_t(c + const_of(x.b))));
    return kNone;
  }
  const Node x = nodes[a];
  const bool chain = x.kind == NodeKind::kAlu && x.width == Width::k64 && is_const(x.b);
  switch (op) {
    case AluOp::kAdd:
      if (c == 0) return a;
      if (x.kind == NodeKind::kAddress && x.space != Space::kMap)
        return address(x.space, int64_t(x.value + c), x.map, x.token);
      if (chain && x.op == AluOp::kAdd) return alu(op, width, x.a, constant(const_of(x.b) + c));
      break;
    case AluOp::kOr:
      if (c == 0) return a;
      break;
    case AluOp::kXor:
      if (c == 0) return a;
      if (chain && x.op == AluOp::kXor) return alu(op, width, x.a, constant(const_of(x.b) ^ c));
      break;
    case AluOp::kAnd: {
      if (c == 0) return b;
      const uint64_t possible = low_mask(used_bits(a));
      if ((possible & ~c) == 0) return a;  // every bit that may be set stays
      if (chain && x.op == AluOp::kAnd) return alu(op, width, x.a, constant(const_of(x.b) & c));
      // A mask that keeps the low bytes of a load is a shorter load.
      if (merge_loads && x.kind == NodeKind::kLoad && !x.flag && !x.big &&
          (c == 0xff || c == 0xffff || c == 0xffffffff) && last_alias(head, x.loc) == x.token) {
        Loc part = x.loc;
        part.bytes = c == 0xff ? 1 : c == 0xffff ? 2 : 4;
        return load(part, false, false, x.token);
      }
      break;
    }
    case AluOp::kLsh:
      c &= 63;
      if (c == 0) return a;
      if (chain && x.op == op && const_of(x.b) + c < 64) return alu(op, width, x.a, constant(const_of(x.b) + c));
      // lsh 32 of a 32-bit value and back
      break;
    case AluOp::kRsh:
      c &= 63;
      if (c == 0) return a;
      if (used_bits(a) <= c) return constant(0);
      if (chain && x.op == op && const_of(x.b) + c < 64) return alu(op, width, x.a, constant(const_of(x.b) + c));
      if (chain && x.op == AluOp::kLsh && const_of(x.b) == c) return zero_extend(uint8_t(64 - c), x.a);
      break;
    case AluOp::kArsh:
      c &= 63;
      if (c == 0) return a;
      if (chain && x.op == AluOp::kLsh && const_of(x.b) == c && c == 32) return sext(Width::k64, 32, x.a);
      if (used_bits(a) < 64) return alu(AluOp::kRsh, width, a, constant(c));
      break;
    case AluOp::kMul:
      if (c == 0) return b;
      if (c == 1) return a;
      if ((c & (c - 1)) == 0) return alu(AluOp::kLsh, width, a, constant(uint64_t(__builtin_ctzll(c))));
      break;
    case AluOp::kDiv:
      if (c == 1) return a;
      if (c != 0 && (c & (c - 1)) == 0) return alu(AluOp::kRsh, width, a, constant(uint64_t(__builtin_ctzll(c))));
      break;
    case AluOp::kMod:
      if (c != 0 && (c & (c - 1)) == 0) return alu(AluOp::kAnd, width, a, constant(c - 1));
      break;
    default:
      break;
  }
  return kNone;
}

// other | shifted << shift, where both are parts of one wider load: that load; or kNone.
NodeId Graph::join_loads(NodeId other, NodeId shifted, unsigned shift) {
  if (!merge_loads) return kNone;
  const Node x = nodes[other], y = nodes[shifted];
  if (x.kind != NodeKind::kLoad || y.kind != NodeKind::kLoad || x.flag || y.flag || x.token != y.token) return kNone;
  if (x.loc.mode != y.loc.mode || x.loc.base != y.loc.base || x.loc.map != y.loc.map) return kNone;
  if (shift != x.loc.bytes * 8) return kNone;
  const uint32_t bytes = x.loc.bytes + y.loc.bytes;
  if (bytes != 2 && bytes != 4 && bytes != 6 && bytes != 8) return kNone;
  const bool x_little = !x.big, y_little = !y.big;  // one byte is both
  const bool x_big = x.big || x.loc.bytes == 1, y_big = y.big || y.loc.bytes == 1;
  Loc loc = x.loc;
  loc.bytes = bytes;
  bool big = false;
  if (x_little && y_little && y.loc.off == x.loc.off + int64_t(x.loc.bytes)) {
    big = false;
  } else if (x_big && y_big && x.loc.off == y.loc.off + int64_t(y.loc.bytes)) {
    big = true;
    loc.off = y.loc.off;
  } else {
    return kNone;
  }
  if (last_alias(head, loc) != x.token) return kNone;
  return load(loc, false, big, x.token);
}

}  // namespace xnic::compile::opt
