// SPDX-License-Identifier: Apache-2.0
// Conditional jumps: which ways are possible, and what each way teaches: ranges of scalars (and of their linked
// copies), packet bounds, pointers that are or are not null. Follows kernel check_cond_jmp_op.
#include <fmt/core.h>

#include <cerrno>
#include <utility>

#include "arch/ebpf/jump.hpp"
#include "compile/verify/walk.hpp"

namespace xnic::compile::verify {

using enum Rejection::Kind;

namespace {

bool is_packet(const Register& reg) { return reg.kind == Kind::kPacket || reg.kind == Kind::kPacketMeta; }

// data itself: the end of the metadata area.
bool is_packet_start(const Register& reg) {
  return reg.kind == Kind::kPacket && reg.offset == 0 && reg.var.is_constant() && reg.var.umin == 0 && reg.id == 0;
}

// A pointer that cannot be zero and that programs may compare with it.
bool never_null(const Register& reg) {
  if (reg.maybe_null) return false;
  return reg.kind == Kind::kMapValue || reg.kind == Kind::kMapKey || reg.kind == Kind::kMemory ||
         reg.kind == Kind::kMap || reg.kind == Kind::kSocket;
}

// packet op data_end where the pointer is already proved to be at or beyond the end.
std::optional<bool> packet_outcome(JumpOp op, const Register& dst, const Register& src) {
  const Register* packet = &dst;
  if (dst.kind == Kind::kPacketEnd) {
    packet = &src;
    op = mirrored(op);
  } else if (src.kind != Kind::kPacketEnd) {
    return std::nullopt;
  }
  if (packet->kind != Kind::kPacket || packet->past_end == 0) return std::nullopt;
  if (packet->past_end == 2 && (op == JumpOp::kGt || op == JumpOp::kLe)) return op == JumpOp::kGt;
  if (op == JumpOp::kGe || op == JumpOp::kLt) return op == JumpOp::kGe;
  return std::nullopt;
}

// A register compared with itself.
std::optional<bool> same_register_outcome(JumpOp op, const Range& range) {
  switch (op) {
    case JumpOp::kEq:
    case JumpOp::kGe:
    case JumpOp::kLe:
    case JumpOp::kSge:
    case JumpOp::kSle:
      return true;
    case JumpOp::kNe:
    case JumpOp::kGt:
    case JumpOp::kLt:
    case JumpOp::kSgt:
    case JumpOp::kSlt:
      return false;
    case JumpOp::kSet:
      return range.umin > 0 ? std::optional(true) : std::nullopt;
  }
  return std::nullopt;
}

}  // namespace

std::optional<bool> Walk::predict(const Jump& insn, const Register& dst, const Register& src) const {
  if (const Reg* other = std::get_if<Reg>(&insn.src); other && *other == insn.dst && dst.is_scalar()) {
    const bool whole = insn.op != JumpOp::kSet || insn.width == Width::k64;
    if (auto known = same_register_outcome(insn.op, dst.var); known && whole) return known;
  }
  if (dst.is_scalar() && src.is_scalar()) return outcome(insn.op, insn.width, dst.var, src.var);
  if (insn.width == Width::k32) return std::nullopt;
  if (dst.is_pointer() && src.is_pointer()) return packet_outcome(insn.op, dst, src);
  const Register& pointer = dst.is_pointer() ? dst : src;
  const Register& number = dst.is_pointer() ? src : dst;
  if (!number.is_null() || !never_null(pointer)) return std::nullopt;
  if (insn.op == JumpOp::kEq) return false;
  if (insn.op == JumpOp::kNe) return true;
  return std::nullopt;
}

// Notes in the data flow that all copies of `known` constrain each other here.
void Walk::log_links(const Register& known) {
  if (!known.is_scalar() || known.id == 0) return;
  std::vector<Location> group;
  for (int f = 0; f < static_cast<int>(state_.frames.size()); ++f) {
    const Frame& frame = state_.frames[static_cast<size_t>(f)];
    for (int r = 0; r < kRegCount; ++r) {
      const Register& other = frame.regs[static_cast<size_t>(r)];
      if (other.is_scalar() && other.id == known.id) group.push_back(Location::reg(f, r));
    }
    for (int s = 0; s < static_cast<int>(frame.stack.size()); ++s) {
      const StackSlot& slot = frame.stack[static_cast<size_t>(s)];
      if (slot.is_spill() && slot.reg.is_scalar() && slot.reg.id == known.id) group.push_back(Location::slot(f, s));
    }
  }
  if (group.size() < 2) return;
  // Logged in both directions, so that one backward pass reaches every member from any other.
  for (size_t i = 1; i < group.size(); ++i) link(group[0], group[i]);
  for (size_t i = group.size() - 1; i-- > 1;) link(group[0], group[i]);
  uint16_t regs = 0;
  bool stack = false;
  for (Location at : group) {
    if (at.index() >= 16 || at.frame() != state_.depth_index())
      stack = true;
    else
      regs |= static_cast<uint16_t>(1u << at.index());
  }
  facts.linked(slot_, regs, stack);
}

// Copies of `known` have the same value, up to a constant.
void Walk::sync_links(State& state, const Register& known_now) {
  if (!known_now.is_scalar() || known_now.id == 0) return;
  const Register known = known_now;
  for_each_register(state, [&](Register& other) {
    if (!other.is_scalar() || other.id != known.id) return;
    if (!known.has_addend && !other.has_addend) {
      other.var = known.var;
      return;
    }
    const int64_t delta = int64_t{other.has_addend ? other.offset : 0} - int64_t{known.has_addend ? known.offset : 0};
    other.var = apply(BinaryOp::kAdd, Width::k64, known.var, Range::constant(static_cast<uint64_t>(delta)));
  });
}

// Pointers with the same base as `pointer` may read up to it: it was compared with the end.
void Walk::prove_packet(State& state, const Register& pointer, bool open) {
  if (pointer.offset < 0 || (pointer.offset == 0 && open)) return;
  const uint64_t furthest = pointer.var.umax;
  if (furthest > kMaxPacketOffset || furthest + static_cast<uint64_t>(pointer.offset) > kMaxPacketOffset) return;
  const uint32_t bytes = static_cast<uint32_t>(pointer.offset) + (open ? 1 : 0);
  for_each_register(state, [&](Register& other) {
    if (other.kind != pointer.kind || other.id != pointer.id || other.maybe_null) return;
    other.packet_range = std::max(other.packet_range, bytes);
    other.past_end = 0;
  });
  if (pointer.id == 0 && pointer.kind == Kind::kPacket) state.packet_bytes = std::max(state.packet_bytes, bytes);
  if (pointer.id == 0 && pointer.kind == Kind::kPacketMeta)
    state.packet_meta_bytes = std::max(state.packet_meta_bytes, bytes);
}

// packet < end and its seven other spellings. On one side the packet is longer than the pointer says, on the other the
// pointer is known to lie at or beyond the end.
void Walk::learn_packet_bounds(const Jump& insn, const Register& dst, const Register& src, State& taken) {
  if (insn.width == Width::k32 || !std::holds_alternative<Reg>(insn.src)) return;
  auto pair = [](const Register& packet, const Register& end) {
    return (packet.kind == Kind::kPacket && end.kind == Kind::kPacketEnd) ||
           (packet.kind == Kind::kPacketMeta && is_packet_start(end));
  };
  JumpOp op = insn.op;
  const bool straight = pair(dst, src);
  if (!straight && !pair(src, dst)) return;
  if (!straight) op = mirrored(op);
  const Register packet = straight ? dst : src;
  const int packet_reg = index(straight ? insn.dst : std::get<Reg>(insn.src));
  // packet <= end holds in `inside`; its negation, or a weaker bound, in `beyond`.
  const bool taken_is_inside = op == JumpOp::kLt || op == JumpOp::kLe;
  if (op != JumpOp::kLt && op != JumpOp::kLe && op != JumpOp::kGt && op != JumpOp::kGe) return;
  State& inside = taken_is_inside ? taken : state_;
  State& beyond = taken_is_inside ? state_ : taken;
  const bool open = op == JumpOp::kLt || op == JumpOp::kGe;  // strictly inside: one more byte is readable
  prove_packet(inside, packet, open);
  Register& past = beyond.top().regs[static_cast<size_t>(packet_reg)];
  if (past.kind == Kind::kPacket) {
    past.packet_range = 0;
    past.past_end = open ? 1 : 2;
  }
}

namespace {

// What a look-up's result is once it is known not to be null: a value of a map of maps is a map, one of an xskmap is a
// socket (struct bpf_xdp_sock: the queue id).
void become_pointer(Register& reg) {
  reg.maybe_null = false;
  if (reg.kind != Kind::kMapValue) return;
  if (reg.spec->inner) {
    reg.kind = Kind::kMap;
    reg.lookup = reg.id;
    reg.spec = reg.spec->inner.get();
  } else if (reg.spec->type == kMapXskmap) {
    reg.kind = Kind::kSocket;
    reg.mem_size = 4;
  }
}

}  // namespace

// `pointer` was compared with null: every register with the same identity is now either a pointer or zero.
void Walk::resolve_null(State& state, const Register& tested, bool is_null) {
  const Register pointer = tested;
  if (is_null && pointer.ref != 0)
    std::erase_if(state.refs, [&](const Reference& ref) { return ref.id == pointer.ref; });
  for_each_register(state, [&](Register& other) {
    if (!other.maybe_null || other.id != pointer.id || other.kind != pointer.kind) return;
    if (is_null) {
      other = Register::constant(0);
      return;
    }
    become_pointer(other);
    const bool keeps_identity = other.kind == Kind::kMapValue && other.spec->spin_lock_offset >= 0;
    if (!keeps_identity && other.ref == 0) other.id = 0;
  });
}

bool Walk::execute(const Jump& insn) {
  ++jumps_;
  const int d = index(insn.dst);
  const Reg* src_reg = std::get_if<Reg>(&insn.src);
  const int s = src_reg ? index(*src_reg) : -1;
  if (!read_ok(d) || (src_reg && !read_ok(s))) return false;
  const Register fixed =
      Register::constant(src_reg ? 0
                                 : (insn.width == Width::k64 ? static_cast<uint64_t>(int64_t{std::get<Imm>(insn.src)})
                                                             : static_cast<uint32_t>(std::get<Imm>(insn.src))));
  const Register dst = reg(d);
  const Register src = src_reg ? reg(s) : fixed;

  if (std::optional<bool> known = predict(insn, dst, src)) {
    // What decided must be the same whenever a later path is pruned by this one.
    mark_precise(d);
    if (src_reg) mark_precise(s);
    if (*known) next_ = insn.target;
    return true;
  }
  log_links(dst);
  if (src_reg) {
    log_links(src);
    if (dst.is_scalar() && src.is_scalar() && d != s) {
      link(here(d), here(s));
      log_links(dst);
      facts.linked(slot_, static_cast<uint16_t>((1u << d) | (1u << s)), false);
    }
  }
  State& taken = push_branch(insn.target);
  if (!rejection.reason.empty()) return false;

  if (dst.is_scalar() && src.is_scalar()) {
    for (bool way : {false, true}) {
      State& state = way ? taken : state_;
      Range left = dst.var, right = src.var;
      if (d == s || !refine(insn.op, insn.width, left, right, way)) continue;
      Register& now_dst = state.top().regs[static_cast<size_t>(d)];
      now_dst.var = left;
      if (src_reg) {
        Register& now_src = state.top().regs[static_cast<size_t>(s)];
        now_src.var = right;
        sync_links(state, now_src);
      }
      sync_links(state, state.top().regs[static_cast<size_t>(d)]);
    }
    return true;
  }
  if (insn.width == Width::k32) return true;
  const bool equality = insn.op == JumpOp::kEq || insn.op == JumpOp::kNe;
  if (dst.is_pointer() && src.is_null() && dst.maybe_null && equality) {
    resolve_null(state_, dst, insn.op == JumpOp::kNe);
    resolve_null(taken, dst, insn.op == JumpOp::kEq);
  } else if (dst.is_pointer() && src.is_pointer() && equality && dst.maybe_null != src.maybe_null &&
             is_packet(dst) == is_packet(src)) {
    State& equal = insn.op == JumpOp::kEq ? taken : state_;
    // One pointer equals another that cannot be null: then it is not null either.
    become_pointer(equal.top().regs[static_cast<size_t>(dst.maybe_null ? d : s)]);
  } else {
    learn_packet_bounds(insn, dst, src, taken);
  }
  return true;
}

}  // namespace xnic::compile::verify
