// SPDX-License-Identifier: Apache-2.0
// One step of the bytecode machine, RFC 9669. The program has passed the verifier, so its accesses lie in bounds.
#include <fmt/format.h>

#include "arch/ebpf/context.hpp"
#include "compile/prove/state.hpp"

namespace xnic::compile::prove {

using namespace arch::ebpf;

namespace {

struct Stepper {
  const Setting& s;
  Product& p;
  Bytecode& b = p.bytecode;
  Terms& t = s.terms;
  Fork fork{};

  Term& reg(Reg r) { return b.regs[size_t(index(r))]; }
  Term value(const Operand& o) {
    if (const Reg* r = std::get_if<Reg>(&o)) return reg(*r);
    return t.constant(64, uint64_t(int64_t{std::get<Imm>(o)}));
  }
  Term address(Reg base, int16_t offset) { return t.plus(reg(base), uint64_t(int64_t{offset})); }
  Term load_from(Term at, unsigned bytes) { return load(s, p.path, b.world, b.stack, at, bytes); }
  void store_to(Term at, Term v, unsigned bytes) { store(s, p.path, b.world, b.stack, at, t.extract(v, 0, 8 * bytes)); }
  // Loads from frozen maps: the verifier knows their values.
  void assume_constant(Reg dst) {
    if (b.slot + 1 >= s.facts.insns.size() || !s.facts.insns[b.slot + 1].reached) return;
    const RegFact& fact = s.facts.insns[b.slot + 1].regs[size_t(index(dst))];
    if (fact.type != RegType::kScalar || !fact.range.is_constant()) return;
    const Term constant = t.constant(64, fact.range.umin);
    p.path.assume(t, t.eq(reg(dst), constant));
    reg(dst) = constant;
  }
  void clobber_arguments() {
    for (size_t r = 1; r <= 5; r++) b.regs[r] = t.fresh(64, "clobbered");
  }

  void operator()(const Binary& o) { reg(o.dst) = alu(t, o.op, o.width, reg(o.dst), value(o.src)); }
  void operator()(const MovSx& o) {
    reg(o.dst) = t.zext(t.sext(t.extract(reg(o.src), 0, o.bits), unsigned(o.width)), 64);
  }
  void operator()(const Neg& o) { reg(o.dst) = alu(t, BinaryOp::kSub, o.width, t.constant(64, 0), reg(o.dst)); }
  void operator()(const Swap& o) {
    const Term low = t.extract(reg(o.dst), 0, o.bits);
    reg(o.dst) = t.zext(o.kind == SwapKind::kToLe ? low : swap_bytes(t, low), 64);
  }
  void operator()(const LoadImm64& o) { reg(o.dst) = t.constant(64, o.value); }
  void operator()(const LoadMap& o) { reg(o.dst) = s.maps[o.map]; }
  void operator()(const LoadMapValue& o) { reg(o.dst) = t.plus(s.first_values[o.map], uint64_t{o.offset}); }
  void operator()(const Load& o) {
    const unsigned n = bytes(o.size);
    const Term v = load_from(address(o.src, o.offset), n);
    reg(o.dst) = o.sign_extend ? t.sext(t.extract(v, 0, 8 * n), 64) : v;
    assume_constant(o.dst);
  }
  void operator()(const Store& o) { store_to(address(o.dst, o.offset), value(o.src), bytes(o.size)); }
  void operator()(const Atomic& o) {
    const unsigned n = bytes(o.size);
    if (o.op == AtomicOp::kLoadAcquire) {
      reg(o.dst) = load_from(address(o.src, o.offset), n);
      return;
    }
    const Term at = address(o.dst, o.offset);
    if (o.op == AtomicOp::kStoreRelease) return store_to(at, reg(o.src), n);
    const Term old = t.extract(load_from(at, n), 0, 8 * n);
    const Term src = t.extract(reg(o.src), 0, 8 * n), expected = t.extract(reg(Reg::kR0), 0, 8 * n);
    store(s, p.path, b.world, b.stack, at, atomic_result(t, o.op, old, src, expected));
    if (o.fetch) reg(o.op == AtomicOp::kCmpxchg ? Reg::kR0 : o.src) = t.zext(old, 64);
  }
  void operator()(const Jump& o) {
    const Term c = compare(t, o.op, o.width, reg(o.dst), value(o.src));
    const int known = p.path.decide(t, c);
    if (o.target == b.slot + 1 || known == 0) return;
    if (known == 1) return jump(o.target);
    fork = {true, c, o.target, b.slot + 1};
  }
  void operator()(const Goto& o) { jump(o.target); }
  void jump(Slot target) { b.slot = target - 1; }
  void operator()(const CallHelper& o) {
    CallArguments args;
    for (size_t i = 0; i < 5; i++) args[i].value = b.regs[i + 1];
    const CallView view = view_call(s, p.path, o.id, args, b.world, b.stack);
    Term result = view.result;
    if (!view.pure) {
      const EventPtr event = make_event(s, view, b.slot, b.world);
      leave(s, p.path, view, *event, b.world, b.stack);
      result = event->result;
      p.pending.push_back(event);
    }
    clobber_arguments();
    b.regs[0] = result;
  }
  void operator()(const CallLocal& o) {
    if (b.frames.size() + 1 >= s.frames.size()) throw GiveUp{"calls nested too deep"};
    Frame frame{b.slot, {}, b.regs[10]};
    for (size_t i = 0; i < 4; i++) frame.saved[i] = b.regs[6 + i];
    b.frames.push_back(frame);
    b.regs[10] = s.frames[b.frames.size()];
    jump(o.target);
  }
  void operator()(const Exit&) {
    if (b.frames.empty()) {
      b.verdict = t.extract(b.regs[0], 0, 32);
      b.done = true;
      return;
    }
    const Frame frame = b.frames.back();
    b.frames.pop_back();
    for (size_t i = 0; i < 4; i++) b.regs[6 + i] = frame.saved[i];
    clobber_arguments();
    b.regs[10] = frame.frame_pointer;
    b.slot = frame.call;
  }
  void operator()(const WideTail&) {}
  template <class Other>
  void operator()(const Other&) {
    throw GiveUp{fmt::format("an instruction that the proof has no model of, at slot {}", b.slot)};
  }
};

}  // namespace

Fork step(const Setting& s, Product& state) {
  if (state.bytecode.slot >= s.program.insns.size()) throw GiveUp{"the program runs past its end"};
  Stepper stepper{s, state};
  std::visit(stepper, s.program.insns[state.bytecode.slot]);
  if (!stepper.fork.forks && !state.bytecode.done) state.bytecode.slot++;
  return stepper.fork;
}

}  // namespace xnic::compile::prove
