// SPDX-License-Identifier: Apache-2.0
// Pruning: a path that arrives at a pruning point in a state covered by one from which everything was already walked
// need not be walked again. Follows kernel is_state_visited, states_equal, regsafe and stacksafe.
//
// Old covers new when every live value of new lies inside old's, except where old's continuation did not depend on it:
// registers dead by static analysis, stack slots that the continuation never read, scalars not marked precise. While a
// checkpoint's continuation is unfinished those marks are not final, so then every live value must lie inside.
#include <cerrno>

#include <fmt/core.h>

#include <algorithm>

#include "compile/verify/walk.hpp"

namespace xnic::compile::verify {

using enum Rejection::Kind;

namespace {

constexpr size_t kLongHistory = 600;  // steps after which a checkpoint is forced, so that walks backwards stay short

// Names in the old state ↔ names in the new one; one to one.
class NameMap {
 public:
  bool same(uint32_t old_name, uint32_t new_name) {
    if ((old_name == 0) != (new_name == 0)) return false;
    if (old_name == 0) return true;
    for (auto [a, b] : pairs_) {
      if (a == old_name) return b == new_name;
      if (b == new_name) return false;
    }
    pairs_.emplace_back(old_name, new_name);
    return true;
  }
  // Links between scalars: a scalar alone may take the place of a linked one only if no other member must follow it.
  bool same_link(uint32_t old_name, uint32_t new_name) {
    if (old_name == 0) return true;
    return same(old_name, new_name != 0 ? new_name : ++lonely_);
  }

 private:
  std::vector<std::pair<uint32_t, uint32_t>> pairs_;
  uint32_t lonely_ = 0x80000000u;  // above every real name
};

bool exactly(const Register& old, const Register& now, NameMap& names) {
  if (!names.same(old.id, now.id) || !names.same(old.ref, now.ref) || !names.same(old.lookup, now.lookup)) return false;
  Register a = old, b = now;
  a.id = b.id = a.ref = b.ref = a.lookup = b.lookup = 0;
  a.precise = b.precise = false;
  return a == b;
}

bool scalar_within(const Register& old, const Register& now, NameMap& names) {
  if (old.has_addend != now.has_addend && (old.has_addend || old.id != 0)) return false;
  if (old.has_addend && old.offset != now.offset) return false;
  return names.same_link(old.id, now.id) && subsumes(old.var, now.var);
}

bool pointer_within(const Register& old, const Register& now, NameMap& names) {
  switch (old.kind) {
    case Kind::kPacket:
    case Kind::kPacketMeta:
      return old.past_end == now.past_end && (old.past_end != 0 || old.packet_range <= now.packet_range) &&
             old.offset == now.offset && names.same(old.id, now.id) && subsumes(old.var, now.var);
    case Kind::kMapKey:
    case Kind::kMapValue:
    case Kind::kMemory: {
      if (!subsumes(old.var, now.var)) return false;
      Register a = old;
      a.var = now.var;
      return exactly(a, now, names);
    }
    default:
      return exactly(old, now, names);
  }
}

bool register_covers(const Register& old, const Register& now, NameMap& names, Match match) {
  if (match == Match::kExact) return exactly(old, now, names);
  if (old.kind == Kind::kUnset) return true;
  if (old.kind != now.kind || old.maybe_null != now.maybe_null) return false;
  if (old.is_scalar()) return (!old.precise && match == Match::kCovered) || scalar_within(old, now, names);
  return pointer_within(old, now, names);
}

// A whole slot that reads as one scalar: a full spill, or bytes that can hold anything.
const Register* scalar_of(const StackSlot& slot) {
  static const Register kUnknown = Register::scalar();
  if (slot.is_full_spill()) return slot.reg.is_scalar() ? &slot.reg : nullptr;
  for (ByteKind byte : slot.bytes)
    if (byte != ByteKind::kMisc && byte != ByteKind::kInvalid) return nullptr;
  return &kUnknown;
}

bool slot_covers(const StackSlot& old, const StackSlot& now, NameMap& names, Match match) {
  const Register* old_scalar = scalar_of(old);
  const Register* now_scalar = scalar_of(now);
  if (match == Match::kExact && old.bytes != now.bytes) return false;
  if (old_scalar && now_scalar) return register_covers(*old_scalar, *now_scalar, names, match);
  for (size_t i = 0; i < 8; ++i) {
    if (old.bytes[i] == now.bytes[i]) continue;
    // What was read as anything can be anything that is not a dynptr.
    const bool anything = old.bytes[i] == ByteKind::kMisc || old.bytes[i] == ByteKind::kInvalid;
    if (!anything || now.bytes[i] == ByteKind::kDynptr) return false;
  }
  if (old.is_spill()) return register_covers(old.reg, now.reg, names, match);
  if (old.bytes[0] == ByteKind::kDynptr)
    return old.dynptr == now.dynptr && old.dynptr_first == now.dynptr_first &&
           names.same(old.dynptr_id, now.dynptr_id) && names.same(old.reg.ref, now.reg.ref);
  return true;
}

}  // namespace

bool Walk::covers(State& old, Match match) {
  if (old.frames.size() != state_.frames.size()) return false;
  if ((old.lock_id != 0) != (state_.lock_id != 0) || old.lock_map != state_.lock_map) return false;
  if (old.refs.size() != state_.refs.size()) return false;
  NameMap names;
  if (!names.same(old.lock_id, state_.lock_id)) return false;
  static const StackSlot kUnwritten;
  for (size_t f = 0; f < old.frames.size(); ++f) {
    const Frame& a = old.frames[f];
    const Frame& b = state_.frames[f];
    const bool top = f + 1 == old.frames.size();
    if (a.callsite != b.callsite || a.callback != b.callback || a.subprogram != b.subprogram) return false;
    if (a.callback_depth > b.callback_depth && match != Match::kExact) return false;
    // Registers of callers are live as they are after the call returns.
    const uint16_t live =
        top ? flow_.live[slot_]
            : (old.frames[f + 1].callback != CallbackKind::kNone ? flow_.live[old.frames[f + 1].callsite]
                                                                 : flow_.live[old.frames[f + 1].callsite + 1] & ~0x3f);
    for (int r = 0; r < kRegCount; ++r) {
      if (r != index(kFramePointer) && !((live >> r) & 1)) continue;
      if (!register_covers(a.regs[static_cast<size_t>(r)], b.regs[static_cast<size_t>(r)], names, match)) return false;
    }
    const size_t slots = std::max(a.stack.size(), match == Match::kCovered ? 0 : b.stack.size());
    for (size_t s = 0; s < slots; ++s) {
      if (match == Match::kCovered && !((old.read[f] >> s) & 1)) continue;
      const StackSlot& x = s < a.stack.size() ? a.stack[s] : kUnwritten;
      const StackSlot& y = s < b.stack.size() ? b.stack[s] : kUnwritten;
      if (!slot_covers(x, y, names, match)) return false;
    }
  }
  for (size_t i = 0; i < old.refs.size(); ++i)
    if (!names.same(old.refs[i].id, state_.refs[i].id)) return false;
  return true;
}

// The current path stops at `old`. What old's continuation read and depended on, the current path's checkpoints need
// as well; and the facts that old proved need not hold for values that the comparison let pass.
void Walk::adopt_marks(State& from, State& old) {
  for (size_t f = 0; f < old.frames.size(); ++f)
    for (uint64_t rest = old.read[f]; rest; rest &= rest - 1) {
      const uint64_t bit = rest & (0 - rest);
      for (State* state = &from; !(state->written[f] & bit);) {
        state = state->parent.get();
        if (!state || (state->read[f] & bit)) break;
        state->read[f] |= bit;
      }
    }
  std::vector<Location> precise;
  for (int f = 0; f < static_cast<int>(old.frames.size()); ++f) {
    const Frame& frame = old.frames[static_cast<size_t>(f)];
    for (int r = 0; r < kRegCount; ++r)
      if (frame.regs[static_cast<size_t>(r)].is_scalar() && frame.regs[static_cast<size_t>(r)].precise)
        precise.push_back(Location::reg(f, r));
    for (int s = 0; s < static_cast<int>(frame.stack.size()); ++s) {
      const StackSlot& slot = frame.stack[static_cast<size_t>(s)];
      if (slot.is_spill() && slot.reg.is_scalar() && slot.reg.precise) precise.push_back(Location::slot(f, s));
    }
  }
  if (!precise.empty()) mark_precise_at(from, precise);
}

// All states of the current path from `entry` down belong to a loop that is not finished.
void Walk::mark_loop(const std::shared_ptr<State>& entry) {
  for (std::shared_ptr<State> state = state_.parent; state && state != entry; state = state->parent) {
    if (!state->loop_entry || state->loop_entry->branches == 0 || state->loop_entry->depth > entry->depth)
      state->loop_entry = entry;
  }
}

// Once a loop's entry is finished its marks are final: they flow back along the edges that closed the loop.
void Walk::close_checkpoint(State& closed) {
  if (back_edges_.empty()) {
    // Nothing flows back through it any more.
    closed.history = {};
    closed.parent = nullptr;
    return;
  }
  bool mine = false;
  for (const BackEdge& edge : back_edges_) mine |= edge.to.get() == &closed;
  if (!mine) return;
  auto fingerprint = [&] {
    uint64_t sum = 0;
    for (const BackEdge& edge : back_edges_)
      for (State* state = edge.from->parent.get(); state; state = state->parent.get()) {
        for (uint64_t read : state->read) sum += static_cast<uint64_t>(__builtin_popcountll(read));
        for_each_register(*state, [&](Register& reg) { sum += reg.precise; });
      }
    return sum;
  };
  for (uint64_t before = 0, after = fingerprint(); before != after; after = fingerprint()) {
    before = after;
    for (const BackEdge& edge : back_edges_) adopt_marks(*edge.from, *edge.to);
  }
}

State* Walk::previous_visit(const State& state, Slot slot) const {
  for (State* up = state.parent.get(); up; up = up->parent.get()) {
    if (up->slot != slot || up->frames.size() != state.frames.size()) continue;
    bool same = true;
    for (size_t f = 0; f < up->frames.size(); ++f) same &= up->frames[f].callsite == state.frames[f].callsite;
    if (same) return up;
  }
  return nullptr;
}

// Scalars that changed since the last iteration and that nothing depended on so far become unknown.
void Walk::widen_against(const State& old, State& state) {
  NameMap names;
  auto widen = [&](const Register& before, Register& now) {
    if (!before.is_scalar() || !now.is_scalar() || before.precise || now.precise) return;
    if (!exactly(before, now, names)) now = Register::scalar();
  };
  for (size_t f = 0; f < old.frames.size() && f < state.frames.size(); ++f) {
    const Frame& a = old.frames[f];
    Frame& b = state.frames[f];
    for (size_t r = 0; r < kRegCount; ++r) widen(a.regs[r], b.regs[r]);
    for (size_t s = 0; s < std::min(a.stack.size(), b.stack.size()); ++s)
      if (a.stack[s].is_full_spill() && b.stack[s].is_full_spill()) widen(a.stack[s].reg, b.stack[s].reg);
  }
}

// Compares the current state with one stored earlier. Returns true when the path can stop there; sets `finished` when
// old's continuation was not finished (no pruning, and stored states are kept sparse).
bool Walk::already_covered(State& old, bool& unfinished) {
  unfinished = old.branches > 0;
  std::shared_ptr<State> entry = old.loop_entry;
  const bool in_open_loop = !unfinished && entry && entry->branches > 0;
  if (!unfinished) return covers(old, in_open_loop ? Match::kWithin : Match::kCovered);
  if (flow_.calls_callback[slot_]) return covers(old, Match::kWithin);
  if (flow_.force_checkpoint[slot_] && old.may_goto_depth != state_.may_goto_depth && covers(old, Match::kWithin))
    return true;
  if (old.may_goto_depth == state_.may_goto_depth && old.callback_unroll_depth == state_.callback_unroll_depth &&
      covers(old, Match::kExact))
    reject(kTermination, EINVAL, fmt::format("infinite loop detected at insn {}", slot_),
           "make the loop change something that its condition reads");
  return false;
}

// True: the path ends here. The current state is stored when it may help later paths.
bool Walk::pruned() {
  const bool force = flow_.force_checkpoint[slot_] || state_.history.size() > kLongHistory;
  bool add = force || (jumps_ - jumps_at_checkpoint_ >= 2 && visited - visited_at_checkpoint_ >= 8);
  auto& stored = explored_[slot_];
  for (size_t i = stored.size(); i-- > 0;) {
    std::shared_ptr<State> old = stored[i];
    bool unfinished = false;
    const bool hit = already_covered(*old, unfinished);
    if (!rejection.reason.empty()) return false;
    auto& [misses, hits] = scores_[old.get()];
    if (hit) {
      ++hits;
      const bool loop = unfinished || (old->loop_entry && old->loop_entry->branches > 0);
      if (loop) {
        mark_loop(unfinished ? old : old->loop_entry);
        back_edges_.push_back({std::make_shared<State>(state_), old});
      } else {
        uint16_t doubtful = 0;
        bool stack = false;
        NameMap names;
        for (size_t f = 0; f < old->frames.size(); ++f) {
          const Frame& a = old->frames[f];
          const Frame& b = state_.frames[f];
          for (size_t r = 0; r < kRegCount; ++r)
            if (a.regs[r].is_scalar() && !scalar_within(a.regs[r], b.regs[r], names)) {
              // Registers of callers come back at the return; they are doubted like the stack.
              if (f + 1 == old->frames.size())
                doubtful |= static_cast<uint16_t>(1u << r);
              else
                stack = true;
            }
          for (size_t s = 0; s < a.stack.size(); ++s) {
            if (!a.stack[s].is_spill() || !a.stack[s].reg.is_scalar() || !((old->read[f] >> s) & 1)) continue;
            const bool same_place = s < b.stack.size() && b.stack[s].is_spill() && b.stack[s].reg.is_scalar();
            if (!same_place || !scalar_within(a.stack[s].reg, b.stack[s].reg, names)) stack = true;
          }
        }
        facts.pruned(slot_, doubtful & flow_.live[slot_], stack, state_);
      }
      if (loop) facts.pruned(slot_, 0, false, state_);
      adopt_marks(state_, *old);
      return true;
    }
    if (unfinished && !force && jumps_ - jumps_at_checkpoint_ < 20 && visited - visited_at_checkpoint_ < 100)
      add = false;
    if (add) ++misses;
    // States that never help only cost time.
    const uint32_t patience = flow_.force_checkpoint[slot_] && old->branches > 0 ? 64 : 3;
    if (misses > hits * patience + patience) {
      scores_.erase(old.get());
      stored.erase(stored.begin() + static_cast<std::ptrdiff_t>(i));
    }
  }
  states_per_insn_max = std::max<uint64_t>(states_per_insn_max, stored.size());
  if (add) add_checkpoint();
  return false;
}

void Walk::add_checkpoint() {
  for_each_register(state_, [](Register& reg) { reg.precise = false; });
  const size_t bytes = state_.footprint();
  memory_ += bytes;
  std::shared_ptr<State> checkpoint(new State(state_), [this, bytes](State* state) {
    delete state;
    memory_ -= bytes;
  });
  checkpoint->slot = slot_;
  checkpoint->branches = 1;
  checkpoint->depth = state_.parent ? state_.parent->depth + 1 : 0;
  checkpoint->read.fill(0);
  checkpoint->loop_entry = nullptr;
  state_.parent = checkpoint;
  state_.history.clear();
  state_.written.fill(0);
  explored_[slot_].push_back(checkpoint);
  ++states_total;
  states_peak = std::max(states_peak, states_total);
  jumps_at_checkpoint_ = jumps_;
  visited_at_checkpoint_ = visited;
}

}  // namespace xnic::compile::verify
