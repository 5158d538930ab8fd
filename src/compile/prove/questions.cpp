// SPDX-License-Identifier: Apache-2.0
// Questions with the literals that matter. A literal left out only makes more inputs possible, so "not possible" stays
// true of the path.
#include "compile/prove/questions.hpp"

#include <time.h>

#include <algorithm>
#include <unordered_set>

namespace xnic::compile::prove {

// Of this thread, so that others on the machine do not count.
uint64_t cpu_ms() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return uint64_t(now.tv_sec) * 1000 + uint64_t(now.tv_nsec) / 1'000'000;
}

Questions::Questions(const Terms& terms, const ProveOptions& options)
    : terms_(terms), options_(options), solver_(terms), start_ms_(cpu_ms()) {}

void Questions::begin_region() { region_began_ = solver_.spent(); }

uint64_t Questions::time_left_ms() const {
  const uint64_t ms = cpu_ms() - start_ms_;
  return ms >= options_.timeout_ms ? 0 : options_.timeout_ms - ms;
}

uint64_t Questions::effort_left() const {
  const uint64_t spent = solver_.spent();
  return spent >= options_.effort || time_left_ms() == 0 ? 0 : options_.effort - spent;
}

uint64_t Questions::region_left() const {
  const uint64_t left = effort_left(), spent = solver_.spent() - region_began_;
  if (options_.mode != ProofMode::kRegions) return left;
  return spent >= options_.region_effort ? 0 : std::min(left, options_.region_effort - spent);
}

// The term's unknowns, sorted: symbols, bytes of memory and results of functions. Objects are no unknowns, so that two
// bytes of one packet have nothing in common.
const std::vector<Term>& Questions::unknowns(Term t) {
  auto [it, fresh] = unknowns_.try_emplace(t);
  if (!fresh) return it->second;
  std::vector<Term> stack = {t};
  std::unordered_set<Term> seen = {t};
  while (!stack.empty()) {
    const Term at = stack.back();
    stack.pop_back();
    const Node& n = terms_.node(at);
    if (terms_.is_opaque(at) || (n.kind == Kind::kSymbol && !terms_.is_pointer(at))) it->second.push_back(at);
    if (terms_.is_opaque(at) && n.kind != Kind::kByte && n.kind != Kind::kApply) continue;
    for (Term arg : n.args) {
      if (seen.insert(arg).second) stack.push_back(arg);
    }
  }
  std::sort(it->second.begin(), it->second.end());
  return it->second;
}

std::vector<Term> Questions::related(const std::vector<Term>& literals, Term condition) {
  const std::vector<Term>& first = unknowns(condition);
  std::unordered_set<Term> reached(first.begin(), first.end());
  std::vector<Term> out, rest = literals;
  for (bool more = true; more;) {
    more = false;
    std::erase_if(rest, [&](Term literal) {
      const std::vector<Term>& all = unknowns(literal);
      if (std::none_of(all.begin(), all.end(), [&](Term u) { return reached.contains(u); })) return false;
      reached.insert(all.begin(), all.end());
      out.push_back(literal);
      return more = true;
    });
  }
  std::sort(out.begin(), out.end());
  return out;
}

// Is there an input among the path's for which the condition holds? Those that do not take the path are dropped.
bool Questions::witnessed(Path& path, Term condition) {
  std::erase_if(path.witnesses, [&](const auto& model) {
    return !std::all_of(path.literals().begin(), path.literals().end(),
                        [&](Term literal) { return model->holds(terms_, literal); });
  });
  return std::any_of(path.witnesses.begin(), path.witnesses.end(),
                     [&](const auto& model) { return model->holds(terms_, condition); });
}

// The solver has found values for the unknowns in `asked`: together with those that another input of the path has for
// the others, they are likely an input of the path.
void Questions::witness(Path& path, const std::vector<Term>& asked) {
  Model model = path.witnesses.empty() ? Model(++models_) : path.witnesses.back()->changed();
  std::unordered_set<Term> seen;
  const auto set = [&](auto&& self, Term t) -> void {
    if (!seen.insert(t).second) return;
    const Node& n = terms_.node(t);
    for (Term arg : n.args) self(self, arg);
    if (n.kind == Kind::kByte || n.kind == Kind::kApply || n.kind == Kind::kSymbol)
      model.set(terms_, t, solver_.value(t));
  };
  for (Term t : asked) set(set, t);
  if (path.witnesses.size() >= kMostWitnesses) path.witnesses.erase(path.witnesses.begin());
  path.witnesses.push_back(std::make_shared<Model>(std::move(model)));
}

Solver::Answer Questions::possible(Path& path, Term condition, uint64_t effort) {
  if (witnessed(path, condition)) return Solver::Answer::kSat;
  std::vector<Term> all = related(path.literals(), condition);
  all.push_back(condition);
  effort = std::min(effort, region_left());
  const auto known = answers_.find(all);
  if (known != answers_.end() && (known->second.answer != Solver::Answer::kUnknown || known->second.effort >= effort))
    return known->second.answer;
  if (effort == 0) return Solver::Answer::kUnknown;
  const Solver::Answer answer = solver_.check(all, Solver::Reading::kLoose, effort, time_left_ms());
  if (answer == Solver::Answer::kSat) witness(path, all);
  answers_[std::move(all)] = {answer, effort};
  return answer;
}

Solver::Answer Questions::possible_in_full(const Path& path, Term condition, uint64_t effort) {
  std::vector<Term> all = path.literals();
  all.push_back(condition);
  const uint64_t left = std::min(effort, region_left());
  return left == 0 ? Solver::Answer::kUnknown : solver_.check(all, Solver::Reading::kExact, left, time_left_ms());
}

}  // namespace xnic::compile::prove
