// SPDX-License-Identifier: Apache-2.0
// The numeric domain of the verifier: what is known of a 64-bit register as bits (Tnum), as signed and unsigned
// intervals of the whole and of the low half (Range, arch/ebpf/facts.hpp).
//
// Every function is sound: the result contains all values that the operation gives for members of its arguments, with
// the semantics of RFC 9669 (division by zero gives 0, shift amounts are masked, 32-bit results are zero-extended).
// Results are synchronised (see sync), and at least as precise as Linux 6.18's kernel/bpf/verifier.c and tnum.c.
#pragma once

#include <cstdint>
#include <optional>

#include "arch/ebpf/facts.hpp"
#include "arch/ebpf/instruction.hpp"

namespace xnic::compile::verify {

using arch::ebpf::BinaryOp;
using arch::ebpf::JumpOp;
using arch::ebpf::Range;
using arch::ebpf::SwapKind;
using arch::ebpf::Tnum;
using arch::ebpf::Width;

// --- Tristate numbers (Vishwanathan, Shachnai, Narayana, Nagarakatte: CGO'22). Shift amounts are 0..63. ---
Tnum tnum_add(Tnum a, Tnum b);
Tnum tnum_sub(Tnum a, Tnum b);
Tnum tnum_mul(Tnum a, Tnum b);
Tnum tnum_and(Tnum a, Tnum b);
Tnum tnum_or(Tnum a, Tnum b);
Tnum tnum_xor(Tnum a, Tnum b);
Tnum tnum_shl(Tnum a, unsigned amount);
Tnum tnum_shr(Tnum a, unsigned amount);
Tnum tnum_sar(Tnum a, unsigned amount);
// Both facts hold. Where known bits contradict each other the result is meaningless: ask tnum_disjoint first.
Tnum tnum_intersect(Tnum a, Tnum b);
bool tnum_disjoint(Tnum a, Tnum b);
// The smallest tnum that contains both.
Tnum tnum_union(Tnum a, Tnum b);
// The low `bits` bits (1..64), the rest known zero; and their sign-extension to 64 bits.
Tnum tnum_low(Tnum a, unsigned bits);
Tnum tnum_sign_extend(Tnum a, unsigned bits);
// The smallest tnum that contains [low, high]. Pre: low <= high.
Tnum tnum_range(uint64_t low, uint64_t high);
// Every member of `small` is a member of `big`.
bool tnum_subsumes(Tnum big, Tnum small);
// Smallest member >= x, largest member <= x.
std::optional<uint64_t> tnum_at_least(Tnum a, uint64_t x);
std::optional<uint64_t> tnum_at_most(Tnum a, uint64_t x);

// --- Ranges ---
// Deduces the parts of the range from each other until nothing changes. Returns false when the range is found to be
// empty; its fields are then meaningless.
bool sync(Range& range);
Range widen_unknown();
// The values x with low <= x <= high, unsigned / signed. Pre: low <= high.
Range unsigned_range(uint64_t low, uint64_t high);
Range signed_range(int64_t low, int64_t high);
Range join(const Range& a, const Range& b);
// Each part of `small` lies inside that part of `big`; false does not mean that a member lies outside.
bool subsumes(const Range& big, const Range& small);

// dst op src.
Range apply(BinaryOp op, Width width, const Range& dst, const Range& src);
Range negate(Width width, const Range& range);
// Byte order of the low `bits` (16, 32, 64), the rest zero, on a little-endian machine.
Range swap(SwapKind kind, unsigned bits, const Range& range);
// The low `bits` (8, 16, 32) sign-extended to `width`.
Range sign_extend(Width width, unsigned bits, const Range& range);
// The low `bytes` (1, 2, 4, 8), the rest zero: what a store and a load of that size leave of a value.
Range zero_extend_bytes(const Range& range, unsigned bytes);
// Any value that a load of that many bytes can give.
Range loaded(unsigned bytes, bool sign);

// Narrows both to the values for which the comparison is true (taken) or false (not taken). Returns false when there
// are none; the ranges are then meaningless.
bool refine(JumpOp op, Width width, Range& dst, Range& src, bool taken);
// The outcome if it is the same for all members.
std::optional<bool> outcome(JumpOp op, Width width, const Range& dst, const Range& src);

}  // namespace xnic::compile::verify
