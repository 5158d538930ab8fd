// SPDX-License-Identifier: Apache-2.0
// Terms over bit-vectors of 1 to 64 bits (1: truth values), hash-consed and kept in a normal form, so that most
// equalities that a proof needs are equalities of ids and no solver is asked.
//
// Normal form. Sums are linear: constant + coefficients times terms. Constant shifts, masks, zero extensions and byte
// swaps become concatenations of slices; slices are pushed down to what they slice. Internet checksums become one node
// however they were folded. Disjoint parts put together by or,
// xor or add become a concatenation. Comparisons have the constant on the right. Conditional values with a constant
// arm give up to their context. Every rule is an equality of bit-vectors (term_test.cpp checks them by evaluation); two
// use an assumption besides: addresses made of pointer() plus small offsets do not wrap, and two objects are the same
// or do not overlap.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <string>
#include <unordered_map>
#include <vector>

namespace xnic::compile::prove {

using Term = uint32_t;

enum class Kind : uint8_t {
  kConst,   // value
  kSymbol,  // value: index of its name
  kByte,    // byte of memory `value` at args[0]; width 8
  kApply,   // function `value` of args
  kSum,     // value + sum of coefs[i] * args[i]
  kFold,    // width 16: the one's complement sum of value + coefs[i] * args[i], as natural numbers (term_fold.cpp)
  kMul,
  kUdiv,  // as SMT-LIB: the divisor is never zero where it matters
  kUrem,
  kSdiv,
  kSrem,
  kAnd,
  kOr,
  kXor,
  kNot,  // width 1
  kShl,  // amount less than the width
  kLshr,
  kAshr,
  kConcat,   // args from high to low
  kExtract,  // from bit `value` up, `width` bits
  kSext,
  kIte,
  kEq,
  kUlt,
  kSlt,
};

struct Node {
  Kind kind = Kind::kConst;
  uint8_t width = 64;
  uint64_t value = 0;
  std::vector<Term> args{};
  std::vector<uint64_t> coefs{};
  bool operator==(const Node&) const = default;
};

class Terms {
 public:
  Terms();
  const Node& node(Term t) const { return nodes_[t]; }
  unsigned width(Term t) const { return nodes_[t].width; }
  bool is_const(Term t) const { return nodes_[t].kind == Kind::kConst; }
  bool is_const(Term t, uint64_t value) const { return is_const(t) && nodes_[t].value == value; }
  uint64_t value(Term t) const { return nodes_[t].value; }
  Term truth() const { return true_; }
  Term falsity() const { return false_; }
  size_t size() const { return nodes_.size(); }

  Term constant(unsigned width, uint64_t value);
  Term fresh(unsigned width, const std::string& name);  // a new symbol
  // A new address, never null, of an object that overlaps no other: `tag` tells the caller's objects apart.
  Term pointer(const std::string& name, int64_t tag);
  // The same, as a function of args (width 64); objects of the same function may be the same.
  Term pointer_apply(const std::string& function, const std::vector<Term>& args, int64_t tag);
  Term apply(unsigned width, const std::string& function, const std::vector<Term>& args);
  Term byte(uint32_t memory, Term address);

  Term add(Term a, Term b) { return linear(a, 1, b, 1, 0); }
  Term plus(Term a, uint64_t c) { return linear(a, 1, a, 0, c); }
  Term sub(Term a, Term b) { return linear(a, 1, b, ~uint64_t{0}, 0); }
  Term mul(Term a, Term b);
  Term divide(Kind kind, Term a, Term b);      // kUdiv, kUrem, kSdiv, kSrem
  Term bitwise(Kind kind, Term a, Term b);     // kAnd, kOr, kXor
  Term shift(Kind kind, Term a, Term amount);  // amount: any width as a's, taken modulo a's width (a power of two)
  Term concat(std::vector<Term> parts);        // high to low
  Term extract(Term t, unsigned low, unsigned width);
  Term zext(Term t, unsigned width);
  Term sext(Term t, unsigned width);
  Term ite(Term c, Term a, Term b);
  Term eq(Term a, Term b);
  Term ult(Term a, Term b);
  Term slt(Term a, Term b);
  Term ule(Term a, Term b) { return negate(ult(b, a)); }
  Term negate(Term c);
  Term both(Term a, Term b) { return bitwise(Kind::kAnd, a, b); }
  Term either(Term a, Term b) { return bitwise(Kind::kOr, a, b); }

  // Greatest value that the term can have, from its form alone.
  uint64_t upper_bound(Term t) const;
  // kSymbol or kApply made by pointer*(): its tag. -1: no pointer.
  bool is_pointer(Term t) const { return tags_.contains(t); }
  int64_t tag(Term t) const { return tags_.at(t); }
  // Of a pointer: the top 16 bits of the address. Pointers of one function have one number.
  uint64_t object_number(Term t) const { return objects_.at(nodes_[t].value); }
  // What a solver had better take for an unknown as long as that will do: bytes, functions, products, quotients.
  bool is_opaque(Term t) const;
  const std::string& name(Term t) const { return names_[nodes_[t].value]; }
  bool has_choice(Term t) const { return choices_[t]; }
  unsigned height(Term t) const { return heights_[t]; }  // operations above one another
  // Rebuilds the term with `known` conditions replaced by what they are known to be, in it and in the conditional
  // values in it; `cache` belongs to one `known`.
  Term rewrite(Term t, const std::function<int(Term)>& known, std::unordered_map<Term, Term>& cache);
  // The same operation on other arguments, of the same widths.
  Term with_args(Term t, const std::vector<Term>& args);
  std::string to_text(Term t, int depth = 6) const;

 private:
  Term intern(Node node);
  void grow_index();
  uint64_t name_index(const std::string& name);
  Term tagged(Term t, int64_t tag);
  Term join_slices(Term high, Term low);
  Term find_joined(Term high, Term low);
  Term joined(Term high, Term low);
  Term linear(Term a, uint64_t ca, Term b, uint64_t cb, uint64_t constant);
  Term make_sum(unsigned width, uint64_t constant, std::vector<std::pair<Term, uint64_t>> parts);
  uint64_t operands(Kind kind, Term t, std::vector<Term>& out) const;
  Term chain(Kind kind, Term a, Term b);
  Term bitwise_parts(Kind kind, Term a, Term b);
  Term eq_const(Term a, uint64_t c);
  Term fold(Term t);
  void fold_parts(Term t, uint64_t weight, std::map<Term, uint64_t>& parts, uint64_t& constant);
  Term take_carried(std::map<Term, uint64_t>& parts, uint64_t& weight);
  bool wraps(const Node& sum) const;
  Term folded_sum(const std::vector<std::pair<Term, uint64_t>>& parts, uint64_t constant);
  bool near_object(Term t) const;
  Term common_object(Term a, Term b) const;
  bool apart(Term a, Term b) const;
  Term order(Kind kind, Term a, Term b);
  Term order_addresses(Term a, Term b);
  Term rebuild(const Node& n, const std::vector<Term>& args);
  uint64_t find_bound(Term t) const;
  uint64_t possible_ones(Term t) const;
  bool small(const std::vector<std::pair<Term, uint64_t>>& parts, uint64_t constant) const;

  std::deque<Node> nodes_;     // a reference to a node stays valid when others are made
  std::vector<bool> choices_;  // by term: has a conditional value in it
  std::vector<uint16_t> heights_;
  std::vector<uint32_t> hashes_;  // by term
  std::vector<Term> index_;       // open addressing by hash, at most half full; ~0: empty
  std::vector<std::string> names_;
  std::unordered_map<std::string, uint64_t> name_at_;
  std::unordered_map<Term, int64_t> tags_;
  std::unordered_map<uint64_t, uint64_t> objects_;  // by name: number
  mutable std::unordered_map<Term, uint64_t> bounds_;
  std::unordered_map<uint64_t, Term> joined_;  // by high << 32 | low: what join_slices() has found
  Term true_ = 0, false_ = 0;
};

constexpr uint64_t mask_of(unsigned width) { return width >= 64 ? ~uint64_t{0} : (uint64_t{1} << width) - 1; }

}  // namespace xnic::compile::prove
