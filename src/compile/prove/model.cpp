// SPDX-License-Identifier: Apache-2.0
// Models: evaluation of terms, straight from the meaning of each kind of node.
#include "compile/prove/model.hpp"

namespace xnic::compile::prove {

namespace {
uint64_t sign(uint64_t v, unsigned width) { return uint64_t(int64_t(v << (64 - width)) >> (64 - width)); }
}  // namespace

Model Model::changed() const {
  Model out(seed_);
  out.set_ = set_;
  return out;
}

Model::Key Model::key(const Terms& terms, Term t) {
  const Node& n = terms.node(t);
  Key key = {uint64_t(n.kind) << 8 | n.width, n.value};
  for (Term arg : n.args) key.push_back(value(terms, arg));
  return key;
}

void Model::set(const Terms& terms, Term unknown, uint64_t value) {
  set_[key(terms, unknown)] = value;
  done_.clear();
}

uint64_t Model::unknown(const Terms& terms, Term t) {
  const Key at = key(terms, t);
  if (auto it = set_.find(at); it != set_.end()) return it->second;
  uint64_t h = seed_;
  for (uint64_t part : at) h = (h ^ part) * 0x9e3779b97f4a7c15ull, h ^= h >> 29;
  return terms.is_pointer(t) ? terms.object_number(t) << 48 | (h & mask_of(28)) << 20 : h;
}

uint64_t Model::value(const Terms& terms, Term t) {
  if (auto it = done_.find(t); it != done_.end()) return it->second;
  const uint64_t v = meaning(terms, t) & mask_of(terms.width(t));
  done_[t] = v;
  return v;
}

uint64_t Model::meaning(const Terms& terms, Term t) {
  const Node& n = terms.node(t);
  const auto a = [&](size_t i) { return value(terms, n.args[i]); };
  const auto signed_a = [&](size_t i) { return int64_t(sign(a(i), terms.width(n.args[i]))); };
  switch (n.kind) {
    case Kind::kConst:
      return n.value;
    case Kind::kSymbol:
    case Kind::kByte:
    case Kind::kApply:
      return unknown(terms, t);
    case Kind::kSum: {
      uint64_t sum = n.value;
      for (size_t i = 0; i < n.args.size(); i++) sum += n.coefs[i] * a(i);
      return sum;
    }
    case Kind::kFold: {
      uint64_t sum = n.value;
      for (size_t i = 0; i < n.args.size(); i++) sum += n.coefs[i] * a(i);
      return sum == 0 ? 0 : (sum - 1) % 0xffff + 1;
    }
    case Kind::kMul:
      return a(0) * a(1);
    case Kind::kUdiv:
      return a(1) ? a(0) / a(1) : ~uint64_t{0};
    case Kind::kUrem:
      return a(1) ? a(0) % a(1) : a(0);
    case Kind::kSdiv:
      return a(1) == 0 ? 0 : signed_a(1) == -1 ? 0 - a(0) : uint64_t(signed_a(0) / signed_a(1));
    case Kind::kSrem:
      return a(1) == 0 ? a(0) : signed_a(1) == -1 ? 0 : uint64_t(signed_a(0) % signed_a(1));
    case Kind::kAnd:
      return n.width == 1 ? a(0) && a(1) : a(0) & a(1);
    case Kind::kOr:
      return n.width == 1 ? a(0) || a(1) : a(0) | a(1);
    case Kind::kXor:
      return a(0) ^ a(1);
    case Kind::kNot:
      return !a(0);
    case Kind::kShl:
      return a(0) << a(1);
    case Kind::kLshr:
      return a(0) >> a(1);
    case Kind::kAshr:
      return uint64_t(signed_a(0) >> a(1));
    case Kind::kConcat: {
      uint64_t v = 0;
      for (size_t i = 0; i < n.args.size(); i++) v = (v << (terms.width(n.args[i]) & 63)) | a(i);
      return v;
    }
    case Kind::kExtract:
      return a(0) >> n.value;
    case Kind::kSext:
      return uint64_t(signed_a(0));
    case Kind::kIte:
      return a(0) ? a(1) : a(2);
    case Kind::kEq:
      return a(0) == a(1);
    case Kind::kUlt:
      return a(0) < a(1);
    case Kind::kSlt:
      return signed_a(0) < signed_a(1);
  }
  return 0;
}

}  // namespace xnic::compile::prove
