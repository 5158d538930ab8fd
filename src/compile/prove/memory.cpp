// SPDX-License-Identifier: Apache-2.0
// Symbolic memory. Invariant: a kWritten node is never directly above another of the same base.
#include "compile/prove/memory.hpp"

#include <atomic>

#include "base/check.hpp"

namespace xnic::compile::prove {

namespace {

using Form = MemoryNode::Form;

Memory written(Memory under, Term base, std::map<uint64_t, Term> bytes) {
  auto node = std::make_shared<MemoryNode>(MemoryNode{Form::kWritten});
  node->under = std::move(under);
  node->base = base;
  node->bytes = std::move(bytes);
  return node;
}

Term read_byte(Terms& terms, const Memory& memory, Term base, uint64_t offset) {
  switch (memory->form) {
    case Form::kZero:
      return terms.constant(8, 0);
    case Form::kUnknown:
      return terms.byte(memory->symbol, terms.plus(base, offset));
    case Form::kEither:
      return terms.ite(memory->condition, read_byte(terms, memory->under, base, offset),
                       read_byte(terms, memory->other, base, offset));
    case Form::kWritten:
      break;
  }
  if (memory->base == base) {
    auto it = memory->bytes.find(offset);
    return it != memory->bytes.end() ? it->second : read_byte(terms, memory->under, base, offset);
  }
  Term value = read_byte(terms, memory->under, base, offset);
  const Term address = terms.plus(base, offset);
  for (const auto& [at, byte] : memory->bytes)
    value = terms.ite(terms.eq(address, terms.plus(memory->base, at)), byte, value);
  return value;
}

void collect(const Memory& memory, Extent& out, std::set<const MemoryNode*>& seen) {
  if (!seen.insert(memory.get()).second) return;
  if (memory->form == Form::kWritten) {
    for (const auto& [at, byte] : memory->bytes) out.places.emplace(memory->base, at);
    collect(memory->under, out, seen);
  } else if (memory->form == Form::kEither) {
    collect(memory->under, out, seen);
    collect(memory->other, out, seen);
  } else {
    out.beginnings.insert(memory);
  }
}

}  // namespace

Extent extent(const Memory& memory) {
  Extent out;
  std::set<const MemoryNode*> seen;
  collect(memory, out, seen);
  return out;
}

Memory zero_memory() {
  static const Memory zero = std::make_shared<MemoryNode>(MemoryNode{Form::kZero});
  return zero;
}

Memory unknown_memory() {
  static std::atomic<uint32_t> count = 0;
  auto node = std::make_shared<MemoryNode>(MemoryNode{Form::kUnknown});
  node->symbol = ++count;
  return node;
}

std::pair<Term, uint64_t> split_address(Terms& terms, Term address) {
  const Node& n = terms.node(address);
  if (n.kind == Kind::kConst) return {terms.constant(64, 0), n.value};
  if (n.kind != Kind::kSum || n.value == 0) return {address, 0};
  const uint64_t constant = n.value;
  return {terms.plus(address, 0 - constant), constant};
}

Term read(Terms& terms, const Memory& memory, Term address, unsigned bytes) {
  const auto [base, offset] = split_address(terms, address);
  std::vector<Term> parts;
  for (unsigned i = bytes; i-- > 0;) parts.push_back(read_byte(terms, memory, base, offset + i));
  return terms.concat(std::move(parts));
}

Memory write(Terms& terms, const Memory& memory, Term address, Term value) {
  const auto [base, offset] = split_address(terms, address);
  const bool same_base = memory->form == Form::kWritten && memory->base == base;
  std::map<uint64_t, Term> bytes;
  if (same_base) bytes = memory->bytes;
  for (unsigned i = 0; i < terms.width(value) / 8; i++) bytes[offset + i] = terms.extract(value, 8 * i, 8);
  return written(same_base ? memory->under : memory, base, std::move(bytes));
}

Memory either(Terms& terms, Term condition, const Memory& a, const Memory& b) {
  if (a == b) return a;
  if (terms.is_const(condition)) return terms.value(condition) ? a : b;
  // One group over the same ground is joined byte by byte.
  const MemoryNode* wa = a->form == Form::kWritten ? a.get() : nullptr;
  const MemoryNode* wb = b->form == Form::kWritten ? b.get() : nullptr;
  const Memory under = wa && (wa->under == b || (wb && wa->under == wb->under)) ? wa->under
                       : wb && wb->under == a                                   ? a
                                                                                : nullptr;
  if (under) {
    const bool a_writes = wa && wa->under == under, b_writes = wb && wb->under == under;
    const Term base = a_writes ? wa->base : wb->base;
    if (!(a_writes && b_writes && wa->base != wb->base)) {
      std::map<uint64_t, Term> bytes;
      if (a_writes) bytes.insert(wa->bytes.begin(), wa->bytes.end());
      if (b_writes) bytes.insert(wb->bytes.begin(), wb->bytes.end());
      for (auto& [at, byte] : bytes)
        byte = terms.ite(condition, read_byte(terms, a, base, at), read_byte(terms, b, base, at));
      return written(under, base, std::move(bytes));
    }
  }
  auto node = std::make_shared<MemoryNode>(MemoryNode{Form::kEither});
  node->under = a;
  node->other = b;
  node->condition = condition;
  return node;
}

Term same(Terms& terms, const Memory& a, const Memory& b) {
  if (a == b) return terms.truth();
  Extent x = extent(a);
  const Extent y = extent(b);
  if (x.beginnings.size() != 1 || x.beginnings != y.beginnings) {
    // Joined from different beginnings: only the same choice between them is understood.
    if (a->form == Form::kEither && b->form == Form::kEither && a->condition == b->condition)
      return terms.both(same(terms, a->under, b->under), same(terms, a->other, b->other));
    return terms.falsity();
  }
  x.places.insert(y.places.begin(), y.places.end());
  Term all = terms.truth();
  for (const auto& [base, at] : x.places) {
    const Term one = read_byte(terms, a, base, at), other = read_byte(terms, b, base, at);
    if (one != other) all = terms.both(all, terms.eq(one, other));
  }
  return all;
}

Memory map_terms(const Memory& memory, const std::function<Term(Term)>& change) {
  if (memory->form == Form::kZero || memory->form == Form::kUnknown) return memory;
  auto node = std::make_shared<MemoryNode>(*memory);
  bool changed = false;
  node->under = map_terms(memory->under, change);
  changed |= node->under != memory->under;
  if (memory->form == Form::kEither) {
    node->other = map_terms(memory->other, change);
    node->condition = change(memory->condition);
    changed |= node->other != memory->other || node->condition != memory->condition;
  } else {
    for (auto& [at, byte] : node->bytes) {
      const Term now = change(byte);
      changed |= now != byte;
      byte = now;
    }
  }
  if (!changed) return memory;
  return node;
}

}  // namespace xnic::compile::prove
