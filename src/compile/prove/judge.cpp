// SPDX-License-Identifier: Apache-2.0
// Questions: first what the path's literals say, then the solver. Answers are kept.
#include <fmt/format.h>

#include <algorithm>
#include <unordered_set>

#include "compile/prove/prover.hpp"

namespace xnic::compile::prove {

namespace {
constexpr uint64_t kBranchEffort = 30'000;      // for a question whose answer only saves work
constexpr uint64_t kFirstEffort = 1'000'000;    // for a question that can still be parted
constexpr uint64_t kGeneralEffort = 2'000'000;  // for one about a general state, which can be made less general
constexpr int kMostSplits = 12;
constexpr size_t kMostConditions = 32;
constexpr uint64_t kPacketShown = 256;
}  // namespace

Judge::Judge(const Setting& setting, const ProveOptions& options, ProofReport& report, Cuts* cuts)
    : s_(setting), options_(options), report_(report), cuts_(cuts), questions_(setting.terms, options) {}

bool Judge::out_of_budget() const { return questions_.effort_left() == 0; }

Term Judge::reduce(const Path& path, Term t) {
  std::unordered_map<Term, Term> cache;
  return s_.terms.rewrite(t, [&](Term c) { return path.decide(s_.terms, c, 0); }, cache);
}

int Judge::decide(Path& path, Term condition) {
  Terms& terms = s_.terms;
  if (const int known = path.decide(terms, condition); known >= 0) return known;
  const Term reduced = reduce(path, condition);
  if (const int known = path.decide(terms, reduced); known >= 0) return known;
  questions_.begin_region();
  const auto holds = [&](Term is) {
    if (questions_.possible(path, terms.negate(is), kBranchEffort) != Solver::Answer::kUnsat) return false;
    path.assume(terms, is);
    return true;
  };
  if (holds(reduced)) return path.assume(terms, condition), 1;
  if (holds(terms.negate(reduced))) return path.assume(terms, terms.negate(condition)), 0;
  return -1;
}

// The cache holds for the path as it is: two uses of simplify() do not share it.
void Judge::simplify(Product& p) {
  std::unordered_map<Term, Term> cache;
  const auto known = [&](Term c) { return p.path.decide(s_.terms, c, 0); };
  const auto change = [&](Term& t) { t = s_.terms.rewrite(t, known, cache); };
  for (Term& t : p.bytecode.regs) change(t);
  for (Term& t : p.core.regs) change(t);
  for (Frame& f : p.bytecode.frames) std::for_each(f.saved.begin(), f.saved.end(), change);
  const auto in_memory = [&](Memory& memory) {
    memory = map_terms(memory, [&](Term t) { return s_.terms.rewrite(t, known, cache); });
  };
  in_memory(p.bytecode.stack), in_memory(p.core.stack);
  in_memory(p.bytecode.world.packet), in_memory(p.core.world.packet);
}

ProofRegion& Judge::region(const Product& at, arch::ebpf::Slot slot, const std::string& what) {
  const arch::hxdp::Row row = at.core.row;
  for (ProofRegion& r : report_.regions) {
    if (r.slot == slot && r.row == row && r.what == what) return r;
  }
  ProofRegion r;
  r.slot = slot, r.row = row, r.what = what;
  if (const auto* line = s_.program.line_at(slot))
    r.source = fmt::format("{}:{}: {}", line->file, line->line, line->text);
  report_.regions.push_back(std::move(r));
  return report_.regions.back();
}

// Joined paths give large conditional values, and checksums over them are hard for a solver, while each way alone is
// easy. So a question is parted: conjunctions into their parts, and, when the solver takes long, by a condition in it.
Solver::Answer Judge::refute(Path& path, Term condition, int splits) {
  Terms& terms = s_.terms;
  const Term reduced = reduce(path, condition);
  if (path.decide(terms, reduced) == 1) return Solver::Answer::kUnsat;
  const Node& n = terms.node(reduced);
  if (n.kind == Kind::kNot && terms.node(n.args[0]).kind == Kind::kOr) {
    const std::vector<Term> parts = terms.node(n.args[0]).args;
    const auto first = refute(path, terms.negate(parts[0]), splits);
    return first == Solver::Answer::kUnsat ? refute(path, terms.negate(parts[1]), splits) : first;
  }
  if (n.kind == Kind::kAnd && n.width == 1) {
    const auto first = refute(path, n.args[0], splits);
    return first == Solver::Answer::kUnsat ? refute(path, n.args[1], splits) : first;
  }
  // Conditions of conditional values that the path decides, speculative loads among them.
  const std::vector<Term> conditions = conditions_in(reduced);
  bool settled = false;
  for (Term c : conditions) settled |= decide(path, c) >= 0;
  if (settled) return refute(path, reduced, splits);
  if (!sharpen(path)) return Solver::Answer::kUnsat;
  const Term way = splits > 0 && !conditions.empty() ? conditions[0] : ~Term{0};
  const bool last = way == ~Term{0};
  auto answer = questions_.possible(path, terms.negate(reduced), last ? most_effort_ : kFirstEffort);
  if (answer == Solver::Answer::kSat) answer = questions_.possible_in_full(path, terms.negate(reduced), most_effort_);
  if (answer != Solver::Answer::kUnsat) not_shown_ = reduced;
  if (answer != Solver::Answer::kUnknown || last || questions_.region_left() == 0) return answer;
  for (Term side : {way, terms.negate(way)}) {
    Path part = path;
    part.assume(terms, side);
    if (const auto half = refute(part, reduced, splits - 1); half != Solver::Answer::kUnsat) return half;
  }
  return Solver::Answer::kUnsat;
}

// Literals were assumed when less was known: adds what they say by now. False when that cannot be.
bool Judge::sharpen(Path& path) {
  Terms& terms = s_.terms;
  for (Term literal : std::vector<Term>(path.literals())) {
    const Term atom = terms.node(literal).kind == Kind::kNot ? terms.node(literal).args[0] : literal;
    std::unordered_map<Term, Term> cache;
    const auto others = [&](Term c) { return c == literal || c == atom ? -1 : path.decide(terms, c, 0); };
    const Term sharp = terms.rewrite(literal, others, cache);
    if (sharp == terms.falsity()) return false;
    if (sharp != literal && sharp != terms.truth()) path.assume(terms, sharp);
  }
  return true;
}

// The conditions of conditional values in the term, the outermost first; at most kMostConditions.
std::vector<Term> Judge::conditions_in(Term t) const {
  std::vector<Term> queue = {t}, out;
  std::unordered_set<Term> seen = {t};
  for (size_t i = 0; i < queue.size() && out.size() < kMostConditions; i++) {
    const Node& n = s_.terms.node(queue[i]);
    if (n.kind == Kind::kIte && std::find(out.begin(), out.end(), n.args[0]) == out.end()) out.push_back(n.args[0]);
    for (Term arg : n.args) {
      if (seen.insert(arg).second) queue.push_back(arg);
    }
  }
  return out;
}

bool Judge::require(const Product& at, arch::ebpf::Slot slot, Term condition, const std::string& what,
                    const std::string& otherwise) {
  ProofRegion& r = region(at, slot, what);
  questions_.begin_region();
  Path path = at.path;
  most_effort_ = at.general ? kGeneralEffort : options_.effort;
  switch (refute(path, condition, kMostSplits)) {
    case Solver::Answer::kUnsat:
      return true;
    case Solver::Answer::kSat:
      if (at.general) {
        cuts_->blame(s_.terms, at, not_shown_);
        undecided(at, slot, what, fmt::format("not true of all that meets at the cut points: {}", otherwise));
        return false;
      }
      failed_ = true;
      if (r.status != ProofStatus::kRefuted) r.detail = otherwise, r.counterexample = counterexample();
      r.status = ProofStatus::kRefuted;
      refuted_ = true;
      return false;
    case Solver::Answer::kUnknown:
      if (at.general) cuts_->blame(s_.terms, at, not_shown_);
      undecided(at, slot, what, fmt::format("not decided within the effort: {}", otherwise));
      return false;
  }
  return false;
}

void Judge::give_up(const Product& at, const std::string& why) {
  if (at.general) cuts_->blame(s_.terms, at, s_.terms.falsity());
  undecided(at, at.bytecode.slot, "path", why);
}

void Judge::undecided(const Product& at, arch::ebpf::Slot slot, const std::string& what, const std::string& why) {
  ProofRegion& r = region(at, slot, what);
  failed_ = true;
  if (r.status != ProofStatus::kProved) return;
  r.status = ProofStatus::kUndecided;
  r.detail = why;
}

Counterexample Judge::counterexample() {
  Counterexample c;
  Terms& terms = s_.terms;
  c.length = questions_.value(entry.length);
  for (uint64_t i = 0; i < std::min(c.length, kPacketShown); i++)
    c.packet.push_back(uint8_t(questions_.value(read(terms, entry.packet, terms.plus(entry.data, i), 1))));
  const auto context = [&](uint64_t offset) {
    return questions_.value(read(terms, s_.context_bytes, terms.plus(s_.context, offset), 4));
  };
  c.values.emplace_back("ingress_ifindex", context(12));
  c.values.emplace_back("rx_queue_index", context(16));
  for (Term t = 0; t < terms.size() && c.values.size() < 64; t++) {
    const Node& n = terms.node(t);
    if (n.kind != Kind::kSymbol || terms.is_pointer(t)) continue;
    const std::string name = terms.name(t);
    if (!name.starts_with("clobbered") && !name.starts_with("nowhere"))
      c.values.emplace_back(name, questions_.value(t));
  }
  return c;
}

}  // namespace xnic::compile::prove
