// SPDX-License-Identifier: Apache-2.0
// Stack accesses as moves between registers and words of local memory.
//
// An access is cut into slices, each within one register and one word. Whole words are moves; parts are ld_field, which
// reaches the first eight words of a pointer only: beyond, the word goes through a register. Pointer 0 reaches 64
// bytes; farther accesses, and those through pointers into a caller's frame, set pointer 3, which takes three more
// cycles until it can be used.
#include <algorithm>

#include "compile/target/nfp/lowering.hpp"

namespace xnic::compile::target::nfp {

using namespace arch::ebpf;
using isa::AluOp;
using isa::Lm;
using isa::None;

namespace {

constexpr uint32_t kDirectBytes = 64;  // that pointer 0 reaches
constexpr uint32_t kWindowBytes = 32;  // that any operand's index reaches
constexpr unsigned kLastPartWord = 7;  // of ld_field
constexpr unsigned kNoWord = ~0u;

}  // namespace

bool Lowering::own_frame(Reg base) const {
  return base == kFramePointer || (fact(base).frame != kAnyFrame && fact(base).frame == fact(kFramePointer).frame);
}

std::vector<Lowering::Slice> Lowering::slices(unsigned gpr, uint32_t offset, unsigned bytes) {
  std::vector<Slice> result;
  for (unsigned done = 0; done < bytes;) {
    const unsigned at = offset + done;
    const unsigned count = std::min({bytes - done, 4 - at % 4, 4 - done % 4});
    result.push_back({gpr + done / 4, done % 4, at / 4, at % 4, count});
    done += count;
  }
  return result;
}

// Points local memory pointer 3 where pointer 0 does not reach. With `clears_upper` the caller's next instruction needs
// no pointer and fills one cycle of the delay.
Lowering::StackWindow Lowering::stack_window(Reg base, int16_t offset, unsigned bytes, bool clears_upper) {
  const RegFact& pointer = fact(base);
  const auto from_fp = static_cast<int64_t>(pointer.range.umin) + offset;
  StackWindow window{3, 0, false};
  if (!own_frame(base)) {
    const Operand distance = code_.wide_constant(static_cast<uint32_t>(int32_t{offset}), kScratchB);
    code_.alu(kScratchB, gpr_a(low(base)), AluOp::kAdd, distance);
    window = {3, static_cast<uint32_t>(from_fp & 3), true};
  } else {
    const auto at = static_cast<uint32_t>(int64_t{frames_[function_].depth} + from_fp);
    if (at + bytes <= kDirectBytes) return {0, at, false};
    const bool one_window = at / kWindowBytes == (at + bytes - 1) / kWindowBytes;
    const uint32_t unit = one_window ? kWindowBytes : 4;
    const Operand distance = code_.wide_constant(at / unit * unit, kScratchB);
    code_.alu(kScratchB, kStackBase, AluOp::kAdd, distance);
    window = {3, at % unit, !one_window};
  }
  code_.write_csr(isa::kCsrLmAddress[3], kScratchB);
  code_.nops(clears_upper ? kPointerDelay - 1 : kPointerDelay);
  return window;
}

void Lowering::load_stack(const Load& insn) {
  const unsigned size = bytes(insn.size);
  const bool clears = size < 8 && upper_needed(insn.dst);
  const StackWindow window = stack_window(insn.src, insn.offset, size, clears);
  if (clears) code_.load(gpr_both(high(insn.dst)), 0);
  const std::vector<Slice> parts = slices(low(insn.dst), window.offset, size);
  unsigned held = kNoWord;  // the word that the scratch register holds
  for (size_t i = 0; i < parts.size(); ++i) {
    const Slice& part = parts[i];
    const bool leaves = window.steps && i + 1 < parts.size() && parts[i + 1].word != part.word;
    Operand word = lm(window.pointer, window.steps ? 0 : part.word);
    if (part.bytes == 4) {
      if (leaves) word = Lm{3, 0, isa::Step::kIncrement};
      code_.move(gpr_both(part.gpr), word);
      continue;
    }
    if (!window.steps && part.word > kLastPartWord) {
      if (held != part.word) code_.move(kScratchA, word);
      held = part.word;
      word = kScratchA;
    }
    code_.bytes(gpr_both(part.gpr), part.gpr_byte, word, part.word_byte, part.bytes, part.gpr_byte == 0);
    if (leaves) code_.move(None{}, Lm{3, 0, isa::Step::kIncrement});
  }
}

void Lowering::store_stack(const Store& insn) {
  const unsigned size = bytes(insn.size);
  const StackWindow window = stack_window(insn.dst, insn.offset, size, false);
  const std::vector<Slice> parts = slices(low(std::get<Reg>(insn.src)), window.offset, size);
  unsigned held = kNoWord;
  for (size_t i = 0; i < parts.size(); ++i) {
    const Slice& part = parts[i];
    const bool last_of_word = i + 1 == parts.size() || parts[i + 1].word != part.word;
    const bool leaves = window.steps && last_of_word && i + 1 < parts.size();
    const Operand word = lm(window.pointer, window.steps ? 0 : part.word);
    if (part.bytes == 4) {
      code_.move(leaves ? Operand(Lm{3, 0, isa::Step::kIncrement}) : word, gpr_b(part.gpr));
      continue;
    }
    if (!window.steps && part.word > kLastPartWord) {
      if (held != part.word) code_.move(kScratchA, word);
      held = part.word;
      code_.bytes(kScratchA, part.word_byte, gpr_b(part.gpr), part.gpr_byte, part.bytes, false);
      if (last_of_word) code_.move(word, kScratchA);
      continue;
    }
    code_.bytes(word, part.word_byte, gpr_b(part.gpr), part.gpr_byte, part.bytes, false);
    if (leaves) code_.move(None{}, Lm{3, 0, isa::Step::kIncrement});
  }
}

}  // namespace xnic::compile::target::nfp
