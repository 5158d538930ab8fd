// SPDX-License-Identifier: Apache-2.0
// Questions: first what the path's literals say, then the solver. Answers are kept.
#include <fmt/format.h>

#include <algorithm>
#include <unordered_set>

#include "compile/prove/prover.hpp"

namespace xnic::compile::prove {

namespace {
constexpr uint32_t kBranchMs = 2000;  // for a question whose answer only saves work
constexpr uint32_t kFirstMs = 400;    // for a question that can still be parted
constexpr int kMostSplits = 12;
constexpr uint64_t kPacketShown = 256;
}  // namespace

Judge::Judge(const Setting& setting, const ProveOptions& options, ProofReport& report)
    : s_(setting),
      options_(options),
      report_(report),
      solver_(setting.terms),
      start_(std::chrono::steady_clock::now()) {}

bool Judge::out_of_time() const { return options_.mode == ProofMode::kFull && budget_ms() == 0; }

uint32_t Judge::budget_ms() const {
  const auto from = options_.mode == ProofMode::kRegions ? region_start_ : start_;
  const auto spent = std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - from);
  return uint64_t(spent.count()) >= options_.timeout_ms ? 0 : options_.timeout_ms - uint32_t(spent.count());
}

Term Judge::reduce(const Path& path, Term t) {
  std::unordered_map<Term, Term> cache;
  return s_.terms.rewrite(t, [&](Term c) { return path.decide(s_.terms, c, 0); }, cache);
}

int Judge::decide(Path& path, Term condition) {
  Terms& terms = s_.terms;
  if (const int known = path.decide(terms, condition); known >= 0) return known;
  const Term reduced = reduce(path, condition);
  if (const int known = path.decide(terms, reduced); known >= 0) return known;
  auto [it, fresh] = answers_.try_emplace({path.literals(), reduced}, -1);
  if (fresh) {
    std::vector<Term> all = path.literals();
    region_start_ = std::chrono::steady_clock::now();
    const auto ask = [&](Term last) {
      all.push_back(last);
      const auto answer = solver_.check(all, std::min(kBranchMs, budget_ms()));
      all.pop_back();
      return answer;
    };
    const bool cannot = ask(reduced) == Solver::Answer::kUnsat;
    const bool must = ask(terms.negate(reduced)) == Solver::Answer::kUnsat;
    it->second = cannot && must ? 2 : cannot ? 0 : must ? 1 : -1;
  }
  const int answer = it->second;
  if (answer == 1) path.assume(terms, reduced), path.assume(terms, condition);
  if (answer == 0) path.assume(terms, terms.negate(reduced)), path.assume(terms, terms.negate(condition));
  return answer;
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
Solver::Answer Judge::refute(const Path& path, Term condition, int splits) {
  Terms& terms = s_.terms;
  const Term reduced = reduce(path, condition);
  if (path.decide(terms, reduced) == 1) return Solver::Answer::kUnsat;
  const Node n = terms.node(reduced);
  if (n.kind == Kind::kAnd && n.width == 1) {
    const auto first = refute(path, n.args[0], splits);
    return first == Solver::Answer::kUnsat ? refute(path, n.args[1], splits) : first;
  }
  std::vector<Term> all = path.literals();
  all.push_back(terms.negate(reduced));
  const Term way = splits > 0 ? condition_in(reduced) : ~Term{0};
  const bool last = way == ~Term{0};
  const auto answer = solver_.check(all, last ? budget_ms() : std::min(kFirstMs, budget_ms()));
  if (answer != Solver::Answer::kUnknown || last || budget_ms() == 0) return answer;
  for (Term side : {way, terms.negate(way)}) {
    Path part = path;
    part.assume(terms, side);
    if (const auto half = refute(part, reduced, splits - 1); half != Solver::Answer::kUnsat) return half;
  }
  return Solver::Answer::kUnsat;
}

// The condition of the first conditional value in the term, breadth first; ~0 if there is none.
Term Judge::condition_in(Term t) const {
  std::vector<Term> queue = {t};
  std::unordered_set<Term> seen = {t};
  for (size_t i = 0; i < queue.size(); i++) {
    const Node& n = s_.terms.node(queue[i]);
    if (n.kind == Kind::kIte) return n.args[0];
    for (Term arg : n.args) {
      if (seen.insert(arg).second) queue.push_back(arg);
    }
  }
  return ~Term{0};
}

bool Judge::require(const Product& at, arch::ebpf::Slot slot, Term condition, const std::string& what,
                    const std::string& otherwise) {
  ProofRegion& r = region(at, slot, what);
  region_start_ = std::chrono::steady_clock::now();
  switch (refute(at.path, condition, kMostSplits)) {
    case Solver::Answer::kUnsat:
      return true;
    case Solver::Answer::kSat:
      if (r.status != ProofStatus::kRefuted) r.detail = otherwise, r.counterexample = counterexample();
      r.status = ProofStatus::kRefuted;
      refuted_ = true;
      return false;
    case Solver::Answer::kUnknown:
      undecided(at, slot, what, fmt::format("not decided in time: {}", otherwise));
      return false;
  }
  return false;
}

void Judge::undecided(const Product& at, arch::ebpf::Slot slot, const std::string& what, const std::string& why) {
  ProofRegion& r = region(at, slot, what);
  if (r.status != ProofStatus::kProved) return;
  r.status = ProofStatus::kUndecided;
  r.detail = why;
}

Counterexample Judge::counterexample() {
  Counterexample c;
  Terms& terms = s_.terms;
  c.length = solver_.value(entry.length);
  for (uint64_t i = 0; i < std::min(c.length, kPacketShown); i++)
    c.packet.push_back(uint8_t(solver_.value(read(terms, entry.packet, terms.plus(entry.data, i), 1))));
  const auto context = [&](uint64_t offset) {
    return solver_.value(read(terms, s_.context_bytes, terms.plus(s_.context, offset), 4));
  };
  c.values.emplace_back("ingress_ifindex", context(12));
  c.values.emplace_back("rx_queue_index", context(16));
  for (Term t = 0; t < terms.size() && c.values.size() < 64; t++) {
    const Node& n = terms.node(t);
    if (n.kind != Kind::kSymbol || terms.is_pointer(t)) continue;
    const std::string name = terms.name(t);
    if (!name.starts_with("clobbered") && !name.starts_with("nowhere")) c.values.emplace_back(name, solver_.value(t));
  }
  return c;
}

}  // namespace xnic::compile::prove
