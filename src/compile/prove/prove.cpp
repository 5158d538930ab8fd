// SPDX-License-Identifier: Apache-2.0
// The exploration. A state is a place of both machines and a path. States wait ordered by the bytecode's place (reverse
// postorder, callers' places first), then the row's, so that all ways to a join are there before the first goes on;
// those at one place may become one (join.cpp). Loops go around until their condition is decided; what is behind a loop
// waits for all that is in it.
//
// At first states become more general where they meet (generalize.cpp). When something is then not shown, the last cut
// that lost some of it is left out, and the exploration goes back to where that cut was made: what was shown before it
// stands, for the states that waited there wait again. When no cut is to blame, a second attempt joins only what loses
// nothing.
#include "compile/prove/prove.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <map>

#include "arch/ebpf/context.hpp"
#include "arch/ebpf/map_types.hpp"
#include "base/check.hpp"
#include "compile/prove/join.hpp"
#include "compile/prove/order.hpp"
#include "compile/prove/prover.hpp"
#include "compile/prove/questions.hpp"

namespace xnic::compile::prove {

using namespace arch::ebpf;
namespace hxdp = arch::hxdp;

namespace {

Order order_of_slots(const Program& program) {
  std::vector<uint32_t> roots = {0};
  for (const Subprogram& sub : program.subprograms) roots.push_back(sub.first);
  std::vector<std::vector<uint32_t>> next;
  for (Slot slot = 0; slot < program.insns.size(); slot++) next.push_back(next_slots(program, slot));
  return Order(next, roots);
}
Order order_of_rows(const hxdp::Image& image) {
  std::vector<std::vector<uint32_t>> next;
  for (hxdp::Row row = 0; row < image.rows.size(); row++) next.push_back(next_rows(image, row));
  return Order(next, {0});
}

constexpr int kMostBacks = 500;     // each leaves out one more cut
constexpr uint64_t kExactPart = 3;  // the part of the budget that is kept for joins that lose nothing

using Key = std::pair<std::vector<uint32_t>, uint32_t>;

class Explorer {
 public:
  Explorer(Setting& setting, const ProveOptions& options, ProofReport& report, Cuts* cuts)
      : s_(setting),
        options_(options),
        report_(report),
        cuts_(cuts),
        judge_(setting, options, report, cuts),
        joiner_(setting, cuts),
        slots_(order_of_slots(setting.program)),
        rows_(order_of_rows(setting.image)) {
    for (const auto& lanes : s_.image.slots) {
      uint32_t anchor = ~0u - 1;
      for (uint32_t slot : lanes) {
        if (slot < slots_.at.size()) anchor = std::min(anchor, slots_.at[slot]);
      }
      anchors_.push_back(anchor == ~0u - 1 ? 0 : anchor);
    }
  }

  void run(Product first) {
    judge_.entry = first.core.world;
    push(std::move(first));
    while (!waiting_.empty()) {
      const States group = std::move(waiting_.begin()->second);
      waiting_.erase(waiting_.begin());
      std::vector<Product> here;
      for (const auto& state : group) here.push_back(*state);
      join(group, here);
      for (Product& p : here) {
        if (options_.mode == ProofMode::kFull && judge_.refuted()) return;
        if (cuts_ && judge_.failed()) break;
        if (judge_.out_of_budget() || ++report_.states > options_.max_states) {
          judge_.undecided(p, p.bytecode.slot, "path",
                           judge_.out_of_budget() ? "the budget is spent" : "too many states: a loop without a bound?");
          if (options_.mode == ProofMode::kFull) return;
          if (judge_.out_of_budget()) return out_of_budget();
          continue;
        }
        try {
          explore(p);
        } catch (const GiveUp& give_up) {
          judge_.give_up(p, give_up.why);
        }
      }
      if (cuts_ && judge_.failed() && (judge_.out_of_budget() || !go_back())) return;
    }
  }
  uint64_t checks() const { return judge_.checks(); }
  uint64_t effort() const { return judge_.effort(); }

 private:
  // States are shared with what was saved.
  using States = std::vector<std::shared_ptr<const Product>>;
  using Waiting = std::map<Key, States>;
  // What there was before a cut: to go back to when the cut turns out to have lost too much.
  struct Saved {
    States here;
    Waiting waiting;
    std::vector<ProofRegion> regions;
  };

  void join(const States& group, std::vector<Product>& here) {
    if (!cuts_ || group.size() < 2) return joiner_.join(here);
    cuts_->begin(saved_.size());
    joiner_.join(here);
    if (cuts_->used()) saved_.push_back({group, waiting_, report_.regions});
  }
  // Back to the last cut that is to blame, which is left out from now on. False: there is none, or enough was tried.
  bool go_back() {
    const auto cut = cuts_->learn();
    if (!cut || ++backs_ > kMostBacks) return false;
    Saved& saved = saved_[*cut];
    const Product& at = *saved.here[0];
    cuts_->leave_out({at.bytecode.slot, at.core.row});
    report_.regions = std::move(saved.regions);
    waiting_ = std::move(saved.waiting);
    for (const auto& state : saved.here) push(*state);
    saved_.resize(*cut);
    judge_.forget_failure();
    return true;
  }

  // Names what waits: nobody looks at it any more.
  void out_of_budget() {
    for (const auto& [key, states] : std::exchange(waiting_, {})) {
      for (const auto& p : states) judge_.undecided(*p, p->bytecode.slot, "path", "the budget is spent");
    }
  }
  void push(Product p) {
    Key key;
    if (p.bytecode.done) {
      key.first = {~0u};
    } else {
      for (size_t depth = 0; depth <= p.bytecode.frames.size(); depth++) {
        const Slot slot = depth < p.bytecode.frames.size() ? p.bytecode.frames[depth].call : p.bytecode.slot;
        for (Slot head : slots_.loops[slot]) {
          key.first.push_back(slots_.at[head]);
          key.first.push_back(trips(p, depth, head));
        }
        key.first.push_back(slots_.at[slot]);
      }
    }
    key.second = p.core.done ? ~0u : rows_.at[p.core.row];
    waiting_[key].push_back(std::make_shared<const Product>(std::move(p)));
  }

  static uint32_t trips(const Product& p, size_t depth, Slot head) {
    const auto it = p.trips.find({depth, head});
    return it == p.trips.end() ? 0 : it->second;
  }
  // Counts how often the bytecode comes back to the head of a loop. A state in a loop waits for those that are less
  // far, and what is behind the loop for all that are in it.
  void moved(Product& p, size_t depth, Slot from) const {
    const Slot to = p.bytecode.slot;
    const size_t now = p.bytecode.frames.size();
    if (now < depth) std::erase_if(p.trips, [&](const auto& t) { return t.first.first > now; });
    if (now != depth || p.bytecode.done || to >= slots_.loops.size()) return;
    const auto &before = slots_.loops[from], &after = slots_.loops[to];
    for (Slot head : before) {
      if (std::find(after.begin(), after.end(), head) == after.end()) p.trips.erase({depth, head});
    }
    if (slots_.at[to] <= slots_.at[from] && std::find(before.begin(), before.end(), to) != before.end())
      p.trips[{depth, to}]++;
  }

  void fork(Product p, Term condition, const auto& taken, const auto& not_taken) {
    if (const int known = judge_.decide(p.path, condition); known >= 0) {
      known ? taken(p) : not_taken(p);
      return settle(std::move(p));
    }
    Product other = p;
    p.path.assume(s_.terms, condition);
    other.path.assume(s_.terms, s_.terms.negate(condition));
    taken(p), not_taken(other);
    settle(std::move(p)), settle(std::move(other));
  }

  // The core goes as far as it can without passing a join of its own before the bytecode has come to that join: so both
  // machines stand at their joins when paths are joined, and do what follows once, on the same conditional values.
  void settle(Product p) {
    try {
      judge_.simplify(p);
      const Advance core = advance(s_, judge_, p, [&](hxdp::Row row) { return held(p, row, 1); });
      judge_.simplify(p);
      if (core.why != Advance::Why::kFailed) push(std::move(p));
    } catch (const GiveUp& give_up) {
      judge_.give_up(p, give_up.why);
    }
  }
  bool held(const Product& p, hxdp::Row row, uint32_t more) const {
    return !p.bytecode.done && p.bytecode.frames.empty() && rows_.entries[row] > 1 &&
           slots_.at[p.bytecode.slot] < anchors_[row] + more;
  }

  // Runs the state to its next fork, join or end.
  void explore(Product& p) {
    while (true) {
      const Advance core = advance(s_, judge_, p, [&](hxdp::Row row) { return held(p, row, 0); });
      if (core.why == Advance::Why::kFailed) return;
      if (p.bytecode.done) {
        if (core.why == Advance::Why::kDone) return finish(p);
        const auto stay = [](Product&) {};
        if (p.general) p.doubts.push_back(core.condition);
        return fork(p, core.condition, stay, stay);
      }
      do {
        // The verifier knows what frozen maps hold, and so which ways are never taken.
        if (never_reached(p.bytecode.slot)) return;
        const Slot from = p.bytecode.slot;
        const size_t depth = p.bytecode.frames.size();
        const Fork way = step(s_, p);
        if (way.forks) {
          const auto go = [&](Slot to) { return [&, to](Product& q) { q.bytecode.slot = to, moved(q, depth, from); }; };
          return fork(p, way.condition, go(way.taken), go(way.next));
        }
        moved(p, depth, from);
        if (judge_.out_of_budget()) throw GiveUp{"the budget is spent"};
      } while (!p.bytecode.done && !is_join(p.bytecode.slot));
      if (!p.bytecode.done) return settle(std::move(p));
    }
  }
  bool never_reached(Slot slot) const {
    return slot < s_.facts.insns.size() && !s_.facts.insns[slot].reached &&
           !std::holds_alternative<WideTail>(s_.program.insns[slot]);
  }
  bool is_join(Slot slot) const { return slot < slots_.entries.size() && slots_.entries[slot] > 1; }

  void finish(const Product& p) {
    Terms& t = s_.terms;
    const Slot slot = p.bytecode.slot;
    if (!p.pending.empty()) {
      judge_.require(p, p.pending.front()->slot, t.falsity(), "call", "the image leaves out a call of the program");
      return;
    }
    const World &ours = p.bytecode.world, &theirs = p.core.world;
    judge_.require(p, slot, t.eq(p.bytecode.verdict, p.core.verdict), "exit verdict",
                   fmt::format("the verdict differs: {} in the program, {} in the image",
                               t.to_text(p.bytecode.verdict, 3), t.to_text(p.core.verdict, 3)));
    judge_.require(p, slot, t.both(t.eq(ours.data, theirs.data), same(t, ours.packet, theirs.packet)), "exit packet",
                   "the packet differs at the exit");
    Term values = same(t, ours.heap, theirs.heap);
    for (size_t m = 0; m < ours.values.size(); m++) values = t.both(values, same(t, ours.values[m], theirs.values[m]));
    judge_.require(p, slot, values, "exit maps", "map values differ at the exit");
  }

  const Setting& s_;
  const ProveOptions& options_;
  ProofReport& report_;
  Cuts* const cuts_;
  Judge judge_;
  Joiner joiner_;
  Order slots_, rows_;
  std::vector<uint32_t> anchors_;  // by row: place of the first bytecode that it does; only a hint
  Waiting waiting_;
  std::vector<Saved> saved_;  // by number of the cut
  int backs_ = 0;
};

Setting make_setting(Terms& terms, const Program& program, const Facts& facts, const hxdp::Image& image) {
  Setting s{terms, program, facts, image};
  s.context = terms.pointer("context", kContextTag);
  s.context_bytes = unknown_memory();
  s.core_stack = terms.pointer("core stack", kStackTag);
  for (size_t depth = 0; depth < kMaxCallDepth; depth++)
    s.frames.push_back(terms.pointer(fmt::format("frame {}", depth), kStackTag));
  for (size_t m = 0; m < program.maps.size(); m++) {
    s.maps.push_back(terms.pointer(fmt::format("map {}", m), kMapTag + int64_t(m)));
    s.first_values.push_back(terms.pointer(fmt::format("values of map {}", m), kValueTag + int64_t(m)));
    s.one_value_space |= program.maps[m].inner != nullptr;
  }
  return s;
}

// What the verifier says of loads from frozen maps is in those maps from the start, so that it does not matter when a
// machine loads it.
void freeze(const Setting& s, World& world) {
  Terms& t = s.terms;
  for (Slot slot = 0; slot + 1 < s.program.insns.size(); slot++) {
    const auto* o = std::get_if<Load>(&s.program.insns[slot]);
    if (!o || !s.facts.insns[slot].reached || !s.facts.insns[slot + 1].reached) continue;
    const RegFact& base = s.facts.insns[slot].regs[size_t(index(o->src))];
    const RegFact& value = s.facts.insns[slot + 1].regs[size_t(index(o->dst))];
    if (base.type != RegType::kMapValue || base.maybe_null || !base.range.is_constant() ||
        value.type != RegType::kScalar || !value.range.is_constant() || s.program.maps[base.map].max_entries != 1 ||
        !(s.program.maps[base.map].flags & kRdonlyProg))
      continue;
    const Term at = t.plus(s.first_values[base.map], uint64_t(base.range.smin + o->offset));
    Memory& memory = world.values[s.one_value_space ? 0 : base.map];
    memory = write(t, memory, at, t.constant(8 * bytes(o->size), value.range.umin));
  }
}

Product entry_state(const Setting& s) {
  Terms& t = s.terms;
  World world;
  world.packet = unknown_memory();
  world.heap = unknown_memory();
  world.data = t.pointer("data", kPacketTag);
  world.length = t.zext(t.fresh(16, "length"), 64);
  world.meta = t.zext(t.fresh(8, "meta"), 64);
  for (size_t m = 0; m < s.program.maps.size(); m++) {
    world.values.push_back(unknown_memory());
    world.versions.push_back(t.fresh(32, fmt::format("map {} at entry", m)));
  }
  freeze(s, world);
  Product p;
  p.bytecode.world = p.core.world = world;
  p.bytecode.stack = p.core.stack = zero_memory();
  p.bytecode.regs.fill(t.constant(64, 0));
  p.core.regs.fill(t.constant(64, 0));
  p.bytecode.regs[1] = s.context;
  p.bytecode.regs[10] = s.frames[0];
  for (uint64_t seed = 1; seed <= 3; seed++) p.path.witnesses.push_back(std::make_shared<Model>(seed));
  return p;
}

}  // namespace

namespace {
ProofReport attempt(const Program& program, const Facts& facts, const hxdp::Image& image, const ProveOptions& options,
                    Cuts* cuts) {
  ProofReport report;
  report.ran = true;
  Terms terms;
  Setting setting = make_setting(terms, program, facts, image);
  Explorer explorer(setting, options, report, cuts);
  explorer.run(entry_state(setting));
  report.solver_checks = explorer.checks();
  report.effort = explorer.effort();
  // A proof in which no path ends shows nothing.
  if (std::none_of(report.regions.begin(), report.regions.end(),
                   [](const ProofRegion& r) { return r.what.starts_with("exit") || r.status != ProofStatus::kProved; }))
    report.regions.push_back({.what = "exit", .status = ProofStatus::kUndecided, .detail = "no path reaches an exit"});
  std::stable_sort(report.regions.begin(), report.regions.end(),
                   [](const ProofRegion& a, const ProofRegion& b) { return a.slot < b.slot; });
  for (const ProofRegion& r : report.regions) {
    if (r.status == ProofStatus::kRefuted) report.status = ProofStatus::kRefuted;
    if (r.status == ProofStatus::kUndecided && report.status == ProofStatus::kProved)
      report.status = ProofStatus::kUndecided;
  }
  return report;
}
}  // namespace

ProofReport prove(const Program& program, const Facts& facts, const hxdp::Image& image, const ProveOptions& options) {
  if (options.mode == ProofMode::kOff) return {};
  const auto start = std::chrono::steady_clock::now();
  const uint64_t cpu_before = cpu_ms();
  Cuts cuts;
  ProveOptions part = options;
  part.effort -= options.effort / kExactPart, part.timeout_ms -= options.timeout_ms / kExactPart;
  ProofReport report = attempt(program, facts, image, part, &cuts);
  if (report.status == ProofStatus::kUndecided) {
    const ProofReport first = std::exchange(report, {});
    part.effort = options.effort - std::min(options.effort, first.effort);
    part.timeout_ms = options.timeout_ms - std::min(options.timeout_ms, cpu_ms() - cpu_before);
    report = attempt(program, facts, image, part, nullptr);
    report.solver_checks += first.solver_checks, report.effort += first.effort;
  }
  report.time_ms =
      uint64_t(std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - start).count());
  return report;
}

std::string ProofReport::summary() const {
  if (!ran) return "not proved (switched off)";
  if (status == ProofStatus::kProved)
    return fmt::format("proved ({} regions, {} states, {} questions, {} ms)", regions.size(), states, solver_checks,
                       time_ms);
  std::string out = status == ProofStatus::kRefuted ? "refuted" : "not decided";
  for (const ProofRegion& r : regions) {
    if (r.status == ProofStatus::kProved) continue;
    out += fmt::format("\n  {}: {} at slot {}, row {}{}{}: {}",
                       r.status == ProofStatus::kRefuted ? "refuted" : "not decided", r.what, r.slot, r.row,
                       r.source.empty() ? "" : ", ", r.source, r.detail);
  }
  return out;
}

}  // namespace xnic::compile::prove
