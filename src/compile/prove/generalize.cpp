// SPDX-License-Identifier: Apache-2.0
// Cut points. The relation between the machines at a cut is found from the states that come there: each pair of values
// becomes one (pairing.hpp), so a register of the image that holds what a register of the program holds, or a function
// of it, does so in the general state as well. Of the path, literals stay that are literals of both under this pairing,
// and the weaker of two bounds.
//
// Nothing here is trusted beyond "the general state has both as cases", which holds by construction: new symbols have
// no meaning of their own, and every literal kept is true of both states.
#include "compile/prove/generalize.hpp"

#include <fmt/format.h>
#include <algorithm>
#include <unordered_set>

#include "compile/prove/pairing.hpp"

namespace xnic::compile::prove {

namespace {

// The symbols in terms and memories.
class Symbols {
 public:
  explicit Symbols(const Terms& terms) : terms_(terms) {}
  void add(Term t) {
    std::vector<Term> stack = {t};
    while (!stack.empty()) {
      const Term at = stack.back();
      stack.pop_back();
      if (contains(at)) continue;
      if (at >= seen_.size()) seen_.resize(terms_.size());
      seen_[at] = true;
      all_.push_back(at);
      for (Term arg : terms_.node(at).args) stack.push_back(arg);
    }
  }
  void add(const Memory& memory) {
    if (!memories_.insert(memory.get()).second) return;
    if (memory->form == MemoryNode::Form::kWritten) {
      add(memory->base);
      for (const auto& [at, byte] : memory->bytes) add(byte);
      add(memory->under);
    } else if (memory->form == MemoryNode::Form::kEither) {
      add(memory->condition), add(memory->under), add(memory->other);
    }
  }
  void add(const World& world) {
    add(world.packet), add(world.heap), add(world.data), add(world.length), add(world.meta);
    for (size_t m = 0; m < world.values.size(); m++) add(world.values[m]), add(world.versions[m]);
  }
  bool contains(Term t) const { return t < seen_.size() && seen_[t]; }
  const std::vector<Term>& all() const { return all_; }

 private:
  const Terms& terms_;
  std::vector<bool> seen_;  // by term
  std::vector<Term> all_;
  std::unordered_set<const MemoryNode*> memories_;
};

class Generalizer {
 public:
  Generalizer(const Setting& s, Cuts& cuts, const Product& a, const Product& b)
      : s_(s), cuts_(cuts), a_(a), b_(b), pairing_(s.terms) {}

  std::optional<Product> run() {
    if (!alike() || !cuts_.at({a_.bytecode.slot, a_.core.row})) return std::nullopt;
    Product out = a_;
    each_memory(out.bytecode.world, a_.bytecode.world, b_.bytecode.world, true);
    each_memory(out.core.world, a_.core.world, b_.core.world, true);
    for (size_t i = 0; i < a_.pending.size() && ok_; i++) {
      World ignored = a_.pending[i]->after;
      each_memory(ignored, a_.pending[i]->after, b_.pending[i]->after, true);
    }
    machine(out.core, a_.core, b_.core);
    machine(out.bytecode, a_.bytecode, b_.bytecode);
    for (size_t f = 0; f < a_.bytecode.frames.size(); f++) {
      for (size_t r = 0; r < 4; r++)
        out.bytecode.frames[f].saved[r] = pair(a_.bytecode.frames[f].saved[r], b_.bytecode.frames[f].saved[r]);
    }
    for (size_t i = 0; i < a_.pending.size() && ok_; i++) {
      if (a_.pending[i] != b_.pending[i]) out.pending[i] = event(*a_.pending[i], *b_.pending[i]);
    }
    if (!ok_) return std::nullopt;
    stack(out.bytecode.stack, a_.bytecode.stack, b_.bytecode.stack);
    stack(out.core.stack, a_.core.stack, b_.core.stack);
    if (!ok_ || !shared(out)) return std::nullopt;
    out.path = Path::generalize(s_.terms, a_.path, b_.path, pairing_);
    out.general = true;
    for (size_t cut : b_.cuts) {
      if (std::find(out.cuts.begin(), out.cuts.end(), cut) == out.cuts.end()) out.cuts.push_back(cut);
    }
    std::erase(out.cuts, cuts_.number());
    out.cuts.push_back(cuts_.number());
    out.doubts.insert(out.doubts.end(), b_.doubts.begin(), b_.doubts.end());
    for (const auto& v : pairing_.variables()) cuts_.made(symbol(v.term));
    for (const Path* path : {&a_.path, &b_.path}) {
      for (Term literal : path->literals()) {
        if (out.path.decide(s_.terms, literal) != 1) cuts_.lost(literal);
      }
    }
    return out;
  }

 private:
  bool alike() const {
    const auto same_call = [](const EventPtr& x, const EventPtr& y) {
      return x->slot == y->slot && x->helper == y->helper && x->inputs.size() == y->inputs.size() &&
             x->outputs.size() == y->outputs.size();
    };
    return a_.bytecode.done == b_.bytecode.done && a_.core.done == b_.core.done &&
           a_.bytecode.slot == b_.bytecode.slot && a_.core.row == b_.core.row &&
           std::equal(a_.pending.begin(), a_.pending.end(), b_.pending.begin(), b_.pending.end(), same_call) &&
           std::equal(a_.bytecode.frames.begin(), a_.bytecode.frames.end(), b_.bytecode.frames.begin(),
                      b_.bytecode.frames.end(), [](const Frame& x, const Frame& y) { return x.call == y.call; });
  }

  Term pair(Term a, Term b) {
    if (!ok_) return a;
    const Term out = pairing_.of(a, b);
    if (out == kNoTerm) ok_ = false;
    return out;
  }
  void memory(Memory& out, const Memory& a, const Memory& b, bool numbers) {
    if (!ok_) return;
    if (auto both = pairing_.of(a, b, numbers)) {
      out = *both;
    } else {
      ok_ = false;
    }
  }
  void stack(Memory& out, const Memory& a, const Memory& b) { memory(out, a, b, true); }
  void each_memory(World& out, const World& a, const World& b, bool beginnings) {
    const auto one = [&](Memory& to, const Memory& x, const Memory& y) {
      if (!ok_) return;
      if (!beginnings) return memory(to, x, y, false);
      if (!pairing_.beginning(x, y)) ok_ = false;
    };
    one(out.packet, a.packet, b.packet), one(out.heap, a.heap, b.heap);
    for (size_t m = 0; m < a.values.size(); m++) one(out.values[m], a.values[m], b.values[m]);
  }
  void world(World& out, const World& a, const World& b) {
    out.data = pair(a.data, b.data), out.length = pair(a.length, b.length), out.meta = pair(a.meta, b.meta);
    for (size_t m = 0; m < a.versions.size(); m++) out.versions[m] = pair(a.versions[m], b.versions[m]);
    each_memory(out, a, b, false);
  }
  template <class Machine>
  void machine(Machine& out, const Machine& a, const Machine& b) {
    for (size_t r = 0; r < a.regs.size(); r++) out.regs[r] = pair(a.regs[r], b.regs[r]);
    if (a.done) out.verdict = pair(a.verdict, b.verdict);
    world(out.world, a.world, b.world);
  }
  EventPtr event(const Event& a, const Event& b) {
    auto out = std::make_shared<Event>(a);
    for (size_t i = 0; i < a.inputs.size(); i++) {
      if (s_.terms.width(a.inputs[i]) != s_.terms.width(b.inputs[i])) ok_ = false;
      if (ok_) out->inputs[i] = pair(a.inputs[i], b.inputs[i]);
    }
    for (size_t i = 0; i < a.outputs.size() && ok_; i++) out->outputs[i] = pair(a.outputs[i], b.outputs[i]);
    out->result = pair(a.result, b.result);
    if (ok_) world(out->before, a.before, b.before), world(out->after, a.after, b.after);
    return out;
  }

  // Both machines know every variable, and no object remains that another stands for.
  bool shared(const Product& out) const {
    Symbols program(s_.terms), image(s_.terms), calls(s_.terms);
    const auto machine = [](Symbols& to, const auto& m) {
      for (Term t : m.regs) to.add(t);
      if (m.done) to.add(m.verdict);
      to.add(m.world), to.add(m.stack);
    };
    machine(program, out.bytecode), machine(image, out.core);
    for (const Frame& f : out.bytecode.frames) {
      for (Term t : f.saved) program.add(t);
    }
    for (const EventPtr& e : out.pending) {
      for (Term t : e->inputs) calls.add(t);
      for (Term t : e->outputs) calls.add(t);
      calls.add(e->result), calls.add(e->before), calls.add(e->after);
    }
    for (const auto& v : pairing_.variables()) {
      const Term t = symbol(v.term);
      if (!calls.contains(t) && program.contains(t) != image.contains(t)) return false;
    }
    for (const Symbols* all : {&program, &image, &calls}) {
      for (Term t : all->all()) {
        if (s_.terms.is_pointer(t) && pairing_.replaces(t)) return false;
      }
    }
    return true;
  }
  Term symbol(Term t) const {
    while (s_.terms.node(t).kind == Kind::kConcat) t = s_.terms.node(t).args.back();
    return t;
  }

  const Setting& s_;
  Cuts& cuts_;
  const Product &a_, &b_;
  Pairing pairing_;
  bool ok_ = true;
};

// What the literal says as "low <= high" or "low < high" (strict), addresses and lengths being far from wrapping.
struct Order {
  Term low, high;
  bool strict;
};
std::optional<Order> order_of(const Terms& terms, Term literal) {
  const Node& n = terms.node(literal);
  if (n.kind == Kind::kUlt) return Order{n.args[0], n.args[1], true};
  if (n.kind != Kind::kNot || terms.node(n.args[0]).kind != Kind::kUlt) return std::nullopt;
  const Node& u = terms.node(n.args[0]);
  return Order{u.args[1], u.args[0], false};
}

// The order that holds in both cases: of constants added, the lesser on the low side, the greater on the high side.
Term weaker(Terms& terms, Term a, Term b, Pairing& pairing) {
  const auto x = order_of(terms, a), y = order_of(terms, b);
  if (!x || !y || x->strict != y->strict || terms.width(x->low) != terms.width(y->low)) return kNoTerm;
  constexpr uint64_t kSmall = uint64_t{1} << 40;
  const auto side = [&](Term p, Term q, bool low) {
    const auto [base_p, c] = split_address(terms, p);
    const auto [base_q, d] = split_address(terms, q);
    if (terms.width(p) != 64 || c >= kSmall || d >= kSmall || terms.upper_bound(base_p) >= kSmall ||
        terms.upper_bound(base_q) >= kSmall)
      return pairing.of(p, q);
    const Term base = pairing.of(base_p, base_q);
    return base == kNoTerm ? kNoTerm : terms.plus(base, low ? std::min(c, d) : std::max(c, d));
  };
  const Term low = side(x->low, y->low, true), high = side(x->high, y->high, false);
  if (low == kNoTerm || high == kNoTerm) return kNoTerm;
  return x->strict ? terms.ult(low, high) : terms.ule(low, high);
}

}  // namespace

std::pair<uint64_t, uint64_t> Path::bounds(const Terms& terms, Term t) const {
  if (auto it = bounds_.find(t); it != bounds_.end()) return it->second;
  const Node& n = terms.node(t);
  if (n.kind == Kind::kConst) return {n.value, n.value};
  if (n.kind == Kind::kConcat && n.args.size() == 2 && terms.is_const(n.args[0], 0)) return bounds(terms, n.args[1]);
  const uint64_t most = terms.upper_bound(t);
  if (n.kind == Kind::kSum && most < mask_of(n.width)) {
    uint64_t low = n.value, high = n.value;
    for (size_t i = 0; i < n.args.size(); i++) {
      const auto [l, h] = bounds(terms, n.args[i]);
      low += n.coefs[i] * l, high += n.coefs[i] * h;
    }
    return {low, std::min(high, most)};
  }
  return {0, most};
}

Path Path::generalize(Terms& terms, const Path& a, const Path& b, Pairing& pairing) {
  Path out;
  pairing.freeze();
  std::vector<Term> rest_a, rest_b;
  // A literal about an object that another one stands for by now would make two objects of one.
  const auto untouched = [&](Term literal) {
    if (!pairing.replaces_any()) return true;
    Symbols symbols(terms);
    symbols.add(literal);
    return std::none_of(symbols.all().begin(), symbols.all().end(), [&](Term t) { return pairing.replaces(t); });
  };
  for (Term literal : a.literals_) {
    if (b.decide(terms, literal) == 1 && untouched(literal)) {
      out.assume(terms, literal);
    } else {
      rest_a.push_back(literal);
    }
  }
  for (Term literal : b.literals_) {
    if (a.decide(terms, literal) == 1 && untouched(literal)) {
      out.assume(terms, literal);
    } else {
      rest_b.push_back(literal);
    }
  }
  for (Term x : rest_a) {
    for (Term y : rest_b) {
      if (terms.node(x).kind != terms.node(y).kind) continue;
      Term both = pairing.of(x, y);
      if (both == kNoTerm) both = weaker(terms, x, y, pairing);
      if (both != kNoTerm && untouched(both)) out.assume(terms, both);
    }
  }
  for (const auto& v : pairing.variables()) {
    if (terms.width(v.term) == 1) continue;
    const auto [low_a, high_a] = a.bounds(terms, v.a);
    const auto [low_b, high_b] = b.bounds(terms, v.b);
    const unsigned w = terms.width(v.term);
    out.assume(terms, terms.ule(terms.constant(w, std::min(low_a, low_b)), v.term));
    out.assume(terms, terms.ule(v.term, terms.constant(w, std::max(high_a, high_b))));
  }
  for (size_t i = 0; i < std::min(a.witnesses.size() + b.witnesses.size(), kMostWitnesses); i++) {
    const bool first = i % 2 == 0 ? i / 2 < a.witnesses.size() : i / 2 >= b.witnesses.size();
    const auto& from = first ? a.witnesses : b.witnesses;
    if (i / 2 >= from.size()) continue;
    Model& old = *from[i / 2];
    Model model = old.changed();
    for (const auto& v : pairing.variables()) {
      Term symbol = v.term;
      while (terms.node(symbol).kind == Kind::kConcat) symbol = terms.node(symbol).args.back();
      model.set(terms, symbol, old.value(terms, first ? v.a : v.b));
    }
    out.witnesses.push_back(std::make_shared<Model>(std::move(model)));
  }
  return out;
}

std::optional<Product> generalize(const Setting& s, Cuts& cuts, const Product& a, const Product& b) {
  return Generalizer(s, cuts, a, b).run();
}

void Cuts::begin(size_t number) {
  number_ = number, used_ = false;
  for (auto* all : {&made_, &lost_}) std::erase_if(*all, [&](const auto& entry) { return entry.second >= number; });
}

void Cuts::blame(const Terms& terms, const Product& state, Term condition) {
  Symbols symbols(terms);
  symbols.add(condition);
  for (Term t : state.doubts) symbols.add(t);
  std::optional<size_t> last;
  const auto consider = [&](const std::map<Term, size_t>& from, Term t) {
    const auto it = from.find(t);
    if (it == from.end() || std::find(state.cuts.begin(), state.cuts.end(), it->second) == state.cuts.end()) return;
    last = std::max(last.value_or(0), it->second);
  };
  for (Term t : symbols.all()) consider(made_, t), consider(lost_, t);
  if (!last && !state.cuts.empty()) last = state.cuts.back();
  if (last) blamed_ = std::max(blamed_.value_or(0), *last);
}

std::optional<size_t> Cuts::learn() { return std::exchange(blamed_, std::nullopt); }

}  // namespace xnic::compile::prove
