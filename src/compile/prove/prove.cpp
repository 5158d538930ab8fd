// SPDX-License-Identifier: Apache-2.0
// The exploration. A state is a place of both machines and a path. States wait ordered by the bytecode's place (reverse
// postorder, callers' places first), then the row's, so that all ways to a join are there before the first goes on;
// those at one place may become one (join.cpp). Loops go around until their condition is decided.
#include "compile/prove/prove.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <map>

#include "arch/ebpf/context.hpp"
#include "arch/ebpf/map_types.hpp"
#include "base/check.hpp"
#include "compile/prove/join.hpp"
#include "compile/prove/prover.hpp"

namespace xnic::compile::prove {

using namespace arch::ebpf;
namespace hxdp = arch::hxdp;

namespace {

// Position of each node in a reverse postorder, and how many edges lead to it.
struct Order {
  std::vector<uint32_t> at, entries;
};

Order order_of(size_t nodes, const std::vector<uint32_t>& roots, const auto& successors) {
  Order out{std::vector<uint32_t>(nodes, 0), std::vector<uint32_t>(nodes, 0)};
  std::vector<bool> seen(nodes, false);
  std::vector<uint32_t> post;
  for (uint32_t root : roots) {
    std::vector<std::pair<uint32_t, std::vector<uint32_t>>> stack;
    const auto enter = [&](uint32_t n) {
      if (n >= nodes) return;
      out.entries[n]++;
      if (seen[n]) return;
      seen[n] = true;
      stack.emplace_back(n, successors(n));
    };
    enter(root);
    while (!stack.empty()) {
      auto& [n, next] = stack.back();
      if (next.empty()) {
        post.push_back(n);
        stack.pop_back();
      } else {
        const uint32_t to = next.back();
        next.pop_back();
        enter(to);
      }
    }
  }
  for (size_t i = 0; i < post.size(); i++) out.at[post[i]] = uint32_t(post.size() - i);
  return out;
}

std::vector<uint32_t> next_slots(const Program& program, Slot slot) {
  const Instruction& insn = program.insns[slot];
  if (std::holds_alternative<Exit>(insn)) return {};
  if (const auto* o = std::get_if<Goto>(&insn)) return {o->target};
  if (const auto* o = std::get_if<Jump>(&insn)) return {slot + 1, o->target};
  return {slot + 1};
}

std::vector<uint32_t> next_rows(const hxdp::Image& image, hxdp::Row row) {
  std::vector<uint32_t> out;
  for (uint32_t lane = 0; lane < image.parameters.lanes; lane++) {
    const hxdp::Op& op = image.rows[row].lanes[lane];
    if (const int64_t target = hxdp::branch_target(op); target >= 0) out.push_back(uint32_t(target));
    if (hxdp::ends_row(op)) return out;
  }
  out.push_back(row + 1);
  return out;
}

using Key = std::pair<std::vector<uint32_t>, uint32_t>;

class Explorer {
 public:
  Explorer(Setting& setting, const ProveOptions& options, ProofReport& report)
      : s_(setting), options_(options), report_(report), judge_(setting, options, report), joiner_(setting) {
    std::vector<uint32_t> roots = {0};
    for (const Subprogram& sub : s_.program.subprograms) roots.push_back(sub.first);
    slots_ = order_of(s_.program.insns.size(), roots, [&](uint32_t n) { return next_slots(s_.program, n); });
    rows_ = order_of(s_.image.rows.size(), {0}, [&](uint32_t n) { return next_rows(s_.image, n); });
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
      std::vector<Product> here = std::move(waiting_.begin()->second);
      waiting_.erase(waiting_.begin());
      joiner_.join(here);
      for (Product& p : here) {
        if (options_.mode == ProofMode::kFull && judge_.refuted()) return;
        if (judge_.out_of_budget() || ++report_.states > options_.max_states) {
          judge_.undecided(p, p.bytecode.slot, "path",
                           judge_.out_of_budget() ? "the budget is spent" : "too many states: a loop without a bound?");
          if (options_.mode == ProofMode::kFull) return;
          continue;
        }
        try {
          explore(p);
        } catch (const GiveUp& give_up) {
          judge_.undecided(p, p.bytecode.slot, "path", give_up.why);
        }
      }
    }
  }
  uint64_t checks() const { return judge_.checks(); }
  uint64_t effort() const { return judge_.effort(); }

 private:
  void push(Product p) {
    Key key;
    if (p.bytecode.done) {
      key.first = {~0u};
    } else {
      for (const Frame& f : p.bytecode.frames) key.first.push_back(slots_.at[f.call]);
      key.first.push_back(slots_.at[p.bytecode.slot]);
    }
    key.second = p.core.done ? ~0u : rows_.at[p.core.row];
    waiting_[key].push_back(std::move(p));
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
      const Advance core = advance(s_, judge_, p, [&](hxdp::Row row) { return held(p, row, 1); });
      if (core.why != Advance::Why::kFailed) push(std::move(p));
    } catch (const GiveUp& give_up) {
      judge_.undecided(p, p.bytecode.slot, "path", give_up.why);
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
        return fork(p, core.condition, stay, stay);
      }
      do {
        // The verifier knows what frozen maps hold, and so which ways are never taken.
        if (never_reached(p.bytecode.slot)) return;
        const Fork way = step(s_, p);
        if (way.forks) {
          return fork(
              p, way.condition, [&](Product& q) { q.bytecode.slot = way.taken; },
              [&](Product& q) { q.bytecode.slot = way.next; });
        }
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
  Judge judge_;
  Joiner joiner_;
  Order slots_, rows_;
  std::vector<uint32_t> anchors_;  // by row: place of the first bytecode that it does; only a hint
  std::map<Key, std::vector<Product>> waiting_;
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

ProofReport prove(const Program& program, const Facts& facts, const hxdp::Image& image, const ProveOptions& options) {
  ProofReport report;
  if (options.mode == ProofMode::kOff) return report;
  report.ran = true;
  const auto start = std::chrono::steady_clock::now();
  Terms terms;
  Setting setting = make_setting(terms, program, facts, image);
  Explorer explorer(setting, options, report);
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
