// SPDX-License-Identifier: Apache-2.0
// Terms into Z3's bit-vectors and uninterpreted functions (QF_UFBV). Memories are functions from addresses to bytes;
// addresses of objects carry a number of their own in the top 16 bits, so that objects neither overlap nor are null,
// and are multiples of 2^20, so that two objects of one function are the same or do not overlap.
#include "compile/prove/solver.hpp"

#include <fmt/format.h>
#include <z3++.h>

#include <algorithm>
#include <optional>
#include <unordered_map>
#include <unordered_set>

#include "base/check.hpp"

namespace xnic::compile::prove {

namespace {
constexpr uint64_t kSmallEffort = 100'000;
constexpr unsigned kCoreUses = 100;  // then a new core: what it learned is in the way of other questions
}  // namespace

struct Solver::State {
  const Terms& terms;
  z3::context context;
  bool loose = false;
  std::unordered_map<Term, z3::expr> limits;  // of unknowns of the loose reading
  std::unordered_map<Term, z3::expr> lowered_by[2];
  std::unordered_map<std::string, z3::func_decl> functions;
  std::optional<z3::model> model;

  std::optional<z3::solver> core;
  unsigned core_uses = 0;

  explicit State(const Terms& t) : terms(t) {}

  z3::solver& small_core() {
    if (!core || ++core_uses > kCoreUses) core.emplace(context, z3::solver::simple()), core_uses = 0;
    return *core;
  }

  // Steps of all solvers of the context so far.
  static uint64_t count(const z3::stats& statistics) {
    for (unsigned i = 0; i < statistics.size(); i++) {
      if (statistics.key(i) == "rlimit count") return statistics.uint_value(i);
    }
    return 0;
  }

  z3::expr number(unsigned width, uint64_t value) { return context.bv_val(value, width); }
  z3::expr truth(const z3::expr& c) { return z3::ite(c, number(1, 1), number(1, 0)); }
  z3::expr holds(Term t) { return lower(t) == number(1, 1); }

  // The same value for the same term and no other: what makes it one is left out.
  z3::expr unknown(Term t, const Node& n) {
    const bool pointer = terms.is_pointer(t);
    const z3::expr low = context.bv_const(fmt::format("unknown {}", t).c_str(), pointer ? 28 : n.width);
    if (pointer) return z3::concat(z3::concat(number(16, terms.object_number(t)), low), number(20, 0));
    if (const uint64_t most = terms.upper_bound(t); most < mask_of(n.width))
      limits.emplace(t, z3::ule(low, number(n.width, most)));
    return low;
  }

  z3::expr call(const std::string& name, unsigned width, const z3::expr_vector& args) {
    std::string key = fmt::format("{}/{}", name, width);
    z3::sort_vector sorts(context);
    for (unsigned i = 0; i < args.size(); i++) {
      sorts.push_back(args[int(i)].get_sort());
      key += fmt::format(",{}", args[int(i)].get_sort().bv_size());
    }
    auto it = functions.find(key);
    if (it == functions.end())
      it = functions.emplace(key, context.function(key.c_str(), sorts, context.bv_sort(width))).first;
    return it->second(args);
  }

  z3::expr lower(Term t) {
    auto& lowered = lowered_by[loose];
    if (auto it = lowered.find(t); it != lowered.end()) return it->second;
    const Node& n = terms.node(t);
    z3::expr_vector args(context);
    if (loose && terms.is_opaque(t)) return lowered.emplace(t, unknown(t, n)).first->second;
    for (Term arg : n.args) args.push_back(lower(arg));
    z3::expr out = build(t, n, args);
    CHECK(out.get_sort().bv_size() == n.width);
    lowered.emplace(t, out);
    return out;
  }

  // The limits of the unknowns in the conditions.
  void limit(z3::solver& solver, std::span<const Term> conditions) {
    std::unordered_set<Term> seen;
    std::vector<Term> stack(conditions.begin(), conditions.end());
    while (!stack.empty()) {
      const Term t = stack.back();
      stack.pop_back();
      if (!seen.insert(t).second) continue;
      if (auto it = limits.find(t); it != limits.end()) solver.add(it->second);
      const auto& args = terms.node(t).args;
      stack.insert(stack.end(), args.begin(), args.end());
    }
  }

  z3::expr build(Term t, const Node& n, const z3::expr_vector& a) {
    const auto arg = [&](size_t i) { return a[int(i)]; };
    switch (n.kind) {
      case Kind::kConst:
        return number(n.width, n.value);
      case Kind::kSymbol:
      case Kind::kApply: {
        const bool pointer = terms.is_pointer(t);
        const z3::expr low = n.kind == Kind::kSymbol ? context.bv_const(terms.name(t).c_str(), pointer ? 28 : n.width)
                                                     : call(terms.name(t), pointer ? 28 : n.width, a);
        if (!pointer) return low;
        return z3::concat(z3::concat(number(16, terms.object_number(t)), low), number(20, 0));
      }
      case Kind::kByte:
        return call(fmt::format("memory{}", n.value), 8, a);
      case Kind::kSum: {
        z3::expr sum = number(n.width, n.value);
        for (size_t i = 0; i < n.args.size(); i++)
          sum = sum + (n.coefs[i] == 1 ? arg(i) : number(n.width, n.coefs[i]) * arg(i));
        return sum;
      }
      case Kind::kFold: {
        z3::expr sum = number(64, n.value);
        for (size_t i = 0; i < n.args.size(); i++)
          sum = sum + z3::zext(arg(i), 64 - terms.width(n.args[i])) * number(64, n.coefs[i]);
        // Below 2^64, 2^49, 2^34, 2^19, 0x10007; then at most 0xffff.
        for (int i = 0; i < 5; i++) sum = (sum & number(64, 0xffff)) + z3::lshr(sum, number(64, 16));
        return sum.extract(15, 0);
      }
      case Kind::kMul:
        return arg(0) * arg(1);
      case Kind::kUdiv:
        return z3::udiv(arg(0), arg(1));
      case Kind::kUrem:
        return z3::urem(arg(0), arg(1));
      case Kind::kSdiv:
        return arg(0) / arg(1);
      case Kind::kSrem:
        return z3::srem(arg(0), arg(1));
      case Kind::kAnd:
        return arg(0) & arg(1);
      case Kind::kOr:
        return arg(0) | arg(1);
      case Kind::kXor:
        return arg(0) ^ arg(1);
      case Kind::kNot:
        return ~arg(0);
      case Kind::kShl:
        return z3::shl(arg(0), arg(1));
      case Kind::kLshr:
        return z3::lshr(arg(0), arg(1));
      case Kind::kAshr:
        return z3::ashr(arg(0), arg(1));
      case Kind::kConcat:
        return z3::concat(a);
      case Kind::kExtract:
        return arg(0).extract(unsigned(n.value) + n.width - 1, unsigned(n.value));
      case Kind::kSext:
        return z3::sext(arg(0), n.width - terms.width(n.args[0]));
      case Kind::kIte:
        return z3::ite(arg(0) == number(1, 1), arg(1), arg(2));
      case Kind::kEq:
        return truth(arg(0) == arg(1));
      case Kind::kUlt:
        return truth(z3::ult(arg(0), arg(1)));
      case Kind::kSlt:
        return truth(z3::slt(arg(0), arg(1)));
    }
    CHECK(false);
    return number(1, 0);
  }
};

Solver::Solver(const Terms& terms) : state_(std::make_unique<State>(terms)) {}
Solver::~Solver() = default;

Solver::Answer Solver::check(std::span<const Term> conditions, Reading reading, uint64_t effort, uint64_t timeout_ms) {
  checks_++;
  state_->loose = reading == Reading::kLoose;
  state_->model.reset();
  try {
    // Z3's incremental core answers a small question sooner than its tactics are set up.
    if (state_->loose && effort <= kSmallEffort) {
      z3::solver& core = state_->small_core();
      core.push();
      const Answer answer = ask(core, conditions, effort, timeout_ms);
      core.pop();
      return answer;
    }
    z3::solver solver(state_->context, state_->loose ? "QF_BV" : "QF_UFBV");
    return ask(solver, conditions, effort, timeout_ms);
  } catch (const z3::exception&) {
    return Answer::kUnknown;  // out of memory, or cancelled
  }
}

Solver::Answer Solver::ask(z3::solver& solver, std::span<const Term> conditions, uint64_t effort, uint64_t timeout_ms) {
  z3::params params(state_->context);
  constexpr uint64_t kMost = ~0u - 1;
  params.set("rlimit", unsigned(std::min(effort, kMost)));
  params.set("timeout", unsigned(std::min(timeout_ms, kMost)));
  solver.set(params);
  for (Term condition : conditions) solver.add(state_->holds(condition));
  if (state_->loose) state_->limit(solver, conditions);
  const z3::check_result result = solver.check();
  spent_ = std::max(spent_, state_->count(solver.statistics()));
  if (result == z3::unsat) return Answer::kUnsat;
  if (result == z3::unknown) return Answer::kUnknown;
  state_->model = solver.get_model();
  return Answer::kSat;
}

uint64_t Solver::value(Term t) {
  CHECK(state_->model.has_value());
  return state_->model->eval(state_->lower(t), true).get_numeral_uint64();
}

}  // namespace xnic::compile::prove
