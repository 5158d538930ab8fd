// SPDX-License-Identifier: Apache-2.0
// The execution unit: one instruction a cycle, branches with their deferred instructions, and the checks that the
// header names.
#include "exec/sim/nfp/thread.hpp"

#include <fmt/format.h>

#include <bit>

#include "arch/nfp/text.hpp"
#include "base/check.hpp"

namespace xnic::exec::sim::nfp {

using isa::AluOp;
using isa::Condition;
using isa::MultiplyStep;
using isa::MultiplyType;
using isa::ShiftKind;
using isa::ShiftOp;

namespace {

constexpr unsigned kPointerDelay = 3;     // cycles between writing a local memory pointer and using it
constexpr unsigned kBranchSlots = 3;      // behind a conditional branch that is taken
constexpr unsigned kAlwaysSlots = 2;      // behind an unconditional one
constexpr uint32_t kLengthMask = 0x3fff;  // of the vector's first word

}  // namespace

base::Result<std::unique_ptr<Thread>> Thread::make(const isa::Image& image, const std::vector<uint64_t>& words,
                                                   std::shared_ptr<const LoadedProgram> program) {
  std::unique_ptr<Thread> thread(new Thread(image, std::move(program)));
  for (const uint64_t word : words) {
    XNIC_ASSIGN(const uint64_t bits, isa::without_ecc(word));
    XNIC_ASSIGN(isa::Instruction insn, isa::decode(bits));
    thread->code_.push_back(std::move(insn));
  }
  return thread;
}

// What the firmware leaves behind for a program: the vector of the packet, the stack's base, pointers 0 and 1. All else
// is poison, but for the stack, which is zero as in every engine.
void Thread::reset(packet::Packet& packet, const RunContext& context) {
  for (uint32_t i = 0; i < 32; ++i) a_[i] = b_[i] = kPoison | i;
  for (uint32_t i = 0; i < 64; ++i) in_[i] = out_[i] = kPoison | 0x100 | i;
  local_.fill(0);
  a_[22] = 0;
  pointer_[0] = 0, pointer_[1] = kVectorAddress, pointer_[2] = pointer_[3] = 0;
  for (uint64_t& ready : pointer_ready_) ready = 0;
  local_[kVectorAddress / 4] = static_cast<uint32_t>(packet.data_end - packet.data) & kLengthMask;
  local_[kVectorAddress / 4 + 2] = kBufferAddress + kPacketOffset;
  pc_ = kPlacement.start;
  executed_ = last_alu_ = 0;
  trace_.clear();
  recorded_ = counters_.issued + counters_.bubbles;
  flags_known_ = carry_known_ = false;
  product_ = {};
  csr_.reset(), pending_branch_.reset(), pending_command_.reset(), fault_.reset();
  packet_ = &packet;
  buffer_ = packet.data - kPacketOffset;
  helper_.reset();
  helper_.packet = &packet;
  helper_.program = program_.get();
  helper_.run = &context;
  helper_.state = &helper_state_;
}

base::Result<Verdict> Thread::run(packet::Packet& packet, const RunContext& context) {
  if (!packet.fragments.empty())
    return base::make_error(base::ErrorKind::kUnsupported, "nfp",
                            "a frame of {} bytes is longer than the card's ports take", packet.size());
  if (packet.data - packet.frame() < static_cast<std::ptrdiff_t>(kPacketOffset))
    return base::make_error(base::ErrorKind::kUnsupported, "nfp", "a frame with less than {} bytes of headroom",
                            kPacketOffset);
  reset(packet, context);
  while (pc_ != kPlacement.next_packet) {
    step();
    if (fault_) {
      const uint32_t number = pc_ - kPlacement.start;
      const std::string text = number < code_.size() ? isa::to_text(code_[number]) : "";
      return base::make_error(base::ErrorKind::kUnsupported, fmt::format("nfp: .{} {}", number, text), "{}", *fault_);
    }
  }
  record(Access::kEnd, 0, 0);
  return verdict();
}

void Thread::record(Access access, uint32_t words, uint32_t place) {
  const uint64_t cycles = counters_.issued + counters_.bubbles;
  trace_.push_back({static_cast<uint32_t>(cycles - recorded_), access, static_cast<uint8_t>(words), place});
  recorded_ = cycles;
}

// The result is in the upper half of A0: what becomes of the packet, and the counter.
Verdict Thread::verdict() {
  move_packet();
  Verdict verdict;
  switch (a_[0] >> 16) {
    case 0x22:
      verdict.code = arch::ebpf::kXdpDrop;
      break;
    case 0x11:
      verdict.code = arch::ebpf::kXdpPass;
      break;
    case 0x44:
      verdict.code = arch::ebpf::kXdpTx;
      break;
    default:
      CHECK(a_[0] >> 16 == 0x82);
      verdict.code = arch::ebpf::kXdpAborted;
  }
  return verdict;
}

void Thread::stop(std::string why) {
  if (!fault_) fault_ = std::move(why);
}

void Thread::step() {
  if (pc_ > kPlacement.helpers && pc_ < kPlacement.start) return firmware(pc_ - kPlacement.helpers);
  if (pc_ < kPlacement.start || pc_ - kPlacement.start >= code_.size()) return stop("execution leaves the program");
  if (++executed_ > kBudget) return stop("the program does not end");
  ++counters_.issued;
  const uint32_t at = pc_;
  const bool deferred = pending_branch_.has_value();
  const bool in_command = pending_command_.has_value();
  std::visit([this](const auto& insn) { execute(insn); }, code_[at - kPlacement.start]);
  ++now_;
  if (fault_) return;
  if (in_command && --pending_command_->left == 0) {
    const PendingCommand command = *pending_command_;
    pending_command_.reset();
    perform(command.command, command.address);
  }
  if (fault_) return;
  if (pc_ == at) ++pc_;
  if (deferred && --pending_branch_->left == 0) {
    pc_ = pending_branch_->target;
    pending_branch_.reset();
  }
}

// --- Operands ---

uint32_t* Thread::local(const isa::Lm& memory) {
  if (now_ < pointer_ready_[memory.pointer]) {
    stop("a local memory pointer is used before it is set");
    return nullptr;
  }
  const uint32_t word = pointer_[memory.pointer] / 4 | memory.index;
  if (word >= kLocalWords) {
    stop("an address beyond the local memory");
    return nullptr;
  }
  if (memory.step == isa::Step::kIncrement) pointer_[memory.pointer] += 4;
  if (memory.step == isa::Step::kDecrement) pointer_[memory.pointer] -= 4;
  return &local_[word];
}

uint32_t Thread::read(const isa::Operand& operand) {
  if (const auto* gpr = std::get_if<isa::Gpr>(&operand)) return (gpr->bank == isa::Bank::kB ? b_ : a_)[gpr->number];
  if (const auto* immediate = std::get_if<isa::Immediate>(&operand)) return immediate->value;
  if (const auto* xfer = std::get_if<isa::Transfer>(&operand)) return in_[xfer->number];
  if (const auto* memory = std::get_if<isa::Lm>(&operand)) {
    const uint32_t* word = local(*memory);
    return word == nullptr ? 0 : *word;
  }
  if (std::holds_alternative<isa::Neighbour>(operand)) stop("the card's programs have no neighbour registers");
  return 0;
}

void Thread::write(const isa::Operand& operand, uint32_t value) {
  if (const auto* gpr = std::get_if<isa::Gpr>(&operand)) {
    if (gpr->bank != isa::Bank::kB) a_[gpr->number] = value;
    if (gpr->bank != isa::Bank::kA) b_[gpr->number] = value;
  } else if (const auto* xfer = std::get_if<isa::Transfer>(&operand)) {
    out_[xfer->number] = value;
  } else if (const auto* memory = std::get_if<isa::Lm>(&operand)) {
    if (uint32_t* word = local(*memory)) *word = value;
  } else if (std::holds_alternative<isa::Neighbour>(operand)) {
    stop("the card's programs have no neighbour registers");
  }
}

// --- Arithmetic ---

namespace {

// Of the operations without a carry; nothing of the others.
std::optional<uint32_t> bitwise(AluOp op, uint32_t left, uint32_t right) {
  switch (op) {
    case AluOp::kMove:
      return right;
    case AluOp::kNot:
      return ~right;
    case AluOp::kAnd:
      return left & right;
    case AluOp::kNotAnd:
      return ~left & right;
    case AluOp::kAndNot:
      return left & ~right;
    case AluOp::kOr:
      return left | right;
    case AluOp::kXor:
      return left ^ right;
    default:
      return std::nullopt;
  }
}

}  // namespace

// left + right + carry; a difference is a sum with the complement.
uint32_t Thread::sum(uint32_t left, uint32_t right, bool carry) {
  const uint64_t wide = uint64_t{left} + right + (carry ? 1 : 0);
  const auto result = static_cast<uint32_t>(wide);
  carry_ = wide >> 32 != 0;
  overflow_ = ((~(left ^ right) & (left ^ result)) >> 31) != 0;
  return result;
}

uint32_t Thread::arithmetic(AluOp op, uint32_t left, uint32_t right) {
  switch (op) {
    case AluOp::kAdd8:
      return sum(left, right & 0xff, false);
    case AluOp::kAdd16:
      return sum(left, right & 0xffff, false);
    case AluOp::kAddCarry:
      return sum(left, right, carry_);
    case AluOp::kSub:
      return sum(left, ~right, true);
    case AluOp::kReverseSub:
      return sum(right, ~left, true);
    case AluOp::kSubCarry:
      return sum(left, ~right, carry_);
    default:
      return sum(left, right, false);
  }
}

void Thread::execute(const isa::Alu& insn) {
  const uint32_t left = isa::reads_left(insn.op) ? read(insn.left) : 0;
  const uint32_t right = read(insn.right);
  const bool with_carry = insn.op == AluOp::kAddCarry || insn.op == AluOp::kSubCarry;
  if (with_carry && !carry_known_) return stop("no instruction before has left a carry");
  const std::optional<uint32_t> bits = bitwise(insn.op, left, right);
  const uint32_t result = bits ? *bits : arithmetic(insn.op, left, right);
  negative_ = result >> 31 != 0, zero_ = result == 0;
  flags_known_ = true, carry_known_ = !bits;
  last_result_ = result, last_left_ = left, last_alu_ = executed_;
  write(insn.dst, result);
}

// `right` moved; an amount of 0 stands for the left operand of the ALU instruction just before.
uint32_t Thread::shifted(ShiftKind kind, unsigned amount, uint32_t left, uint32_t right) {
  if (kind == ShiftKind::kRotate) return std::rotr(right, static_cast<int>(amount));
  if (amount == 0) {
    if (last_alu_ + 1 != executed_) {
      stop("an indirect shift without an ALU instruction before it");
      return 0;
    }
    amount = last_left_ & 31;
  }
  if (kind == ShiftKind::kLeft) return right << amount;
  if (kind == ShiftKind::kRight) return right >> amount;
  return static_cast<uint32_t>((uint64_t{left} << 32 | right) >> amount);
}

void Thread::execute(const isa::Shift& insn) {
  const uint32_t left = isa::reads_left(insn.op, insn.kind) ? read(insn.left) : 0;
  const uint32_t right = read(insn.right);
  uint32_t result = shifted(insn.kind, insn.amount, left, right);
  if (insn.kind != ShiftKind::kDoubleRight) {
    switch (insn.op) {
      case ShiftOp::kMove:
        break;
      case ShiftOp::kNot:
        result = ~result;
        break;
      case ShiftOp::kAnd:
        result = left & result;
        break;
      case ShiftOp::kNotAnd:
        result = ~left & result;
        break;
      case ShiftOp::kAndNot:
        result = left & ~result;
        break;
      case ShiftOp::kOr:
        result = left | result;
        break;
      case ShiftOp::kArithmetic:
        if (last_result_ >> 31 != 0) result |= ~shifted(insn.kind, insn.amount, 0, ~uint32_t{0});
        break;
    }
  }
  last_result_ = result;
  flags_known_ = carry_known_ = false;
  write(insn.dst, result);
}

void Thread::execute(const isa::LoadField& insn) {
  if (std::holds_alternative<isa::Transfer>(insn.dst)) return stop("a transfer register cannot be read back");
  const uint32_t source = shifted(insn.kind, insn.amount, 0, read(insn.src));
  uint32_t mask = 0;
  for (unsigned byte = 0; byte < 4; ++byte) mask |= (insn.mask >> byte & 1) != 0 ? uint32_t{0xff} << 8 * byte : 0;
  const uint32_t result = (source & mask) | (insn.clear ? 0 : read(insn.dst) & ~mask);
  last_result_ = result;
  write(insn.dst, result);
}

// Also receives the value of a local register that the instruction before has read.
void Thread::execute(const isa::LoadImmediate& insn) {
  uint32_t result = uint32_t{insn.value} << 8 * insn.shift;
  if (insn.invert) result = ~result;
  if (insn.width != isa::ImmediateWidth::kAll) {
    const uint32_t mask = (insn.width == isa::ImmediateWidth::kByte ? 0xffu : 0xffffu) << 8 * insn.shift;
    result = (result & mask) | (read(insn.dst) & ~mask);
  }
  if (csr_) {
    if (std::holds_alternative<isa::None>(insn.dst)) return stop("a local register is read to nowhere");
    result = *csr_;
    csr_.reset();
  }
  if (!isa::is_nop(insn)) last_result_ = result;
  write(insn.dst, result);
}

void Thread::execute(const isa::Multiply& insn) {
  const auto number = static_cast<unsigned>(insn.step);
  if (insn.type == MultiplyType::kStart) {
    product_ = {MultiplyType::kStart, 0, read(insn.left), read(insn.right), true};
    return;
  }
  const unsigned steps = insn.type == MultiplyType::k32x32 ? 4 : insn.type == MultiplyType::k16x16 ? 2 : 1;
  if (!product_.started || (product_.next != 0 && product_.type != insn.type))
    return stop("a step of a multiplication that was not started");
  product_.type = insn.type;
  if (number < static_cast<unsigned>(MultiplyStep::kLast)) {
    if (number != product_.next || read(insn.left) != product_.left || read(insn.right) != product_.right)
      return stop("a step of a multiplication out of order");
    ++product_.next;
    return;
  }
  if (product_.next < steps) return stop("a multiplication is ended early");
  const uint32_t narrow = insn.type == MultiplyType::k32x32 ? ~uint32_t{0} : 0xffff;
  if (((product_.left | product_.right) & ~narrow) != 0) return stop("an operand is too wide for the multiplication");
  const uint64_t product = uint64_t{product_.left} * product_.right;
  write(insn.dst, static_cast<uint32_t>(insn.step == MultiplyStep::kLast ? product : product >> 32));
}

// --- Control ---

bool Thread::holds(Condition condition) {
  switch (condition) {
    case Condition::kEqual:
      return zero_;
    case Condition::kNotEqual:
      return !zero_;
    case Condition::kMinus:
      return negative_;
    case Condition::kPlus:
      return !negative_;
    case Condition::kCarry:
      return carry_;
    case Condition::kNoCarry:
      return !carry_;
    case Condition::kOverflow:
      return overflow_;
    case Condition::kNoOverflow:
      return !overflow_;
    case Condition::kGreaterEqual:
      return negative_ == overflow_;
    case Condition::kLess:
      return negative_ != overflow_;
    case Condition::kLessEqual:
      return zero_ || negative_ != overflow_;
    case Condition::kGreater:
      return !zero_ && negative_ == overflow_;
    case Condition::kAlways:
      break;
  }
  return true;
}

void Thread::branch(uint32_t target, unsigned defer, unsigned slots) {
  counters_.bubbles += slots - defer;
  now_ += slots - defer;
  if (defer == 0) {
    pc_ = target;
  } else {
    pending_branch_ = PendingBranch{target, defer};
  }
}

void Thread::execute(const isa::Branch& insn) {
  if (pending_branch_) return stop("a branch behind a branch");
  const bool always = insn.condition == Condition::kAlways;
  if (!always && !flags_known_) return stop("no instruction before has set the flags");
  const bool needs_carry = insn.condition >= Condition::kCarry && insn.condition <= Condition::kGreater;
  if (needs_carry && !carry_known_) return stop("no instruction before has left a carry");
  if (holds(insn.condition)) branch(insn.target, insn.defer, always ? kAlwaysSlots : kBranchSlots);
}

void Thread::execute(const isa::BranchBit& insn) {
  if (pending_branch_) return stop("a branch behind a branch");
  if ((read(insn.src) >> insn.bit & 1) == (insn.set ? 1u : 0u)) branch(insn.target, insn.defer, kBranchSlots);
}

void Thread::execute(const isa::BranchByte& insn) {
  if (pending_branch_) return stop("a branch behind a branch");
  const bool equal = (read(insn.src) >> 8 * insn.byte & 0xff) == insn.value;
  if (equal == insn.equal) branch(insn.target, insn.defer, kBranchSlots);
}

void Thread::execute(const isa::JumpRegister& insn) {
  if (pending_branch_) return stop("a branch behind a branch");
  branch(read(insn.base) + insn.offset, insn.defer, kBranchSlots);
}

void Thread::execute(const isa::CsrWrite& insn) {
  for (unsigned i = 0; i < 4; ++i) {
    if (isa::kCsrLmAddress[i] != insn.address) continue;
    pointer_[i] = read(insn.src) & ~uint32_t{3};
    pointer_ready_[i] = now_ + 1 + kPointerDelay;
    return;
  }
  stop("the model has no such local register");
}

void Thread::execute(const isa::CsrRead& insn) {
  if (insn.address != isa::kCsrRandom) return stop("the model has no such local register");
  constexpr uint32_t kRandomHelper = 7;
  csr_ = static_cast<uint32_t>(helpers::helper_function(kRandomHelper)(helper_, 0, 0, 0, 0, 0));
}

}  // namespace xnic::exec::sim::nfp
