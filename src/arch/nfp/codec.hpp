// SPDX-License-Identifier: Apache-2.0
// NFP instructions to words of the instruction store and back. A word has 45 bits of instruction (0..44) and 7 of error
// correction (45..51).
#pragma once

#include <cstdint>

#include "arch/nfp/instruction.hpp"
#include "base/result.hpp"

namespace xnic::arch::nfp {

inline constexpr unsigned kInstructionBits = 45;
inline constexpr unsigned kEccBits = 7;

// The instruction's bits, without error correction. Errors: kBadInput with what the form cannot hold (index, immediate,
// two operands of one read port, …).
base::Result<uint64_t> encode(const Instruction& insn);
// The one instruction whose encode() is `bits`. Errors: kUnsupported for words of other forms, or that another
// assembler would have written in another way.
base::Result<Instruction> decode(uint64_t bits);

// The check bits that belong to `bits`, each the parity of the bits that one polynomial selects.
uint64_t ecc_of(uint64_t bits);
// The word as the store holds it.
inline uint64_t with_ecc(uint64_t bits) { return bits | ecc_of(bits) << kInstructionBits; }
// The instruction's bits of a word of the store. Errors: kBadInput when the check bits do not belong to it.
base::Result<uint64_t> without_ecc(uint64_t word);

}  // namespace xnic::arch::nfp
