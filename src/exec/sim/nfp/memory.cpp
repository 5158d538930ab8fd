// SPDX-License-Identifier: Apache-2.0
// Commands to the memories. The packet's window in the cluster memory is the host's packet itself; values of maps
// appear in the external memory when the firmware first hands one out.
//
// The atomic engine is big-endian, and the driver turns words that programs count in round for the host. Both is here:
// values are kept as the host wants them, atomic words appear reversed to everything but the atomic engine.
#include <algorithm>

#include "base/check.hpp"
#include "exec/sim/nfp/thread.hpp"

namespace xnic::exec::sim::nfp {

using isa::AddressMode;
using isa::CommandOp;

const Thread::Value* Thread::value_at(uint64_t address) {
  const uint64_t number = (address - kValueBase) / kValueStride;
  if (is_value(address) && number < values_.size()) return &values_[number];
  stop("an address where no value of a map is");
  return nullptr;
}

uint8_t* Thread::byte_at(uint64_t address) {
  if (!is_value(address)) {
    const uint64_t offset = address - kBufferAddress;
    const auto before = static_cast<uint64_t>(buffer_ - packet_->frame());  // the packet has the headroom, see run()
    if (offset < kPacketWindow && before + offset < exec::packet::kFrameBytes) return buffer_ + offset;
    stop("an address beyond the part of the packet that lies in the cluster memory");
    return nullptr;
  }
  const Value* value = value_at(address);
  if (value == nullptr) return nullptr;
  auto offset = static_cast<uint32_t>((address - kValueBase) % kValueStride);
  const isa::AtomicWord word{value->map, offset / 4 * 4};
  if (std::find(image_.atomic_words.begin(), image_.atomic_words.end(), word) != image_.atomic_words.end()) offset ^= 3;
  return value->bytes + offset;
}

// Whole words; bytes behind the value's end, or behind the packet's window, are not the program's and read as whatever.
void Thread::read_words(uint64_t address, unsigned count, unsigned xfer) {
  for (unsigned i = 0; i < count; ++i) {
    uint32_t word = 0;
    for (unsigned byte = 0; byte < 4; ++byte) {
      const uint64_t at = address + 4 * i + byte;
      uint8_t value = 0xa5;
      const uint64_t behind = at - kBufferAddress - kPacketWindow;
      if (!is_value(at) && behind < kLongestRead && i != 0) {
        word |= uint32_t{value} << 8 * byte;
        continue;
      }
      if (const Value* holder = is_value(at) ? value_at(at) : nullptr;
          holder == nullptr || (at - kValueBase) % kValueStride < program_->program->maps[holder->map].value_size) {
        const uint8_t* from = byte_at(at);
        if (from == nullptr) return;
        value = *from;
      }
      word |= uint32_t{value} << 8 * byte;
    }
    in_[(xfer + i) % 64] = word;
  }
}

void Thread::write_bytes(uint64_t address, unsigned count, unsigned xfer) {
  if (is_value(address)) return stop("a program writes to a value of a map");
  for (unsigned i = 0; i < count; ++i) {
    uint8_t* to = byte_at(address + i);
    if (to == nullptr) return;
    *to = static_cast<uint8_t>(out_[(xfer + i / 4) % 64] >> 8 * (i % 4));
  }
}

// Atomic with what other engines and the host do to the same value.
void Thread::add(uint64_t address, uint64_t value, bool wide) {
  if (!is_value(address)) return stop("the cluster memory has no atomic additions for programs");
  const Value* holder = value_at(address);
  if (holder == nullptr) return;
  const auto offset = static_cast<uint32_t>((address - kValueBase) % kValueStride);
  if (offset % (wide ? 8 : 4) != 0 || offset + (wide ? 8 : 4) > program_->program->maps[holder->map].value_size)
    return stop("an atomic addition outside a value, or not aligned");
  if (wide) {
    __atomic_fetch_add(reinterpret_cast<uint64_t*>(holder->bytes + offset), value, __ATOMIC_RELAXED);
  } else {
    __atomic_fetch_add(reinterpret_cast<uint32_t*>(holder->bytes + offset), static_cast<uint32_t>(value),
                       __ATOMIC_RELAXED);
  }
}

void Thread::execute(const isa::Command& insn) {
  if (pending_command_) return stop("a command before the one before it has begun");
  const uint32_t left = read(insn.left), right = read(insn.right);
  uint64_t address = uint64_t{left + right};
  if (insn.mode != AddressMode::k32) {
    const bool right_high = insn.mode == AddressMode::k40RightHigh;
    address = (uint64_t{right_high ? right : left} << 8) + (right_high ? left : right);
    address &= (uint64_t{1} << 40) - 1;
    if (!is_value(address)) return stop("an address where no value of a map is");
  }
  if (insn.swap == isa::Swap::kAfter1 || insn.swap == isa::Swap::kAfter2) {
    if (pending_branch_) return stop("a deferred command behind a branch");
    pending_command_ = PendingCommand{insn, address, static_cast<unsigned>(insn.swap)};
    return;
  }
  perform(insn, address);
}

void Thread::perform(const isa::Command& command, uint64_t address) {
  const bool overridden = command.indirect && (last_result_ & isa::kOverrideLength) != 0;
  const uint32_t length = overridden ? last_result_ >> 8 & 31 : command.length;
  switch (command.op) {
    case CommandOp::kRead32Swap:
      read_words(address, length + 1, command.xfer);
      break;
    case CommandOp::kWrite8Swap:
      write_bytes(address, length + 1, command.xfer);
      break;
    case CommandOp::kWrite32Swap:
      write_bytes(address, 4 * (length + 1), command.xfer);
      break;
    case CommandOp::kAdd: {
      const bool wide = (length & 4) != 0;
      add(address, out_[command.xfer] | (wide ? uint64_t{out_[(command.xfer + 1) % 64]} << 32 : 0), wide);
      break;
    }
    case CommandOp::kAddImmediate:
      if (!command.indirect || (last_result_ & isa::kOverrideData) == 0) return stop("an addition of nothing");
      add(address, last_result_ >> 16, (length & 4) != 0);
      break;
    default:
      return stop("the model has no such command");
  }
  ++counters_.commands;
  const bool bytes = command.op == CommandOp::kWrite8Swap;
  const uint32_t words = bytes ? (length + 4) / 4 : (length & 31) + 1;
  const auto place = static_cast<uint32_t>(address / kValueStride);
  if (command.swap == isa::Swap::kNever) return record(Access::kCount, words, place);  // nobody waits for it
  if (is_value(address)) return record(Access::kValueRead, words, place);
  record(command.op == CommandOp::kRead32Swap ? Access::kPacketRead : Access::kPacketWrite, words, 0);
}

}  // namespace xnic::exec::sim::nfp
