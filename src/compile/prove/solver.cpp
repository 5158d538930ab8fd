// SPDX-License-Identifier: Apache-2.0
// Terms into Z3's bit-vectors and uninterpreted functions (QF_UFBV). Memories are functions from addresses to bytes;
// addresses of objects carry a number of their own in the top 16 bits, so that objects neither overlap nor are null,
// and are multiples of 2^20, so that two objects of one function are the same or do not overlap.
#include "compile/prove/solver.hpp"

#include <fmt/format.h>
#include <z3++.h>

#include <optional>
#include <unordered_map>

#include "base/check.hpp"

namespace xnic::compile::prove {

struct Solver::State {
  const Terms& terms;
  z3::context context;
  std::unordered_map<Term, z3::expr> lowered;
  std::unordered_map<std::string, z3::func_decl> functions;
  std::unordered_map<std::string, unsigned> objects;
  std::optional<z3::model> model;

  explicit State(const Terms& t) : terms(t) {}

  z3::expr number(unsigned width, uint64_t value) { return context.bv_val(value, width); }
  z3::expr truth(const z3::expr& c) { return z3::ite(c, number(1, 1), number(1, 0)); }
  z3::expr holds(Term t) { return lower(t) == number(1, 1); }

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
    if (auto it = lowered.find(t); it != lowered.end()) return it->second;
    const Node& n = terms.node(t);
    z3::expr_vector args(context);
    for (Term arg : n.args) args.push_back(lower(arg));
    z3::expr out = build(t, n, args);
    CHECK(out.get_sort().bv_size() == n.width);
    lowered.emplace(t, out);
    return out;
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
        const auto number_of = objects.try_emplace(terms.name(t), unsigned(objects.size()) + 1).first->second;
        CHECK(number_of < 0x7fff);
        return z3::concat(z3::concat(number(16, number_of), low), number(20, 0));
      }
      case Kind::kByte:
        return call(fmt::format("memory{}", n.value), 8, a);
      case Kind::kSum: {
        z3::expr sum = number(n.width, n.value);
        for (size_t i = 0; i < n.args.size(); i++)
          sum = sum + (n.coefs[i] == 1 ? arg(i) : number(n.width, n.coefs[i]) * arg(i));
        return sum;
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

Solver::Answer Solver::check(std::span<const Term> conditions, uint32_t timeout_ms) {
  checks_++;
  state_->model.reset();
  try {
    z3::solver solver(state_->context, "QF_UFBV");
    z3::params params(state_->context);
    params.set("timeout", timeout_ms);
    solver.set(params);
    for (Term condition : conditions) solver.add(state_->holds(condition));
    switch (solver.check()) {
      case z3::unsat:
        return Answer::kUnsat;
      case z3::sat:
        state_->model = solver.get_model();
        return Answer::kSat;
      default:
        return Answer::kUnknown;
    }
  } catch (const z3::exception&) {
    return Answer::kUnknown;  // out of memory, or cancelled
  }
}

uint64_t Solver::value(Term t) {
  CHECK(state_->model.has_value());
  return state_->model->eval(state_->lower(t), true).get_numeral_uint64();
}

}  // namespace xnic::compile::prove
