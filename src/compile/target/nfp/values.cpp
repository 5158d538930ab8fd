// SPDX-License-Identifier: Apache-2.0
// Global value numbering over registers of both banks and what commands brought. Blocks are walked in order; where
// paths join, a register keeps its number when it is the same on all of them, and gets a new one at a loop's entrance.
//
// With the numbers, a word that computes what its destination already has goes away; an operand is read where its value
// was first, or is the constant itself; a word whose result is a constant becomes the load of it. Copies that nobody
// reads any more are dead, and dropped by the pass behind this one.
#include <algorithm>
#include <array>
#include <bit>
#include <map>

#include "compile/target/nfp/words.hpp"

namespace xnic::compile::target::nfp {

using isa::AluOp;
using isa::Bank;
using isa::ImmediateWidth;
using isa::ShiftKind;
using isa::ShiftOp;

namespace {

using Number = uint32_t;
constexpr size_t kRegisters = kPointer;   // of both banks, and incoming transfer registers
constexpr size_t kPlaces = kPointer + 4;  // and local memory pointers

// The values that have a number: constants, and results of the same operation on the same values.
class Numbers {
 public:
  Number fresh() {
    constants_.emplace_back();
    return static_cast<Number>(constants_.size() - 1);
  }
  Number constant(uint32_t value) {
    const auto [at, unknown] = by_constant_.try_emplace(value, 0);
    if (unknown) at->second = fresh(), constants_.back() = value;
    return at->second;
  }
  std::optional<uint32_t> value_of(Number number) const { return constants_[number]; }
  // `form` tells operations apart.
  Number result(uint64_t form, Number left, Number right) {
    const auto [at, unknown] = by_operation_.try_emplace({form, left, right}, 0);
    if (unknown) at->second = fresh();
    return at->second;
  }

 private:
  std::vector<std::optional<uint32_t>> constants_;
  std::map<uint32_t, Number> by_constant_;
  std::map<std::array<uint64_t, 3>, Number> by_operation_;
};

struct State {
  std::array<Number, kPlaces> at{};
  std::array<uint32_t, kPlaces> since{};  // when it got there
  uint32_t time = 0;
};

std::optional<size_t> place_of(const isa::Operand& operand) {
  if (const auto* gpr = std::get_if<isa::Gpr>(&operand)) return gpr->number + (gpr->bank == Bank::kB ? kBankB : 0);
  if (const auto* xfer = std::get_if<isa::Transfer>(&operand)) return kTransferIn + xfer->number;
  return std::nullopt;
}

class Walk {
 public:
  explicit Walk(Words& words) : words_(words), after_(live_after(words)), gone_(words.items.size()) {}

  void run() {
    const std::vector<Block> blocks = words_.blocks();
    std::vector<std::optional<State>> ends(blocks.size());
    for (size_t number = 0; number < blocks.size(); ++number) {
      const Block& block = blocks[number];
      enter(block, ends);
      end_ = std::min(block.end, words_.body_end());
      for (at_ = block.first; at_ < end_; ++at_) visit();
      for (size_t place = 0; place < kPlaces; ++place)
        if (block.end_clobbers[place]) put(place, numbers_.fresh());
      ends[number] = state_;
    }
    words_.remove(gone_);
  }

 private:
  void enter(const Block& block, const std::vector<std::optional<State>>& ends) {
    const uint32_t time = state_.time + 1;
    const bool known = !block.previous.empty() && std::all_of(block.previous.begin(), block.previous.end(),
                                                              [&](uint32_t p) { return ends[p].has_value(); });
    State state;
    state.time = time;
    for (size_t place = 0; place < kPlaces; ++place) {
      const Number first = known ? ends[block.previous[0]]->at[place] : 0;
      uint32_t since = 0;
      bool same = known;
      for (const uint32_t p : block.previous) {
        same = same && ends[p]->at[place] == first;
        if (same) since = std::max(since, ends[p]->since[place]);
      }
      state.at[place] = same ? first : numbers_.fresh();
      state.since[place] = same ? since : time;
    }
    state_ = state;
  }

  void put(size_t place, Number number) {
    if (state_.at[place] != number) state_.since[place] = state_.time;
    state_.at[place] = number;
  }

  Number number_of(const isa::Operand& operand) {
    if (const auto* value = std::get_if<isa::Immediate>(&operand)) return numbers_.constant(value->value);
    const auto place = place_of(operand);
    return place ? state_.at[*place] : numbers_.fresh();  // local memory
  }
  std::optional<uint32_t> known(const isa::Operand& operand) { return numbers_.value_of(number_of(operand)); }

  // --- Operands ---

  // Tries the word with another operand in the place of one.
  bool accept(isa::Operand& operand, const isa::Operand& other, const isa::Instruction& whole) {
    const isa::Operand before = operand;
    operand = other;
    if (isa::encode(whole)) return true;
    operand = before;
    return false;
  }

  // Reads the operand where its value is longest, or as the constant that it is.
  void better(isa::Operand& operand, isa::Instruction& whole, bool registers_only) {
    const auto* gpr = std::get_if<isa::Gpr>(&operand);
    if (gpr == nullptr) return;
    const Bank bank = gpr->bank;
    const size_t here = *place_of(operand);
    const Number number = state_.at[here];
    const auto value = numbers_.value_of(number);
    if (!registers_only && value && *value <= 0xff && accept(operand, isa::imm(*value), whole)) return;
    std::vector<size_t> places;
    const size_t first = bank == Bank::kB ? kBankB : 0;
    for (size_t i = first; i < first + 32; ++i)
      if (state_.at[i] == number) places.push_back(i);
    for (size_t i = kTransferIn; i < kRegisters && !registers_only; ++i)
      if (state_.at[i] == number) places.push_back(i);
    std::sort(places.begin(), places.end(),
              [&](size_t a, size_t b) { return std::pair(state_.since[a], a) < std::pair(state_.since[b], b); });
    for (const size_t place : places) {
      if (place == here || state_.since[place] >= state_.since[here]) return;
      const isa::Operand other = place >= kTransferIn ? isa::transfer(static_cast<unsigned>(place - kTransferIn))
                                                      : isa::Operand(isa::Gpr{bank, static_cast<uint8_t>(place % 32)});
      if (accept(operand, other, whole)) return;
    }
  }

  void better_operands(isa::Instruction& insn) {
    if (auto* alu = std::get_if<isa::Alu>(&insn)) {
      if (isa::reads_left(alu->op)) better(alu->left, insn, false);
      better(alu->right, insn, false);
    } else if (auto* shift = std::get_if<isa::Shift>(&insn)) {
      if (isa::reads_left(shift->op, shift->kind)) better(shift->left, insn, false);
      better(shift->right, insn, false);
    } else if (auto* field = std::get_if<isa::LoadField>(&insn)) {
      better(field->src, insn, false);
    } else if (auto* product = std::get_if<isa::Multiply>(&insn)) {
      better(product->left, insn, true);
      better(product->right, insn, true);
    } else if (auto* command = std::get_if<isa::Command>(&insn)) {
      better(command->left, insn, true);
      better(command->right, insn, true);
    } else if (auto* write = std::get_if<isa::CsrWrite>(&insn)) {
      better(write->src, insn, true);
    } else if (auto* bit = std::get_if<isa::BranchBit>(&insn)) {
      better(bit->src, insn, true);
    }
  }

  // --- Results ---

  std::optional<uint32_t> folded(AluOp op, uint32_t left, uint32_t right) const {
    switch (op) {
      case AluOp::kAdd:
        return left + right;
      case AluOp::kSub:
        return left - right;
      case AluOp::kAnd:
        return left & right;
      case AluOp::kOr:
        return left | right;
      case AluOp::kXor:
        return left ^ right;
      case AluOp::kNot:
        return ~right;
      default:
        return std::nullopt;
    }
  }

  Number result(const isa::Alu& insn) {
    if (insn.op == AluOp::kMove) return number_of(insn.right);
    if (insn.op == AluOp::kAddCarry || insn.op == AluOp::kSubCarry) return numbers_.fresh();
    const Number right = number_of(insn.right);
    const Number left = isa::reads_left(insn.op) ? number_of(insn.left) : right;
    const auto a = numbers_.value_of(left), b = numbers_.value_of(right);
    if (a && b)
      if (const auto value = folded(insn.op, *a, *b)) return numbers_.constant(*value);
    const bool symmetric =
        insn.op == AluOp::kAdd || insn.op == AluOp::kAnd || insn.op == AluOp::kOr || insn.op == AluOp::kXor;
    const bool keeps = insn.op == AluOp::kAdd || insn.op == AluOp::kOr || insn.op == AluOp::kXor;
    if (b == 0u && (keeps || insn.op == AluOp::kSub)) return left;
    if (a == 0u && keeps) return right;
    if (insn.op == AluOp::kAnd && (a == 0u || b == 0u)) return numbers_.constant(0);
    if ((insn.op == AluOp::kAnd || insn.op == AluOp::kOr) && left == right) return left;
    if ((insn.op == AluOp::kXor || insn.op == AluOp::kSub) && left == right) return numbers_.constant(0);
    const uint64_t form = 1 + static_cast<uint64_t>(insn.op);
    return symmetric ? numbers_.result(form, std::min(left, right), std::max(left, right))
                     : numbers_.result(form, left, right);
  }

  Number result(const isa::Shift& insn) {
    const bool indirect = insn.kind != ShiftKind::kRotate && insn.amount == 0;
    if (indirect || insn.op != ShiftOp::kMove) return numbers_.fresh();
    const Number right = number_of(insn.right);
    const bool two = insn.kind == ShiftKind::kDoubleRight;
    const Number left = two ? number_of(insn.left) : right;
    const auto b = numbers_.value_of(right);
    if (b && !two) {
      if (insn.kind == ShiftKind::kRotate) return numbers_.constant(std::rotr(*b, insn.amount));
      return numbers_.constant(insn.kind == ShiftKind::kLeft ? *b << insn.amount : *b >> insn.amount);
    }
    return numbers_.result(0x100 | static_cast<uint64_t>(insn.kind) << 16 | uint64_t{insn.amount} << 24, left, right);
  }

  Number result(const isa::LoadField& insn) {
    if (insn.kind != ShiftKind::kRotate && insn.amount == 0) return numbers_.fresh();
    isa::Operand kept = insn.dst;  // in both banks: bank A is read
    if (auto* gpr = std::get_if<isa::Gpr>(&kept); gpr != nullptr && gpr->bank == Bank::kBoth) gpr->bank = Bank::kA;
    const Number source = number_of(insn.src), old = insn.clear ? numbers_.constant(0) : number_of(kept);
    const uint64_t form =
        0x200 | uint64_t{insn.mask} << 12 | static_cast<uint64_t>(insn.kind) << 16 | uint64_t{insn.amount} << 24;
    return numbers_.result(form, source, old);
  }

  Number result(const isa::LoadImmediate& insn) {
    const uint32_t shifted = uint32_t{insn.value} << 8 * insn.shift;
    if (insn.width == ImmediateWidth::kAll) return numbers_.constant(insn.invert ? ~shifted : shifted);
    const auto before = known(insn.dst);
    if (!before || insn.width != ImmediateWidth::kWord || insn.shift != 2 || insn.invert) return numbers_.fresh();
    return numbers_.constant((*before & 0xffff) | shifted);
  }

  // The number of what the word writes to its destination.
  Number result_of(const isa::Instruction& insn) {
    if (words_.items[at_].relocation != isa::Relocation::kNone) return numbers_.fresh();
    if (at_ != 0 && std::holds_alternative<isa::CsrRead>(words_.items[at_ - 1].insn)) return numbers_.fresh();
    if (const auto* alu = std::get_if<isa::Alu>(&insn)) return result(*alu);
    if (const auto* shift = std::get_if<isa::Shift>(&insn)) return result(*shift);
    if (const auto* field = std::get_if<isa::LoadField>(&insn)) return result(*field);
    if (const auto* value = std::get_if<isa::LoadImmediate>(&insn)) return result(*value);
    return numbers_.fresh();
  }

  static Resources conditions() { return Resources().set(kFlags).set(kCarry).set(kLast).set(kAmount); }

  // Every register that the word writes has the value.
  bool already(const Effects& effects, Number number) const {
    bool any = false;
    for (size_t place = 0; place < kTransferIn; ++place) {
      if (!effects.defs[place]) continue;
      if (state_.at[place] != number) return false;
      any = true;
    }
    return any;
  }

  // A constant of two words that its register already has.
  bool skip_long_constant() {
    const auto* low = std::get_if<isa::LoadImmediate>(&words_.items[at_].insn);
    if (low == nullptr || at_ + 1 >= end_ || low->width != ImmediateWidth::kAll || low->shift != 0 || low->invert)
      return false;
    const auto* high = std::get_if<isa::LoadImmediate>(&words_.items[at_ + 1].insn);
    if (high == nullptr || high->dst != low->dst || high->width != ImmediateWidth::kWord || high->shift != 2)
      return false;
    if (words_.items[at_].relocation != isa::Relocation::kNone || words_.bound(at_)) return false;
    const Number number = numbers_.constant(uint32_t{low->value} | uint32_t{high->value} << 16);
    const Effects effects = effects_of(*low);
    if (effects.pinned || !already(effects, number) || (after_[at_ + 1] & conditions() & effects.defs).any())
      return false;
    gone_[at_] = gone_[at_ + 1] = true;
    ++at_;
    return true;
  }

  // A local memory pointer that points there already, and the wait for it.
  bool skip_pointer() {
    const auto* write = std::get_if<isa::CsrWrite>(&words_.items[at_].insn);
    if (write == nullptr) return false;
    const Effects effects = effects_of(*write);
    const Number number = number_of(write->src);
    for (size_t place = kRegisters; place < kPlaces; ++place) {
      if (!effects.defs[place]) continue;
      if (state_.at[place] != number) return put(place, number), false;
      gone_[at_] = true;
      for (uint32_t nop = at_ + 1; nop < end_ && isa::is_nop(words_.items[nop].insn); ++nop) gone_[nop] = true;
      return true;
    }
    return false;
  }

  // A shift of two words, the upper one zero, reads one.
  void simplify(isa::Instruction& insn) {
    auto* shift = std::get_if<isa::Shift>(&insn);
    if (shift == nullptr || shift->kind != ShiftKind::kDoubleRight || shift->amount == 0) return;
    if (known(shift->left) != 0u) return;
    isa::Shift one = *shift;
    one.kind = ShiftKind::kRight, one.left = isa::None{};
    if (isa::encode(one)) insn = one;
  }

  // The word that loads a constant in place of one that computes it, when one word does.
  void load_instead(isa::Instruction& insn, Number number, const Effects& effects) {
    const auto value = numbers_.value_of(number);
    const auto* alu = std::get_if<isa::Alu>(&insn);
    const auto* shift = std::get_if<isa::Shift>(&insn);
    if (!value || effects.pinned || (alu == nullptr && shift == nullptr) || *value > 0xffff) return;
    const isa::Operand& dst = alu != nullptr ? alu->dst : shift->dst;
    if (std::holds_alternative<isa::Gpr>(dst) && (after_[at_] & conditions()).none())
      insn = isa::LoadImmediate{dst, static_cast<uint16_t>(*value)};
  }

  void visit() {
    ++state_.time;
    if (skip_long_constant()) return;
    isa::Instruction& insn = words_.items[at_].insn;
    if (isa::is_nop(insn)) return;
    if (words_.items[at_].relocation == isa::Relocation::kNone) {
      better_operands(insn);
      simplify(insn);
    }
    if (skip_pointer()) return;
    const Number number = result_of(insn);
    Effects effects = effects_of(insn);
    const bool idle = (after_[at_] & conditions() & effects.defs).none();
    if (!effects.pinned && idle && !words_.bound(at_) && already(effects, number)) {
      gone_[at_] = true;
      return;
    }
    load_instead(insn, number, effects);
    for (size_t place = 0; place < kTransferIn; ++place)
      if (effects.defs[place]) put(place, number);
    const bool set = words_.sets_pointer(at_);  // numbered already
    for (size_t place = kTransferIn; place < (set ? kRegisters : kPlaces); ++place)
      if (effects.defs[place]) put(place, numbers_.fresh());
  }

  Words& words_;
  const std::vector<Resources> after_;
  std::vector<bool> gone_;
  Numbers numbers_;
  State state_;
  uint32_t at_ = 0, end_ = 0;
};

}  // namespace

void reuse_values(Words& words) { Walk(words).run(); }

}  // namespace xnic::compile::target::nfp
