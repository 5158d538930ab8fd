// SPDX-License-Identifier: Apache-2.0
// Arithmetic and memory accesses that both machines have in common. An address says by its form which object it lies
// in: it is a sum that contains the object's pointer. An address that is one of several by a condition is each of them.
#include <algorithm>

#include "arch/ebpf/context.hpp"
#include "compile/prove/state.hpp"

namespace xnic::compile::prove {

using namespace arch::ebpf;

Term alu(Terms& terms, BinaryOp op, Width width, Term a, Term b) {
  const unsigned w = unsigned(width);
  if (w == 32) a = terms.extract(a, 0, 32), b = terms.extract(b, 0, 32);
  const Term zero = terms.constant(w, 0);
  Term out = b;
  switch (op) {
    case BinaryOp::kAdd:
      out = terms.add(a, b);
      break;
    case BinaryOp::kSub:
      out = terms.sub(a, b);
      break;
    case BinaryOp::kMul:
      out = terms.mul(a, b);
      break;
    case BinaryOp::kDiv:
    case BinaryOp::kSdiv:
      out = terms.ite(terms.eq(b, zero), zero, terms.divide(op == BinaryOp::kDiv ? Kind::kUdiv : Kind::kSdiv, a, b));
      break;
    case BinaryOp::kMod:
    case BinaryOp::kSmod:
      out = terms.ite(terms.eq(b, zero), a, terms.divide(op == BinaryOp::kMod ? Kind::kUrem : Kind::kSrem, a, b));
      break;
    case BinaryOp::kOr:
      out = terms.bitwise(Kind::kOr, a, b);
      break;
    case BinaryOp::kAnd:
      out = terms.bitwise(Kind::kAnd, a, b);
      break;
    case BinaryOp::kXor:
      out = terms.bitwise(Kind::kXor, a, b);
      break;
    case BinaryOp::kLsh:
      out = terms.shift(Kind::kShl, a, b);
      break;
    case BinaryOp::kRsh:
      out = terms.shift(Kind::kLshr, a, b);
      break;
    case BinaryOp::kArsh:
      out = terms.shift(Kind::kAshr, a, b);
      break;
    case BinaryOp::kMov:
      break;
  }
  return terms.zext(out, 64);
}

Term swap_bytes(Terms& terms, Term t) {
  std::vector<Term> parts;
  for (unsigned i = 0; i < terms.width(t) / 8; i++) parts.push_back(terms.extract(t, 8 * i, 8));
  return terms.concat(std::move(parts));
}

Term compare(Terms& terms, JumpOp op, Width width, Term a, Term b) {
  if (width == Width::k32) a = terms.extract(a, 0, 32), b = terms.extract(b, 0, 32);
  switch (op) {
    case JumpOp::kEq:
      return terms.eq(a, b);
    case JumpOp::kNe:
      return terms.negate(terms.eq(a, b));
    case JumpOp::kSet:
      return terms.negate(terms.eq(terms.bitwise(Kind::kAnd, a, b), terms.constant(unsigned(width), 0)));
    case JumpOp::kGt:
      return terms.ult(b, a);
    case JumpOp::kGe:
      return terms.ule(b, a);
    case JumpOp::kLt:
      return terms.ult(a, b);
    case JumpOp::kLe:
      return terms.ule(a, b);
    case JumpOp::kSgt:
      return terms.slt(b, a);
    case JumpOp::kSge:
      return terms.negate(terms.slt(a, b));
    case JumpOp::kSlt:
      return terms.slt(a, b);
    case JumpOp::kSle:
      return terms.negate(terms.slt(b, a));
  }
  return terms.falsity();
}

Term atomic_result(Terms& terms, AtomicOp op, Term old, Term src, Term expected) {
  switch (op) {
    case AtomicOp::kAdd:
      return terms.add(old, src);
    case AtomicOp::kOr:
      return terms.bitwise(Kind::kOr, old, src);
    case AtomicOp::kAnd:
      return terms.bitwise(Kind::kAnd, old, src);
    case AtomicOp::kXor:
      return terms.bitwise(Kind::kXor, old, src);
    case AtomicOp::kXchg:
      return src;
    case AtomicOp::kCmpxchg:
      return terms.ite(terms.eq(old, expected), src, old);
    default:
      throw GiveUp{"an atomic that is a plain access"};
  }
}

namespace {

void find_places(const Setting& s, const Path& path, const World& world, Term condition, Term address,
                 std::vector<Place>& out) {
  Terms& terms = s.terms;
  const Node& n = terms.node(address);
  Term object = ~Term{0}, choice = ~Term{0};
  const auto look = [&](Term t) {
    if (terms.is_pointer(t))
      object = t;
    else if (terms.node(t).kind == Kind::kIte)
      choice = t;
  };
  if (n.kind == Kind::kSum) {
    for (size_t i = 0; i < n.args.size(); i++) {
      if (n.coefs[i] == 1) look(n.args[i]);
    }
  } else {
    look(address);
  }
  if (object != ~Term{0}) {
    const int64_t tag = terms.tag(object);
    const bool stale = tag == kPacketTag && object != world.data;
    out.push_back({condition, stale ? -1 : tag, object, address});
  } else if (choice != ~Term{0} && out.size() < 32) {
    const Node& c = terms.node(choice);
    const int known = path.decide(terms, c.args[0]);
    const Term rest = terms.sub(address, choice);
    if (known != 0)
      find_places(s, path, world, known == 1 ? condition : terms.both(condition, c.args[0]), terms.add(rest, c.args[1]),
                  out);
    if (known != 1)
      find_places(s, path, world, known == 0 ? condition : terms.both(condition, terms.negate(c.args[0])),
                  terms.add(rest, c.args[2]), out);
  } else {
    out.push_back({condition, -1, 0, address});
  }
}

// data, data_end and data_meta are full pointers; the rest of the context is bytes.
Term load_context(const Setting& s, const World& world, Term address, unsigned bytes) {
  Terms& terms = s.terms;
  const Term offset = terms.sub(address, s.context);
  if (!terms.is_const(offset)) throw GiveUp{"a context access at an offset that is not constant"};
  switch (terms.value(offset)) {
    case kCtxData:
      return world.data;
    case kCtxDataEnd:
      return terms.add(world.data, world.length);
    case kCtxDataMeta:
      return terms.sub(world.data, world.meta);
    default:
      return terms.zext(read(terms, s.context_bytes, address, bytes), 64);
  }
}

}  // namespace

std::vector<Place> places(const Setting& s, const Path& path, const World& world, Term address) {
  std::vector<Place> out;
  find_places(s, path, world, s.terms.truth(), address, out);
  return out;
}

Term inside(const Setting& s, const World& world, const Place& place, unsigned bytes) {
  Terms& terms = s.terms;
  if (place.tag < 0) return terms.falsity();
  const auto fits = [&](Term offset, Term size) {
    const Term end = terms.plus(offset, bytes);
    if (terms.upper_bound(offset) < (uint64_t{1} << 40)) return terms.ule(end, size);
    return terms.both(terms.ult(offset, size), terms.ule(end, size));
  };
  const Term offset = terms.sub(place.address, place.object);
  const auto number = [&](uint64_t v) { return terms.constant(64, v); };
  if (place.tag == kPacketTag) {
    if (terms.is_const(offset) && int64_t(terms.value(offset)) < 0) {  // the area before data
      const uint64_t before = 0 - terms.value(offset);
      const Term fits_before = terms.ule(number(before), world.meta);
      return before >= bytes ? fits_before : terms.both(fits_before, terms.ule(number(bytes - before), world.length));
    }
    return fits(offset, world.length);
  }
  if (place.tag == kStackTag && place.object == s.core_stack) return fits(offset, number(kStackBytes));
  if (place.tag == kContextTag) return fits(offset, number(kContextBytes));
  if (place.tag >= kValueTag) {
    const size_t map = size_t(place.tag - kValueTag);
    const MapSpec& spec = s.program.maps[map];
    const uint64_t stride = (uint64_t{spec.value_size} + 7) / 8 * 8;
    return fits(offset, number(place.object == s.first_values[map] ? stride * spec.max_entries : spec.value_size));
  }
  return terms.truth();  // memory from helpers: its size is the verifier's business
}

Term load(const Setting& s, const Path& path, const World& world, const Memory& stack, Term address, unsigned bytes) {
  Terms& terms = s.terms;
  Term value = ~Term{0};
  for (const Place& place : places(s, path, world, address)) {
    Term one = 0;
    if (place.tag < 0 || (place.tag >= kMapTag && place.tag < kValueTag)) {
      one = terms.fresh(64, "nowhere");
    } else if (place.tag == kContextTag) {
      one = load_context(s, world, place.address, bytes);
    } else {
      const Memory& memory = place.tag == kPacketTag  ? world.packet
                             : place.tag == kStackTag ? stack
                             : place.tag == kHeapTag  ? world.heap
                                                      : world.values[s.value_space(place.tag)];
      one = terms.zext(read(terms, memory, place.address, bytes), 64);
    }
    value = value == ~Term{0} ? one : terms.ite(place.condition, one, value);
  }
  return value;
}

void store(const Setting& s, const Path& path, World& world, Memory& stack, Term address, Term value) {
  Terms& terms = s.terms;
  for (const Place& place : places(s, path, world, address)) {
    if (place.tag < 0 || place.tag == kContextTag || (place.tag >= kMapTag && place.tag < kValueTag)) {
      if (place.tag >= 0) throw GiveUp{"a store where programs cannot store"};
      continue;  // null on a path where it cannot be; stale addresses are refused by inside()
    }
    Memory& memory = place.tag == kPacketTag  ? world.packet
                     : place.tag == kStackTag ? stack
                     : place.tag == kHeapTag  ? world.heap
                                              : world.values[s.value_space(place.tag)];
    memory = either(terms, place.condition, write(terms, memory, place.address, value), memory);
  }
}

}  // namespace xnic::compile::prove
