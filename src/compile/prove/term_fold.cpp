// SPDX-License-Identifier: Apache-2.0
// Terms: Internet checksums (RFC 1071). fold(x) is x for 0, else the number in 1..65535 that is x modulo 65535.
//
// Adding the upper bits of x to its low 16, x -> (x & 0xffff) + (x >> 16), changes neither x modulo 65535 nor whether x
// is 0, and for x below 0x1ffff it gives at most 0xffff, that is fold(x). So where the last such step stands, the sum
// is made anew from what was summed: bytes with weights modulo 65535. However a program groups, carries, orders or
// swaps the bytes of a checksum, the node is the same.
#include <algorithm>
#include <cstddef>
#include <map>

#include "base/check.hpp"
#include "compile/prove/term.hpp"

namespace xnic::compile::prove {

namespace {
constexpr uint64_t kOnes = 0xffff;
uint64_t fold_number(unsigned __int128 v) { return v == 0 ? 0 : uint64_t((v - 1) % kOnes) + 1; }
}  // namespace

// Adds weight * t, as natural numbers, to the bytes in `parts` and to `constant`.
void Terms::fold_parts(Term t, uint64_t weight, std::map<Term, uint64_t>& parts, uint64_t& constant) {
  const uint64_t most = upper_bound(t);
  if (most == 0) return;
  // No bits that are always zero, so that equal bytes are equal terms.
  if (const unsigned bits = 64 - unsigned(__builtin_clzll(most)); bits < width(t)) t = extract(t, 0, bits);
  const Node& n = nodes_[t];
  const auto into = [&](Term arg, unsigned __int128 by) { fold_parts(arg, fold_number(weight * by), parts, constant); };
  if (n.kind == Kind::kConst) {
    constant = fold_number(constant + (unsigned __int128)(weight)*n.value);
  } else if (n.kind == Kind::kConcat) {
    unsigned at = n.width;
    for (Term arg : n.args) at -= width(arg), into(arg, uint64_t{1} << at % 16);
  } else if (n.kind == Kind::kFold || (n.kind == Kind::kSum && !wraps(n))) {
    for (size_t i = 0; i < n.args.size(); i++) into(n.args[i], n.coefs[i]);
    constant = fold_number(constant + (unsigned __int128)(weight)*n.value);
  } else if (n.width > 8) {
    for (unsigned at = 0; at < n.width; at += 8)
      into(extract(t, at, std::min(8u, n.width - at)), uint64_t{1} << at % 16);
  } else {
    uint64_t& mine = parts.try_emplace(t, 0).first->second;
    mine = fold_number(mine + weight);
  }
}

bool Terms::wraps(const Node& sum) const {
  unsigned __int128 most = sum.value;
  for (size_t i = 0; i < sum.args.size(); i++) {
    most += (unsigned __int128)(sum.coefs[i]) * upper_bound(sum.args[i]);
    if (most > mask_of(sum.width)) return true;
  }
  return false;
}

// The number all of whose bytes are among the parts, weighted as a carried sum does; ~0 if there is none. They are
// taken out, and `weight` is the number's.
Term Terms::take_carried(std::map<Term, uint64_t>& parts, uint64_t& weight) {
  for (const auto& [high, by] : parts) {
    const Node& n = nodes_[high];
    if (n.kind != Kind::kExtract || n.value != 16) continue;
    const Term whole = n.args[0], half = extract(whole, 0, 16);
    const unsigned bits = 64 - unsigned(__builtin_clzll(upper_bound(whole)));
    std::vector<Term> bytes = {extract(half, 0, 8), extract(half, 8, 8)};
    for (unsigned at = 16; at < bits; at += 8) bytes.push_back(extract(whole, at, std::min(8u, bits - at)));
    bool all = true;
    for (size_t i = 0; i < bytes.size() && all; i++) {
      const auto it = parts.find(bytes[i]);
      all = it != parts.end() && it->second == fold_number((unsigned __int128)(by) << 8 * i % 16);
    }
    if (!all) continue;
    weight = by;
    for (Term byte : bytes) parts.erase(byte);
    return whole;
  }
  return ~Term{0};
}

Term Terms::fold(Term t) {
  std::map<Term, uint64_t> parts;
  uint64_t constant = 0, weight = 1;
  for (Term whole = t; whole != ~Term{0}; whole = take_carried(parts, weight)) {
    fold_parts(whole, weight, parts, constant);
  }
  Node n{Kind::kFold, 16, constant};
  unsigned __int128 most = constant;
  for (const auto& [byte, by] : parts) {
    n.args.push_back(byte), n.coefs.push_back(by);
    most += (unsigned __int128)(by)*upper_bound(byte);
  }
  if (most > kOnes) return intern(std::move(n));
  Term sum = this->constant(16, constant);
  for (size_t i = 0; i < n.args.size(); i++) sum = linear(sum, 1, zext(n.args[i], 16), n.coefs[i], 0);
  return sum;
}

// The sum of 16 bits as a fold, if its last step is one; else ~0.
Term Terms::folded_sum(const std::vector<std::pair<Term, uint64_t>>& parts, uint64_t constant) {
  for (size_t i = 0; i < parts.size(); i++) {
    const Node& high = nodes_[parts[i].first];
    if (parts[i].second != 1 || high.kind != Kind::kExtract || high.value != 16) continue;
    const Term whole = high.args[0];
    if (upper_bound(whole) > 2 * kOnes) continue;
    std::vector<std::pair<Term, uint64_t>> rest = parts;
    rest.erase(rest.begin() + std::ptrdiff_t(i));
    if (extract(whole, 0, 16) == make_sum(16, constant, std::move(rest))) return fold(whole);
  }
  return ~Term{0};
}

}  // namespace xnic::compile::prove
