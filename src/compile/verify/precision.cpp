// SPDX-License-Identifier: Apache-2.0
// Precision: which scalars of a checkpoint the continuation depended on. While a path is walked every instruction logs
// where its result came from (Dependence); when a scalar's range decides something (an access, a jump that can only go
// one way, a helper's size), the log is walked backwards from there, through all checkpoints above, and the scalars
// that the range was computed from are marked in each.
//
// Invariant: at a checkpoint, a scalar that is not `precise` could have had any value without changing what the
// continuation was found to do.
#include "base/check.hpp"
#include "compile/verify/walk.hpp"

namespace xnic::compile::verify {
namespace {

// The set of locations still to be traced.
class Wanted {
 public:
  bool test(Location at) const { return (bits_[word(at)] >> (at.code % 64)) & 1; }
  void set(Location at) {
    if (!at.valid() || test(at)) return;
    bits_[word(at)] |= uint64_t{1} << (at.code % 64);
    ++count_;
  }
  void clear(Location at) {
    if (!test(at)) return;
    bits_[word(at)] &= ~(uint64_t{1} << (at.code % 64));
    --count_;
  }
  bool empty() const { return count_ == 0; }
  template <class F>
  void each(F&& f) const {
    for (size_t w = 0; w < bits_.size(); ++w)
      for (uint64_t rest = bits_[w]; rest; rest &= rest - 1)
        f(Location{static_cast<uint16_t>(w * 64 + static_cast<unsigned>(__builtin_ctzll(rest)))});
  }

 private:
  static size_t word(Location at) { return at.code / 64; }
  std::array<uint64_t, kFrames * 2> bits_{};  // 128 codes a frame
  int count_ = 0;
};

void trace(const std::vector<Dependence>& history, Wanted& wanted) {
  for (size_t i = history.size(); i-- > 0 && !wanted.empty();) {
    const Dependence& step = history[i];
    if (step.op == Dependence::Op::kLink) {
      if (wanted.test(step.def)) wanted.set(step.a);
      if (wanted.test(step.a)) wanted.set(step.def);
    } else if (wanted.test(step.def)) {
      wanted.clear(step.def);
      wanted.set(step.a);
      wanted.set(step.b);
    }
  }
}

// The scalar at a location of a checkpoint, or null when there is none.
Register* scalar_at(State& state, Location at) {
  if (at.frame() >= static_cast<int>(state.frames.size())) return nullptr;
  Frame& frame = state.frames[static_cast<size_t>(at.frame())];
  Register* found = nullptr;
  if (at.index() < 16) {
    found = at.index() < kRegCount ? &frame.regs[static_cast<size_t>(at.index())] : nullptr;
  } else {
    size_t slot = static_cast<size_t>(at.index() - 16);
    if (slot < frame.stack.size() && frame.stack[slot].is_spill()) found = &frame.stack[slot].reg;
  }
  return found && found->is_scalar() ? found : nullptr;
}

}  // namespace

void Walk::depend(Location def, Location a, Location b) {
  state_.history.push_back({Dependence::Op::kDefine, def, a, b});
}

void Walk::link(Location a, Location b) { state_.history.push_back({Dependence::Op::kLink, a, b, {}}); }

void Walk::mark_precise(int i) {
  if (reg(i).is_scalar()) mark_precise_at(state_, {here(i)});
}

void Walk::mark_precise_at(State& from, const std::vector<Location>& locations) {
  Wanted wanted;
  for (Location at : locations) wanted.set(at);
  State* state = &from;
  while (!wanted.empty()) {
    trace(state->history, wanted);
    state = state->parent.get();
    if (!state) return;
    Wanted still = wanted;
    wanted.each([&](Location at) {
      Register* scalar = scalar_at(*state, at);
      if (!scalar || scalar->precise)
        still.clear(at);  // nothing to know there, or traced before
      else
        scalar->precise = true;
    });
    wanted = still;
  }
}

}  // namespace xnic::compile::verify
