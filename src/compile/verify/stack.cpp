// SPDX-License-Identifier: Apache-2.0
// The stack, in slots of 8 bytes: whole registers spilled to a slot keep type and range, other bytes are known zero,
// written or never written. Programs run with full rights, so bytes never written may be read (as unknown numbers).
// Follows kernel check_stack_read/write; reads are noted in the checkpoints above (mark_slot_read) for pruning.
#include <fmt/core.h>

#include <algorithm>
#include <cerrno>

#include "base/check.hpp"
#include "compile/verify/walk.hpp"

namespace xnic::compile::verify {

using enum Rejection::Kind;

namespace {

// Slot of the byte at a (negative) frame offset, and the byte's place in it.
int slot_of(int64_t offset) { return static_cast<int>((-offset - 1) / 8); }
size_t byte_of(int64_t offset) { return static_cast<size_t>(8 + offset % 8) % 8; }

bool is_aligned(int64_t offset) { return offset % 8 == 0; }

// Bytes at the start of the slot that a spill of fewer than 8 bytes covers.
unsigned spill_size(const StackSlot& slot) {
  unsigned size = 0;
  while (size < 8 && slot.bytes[size] == ByteKind::kSpill) ++size;
  return size;
}

void forget_spill(StackSlot& slot) {
  if (!slot.is_spill()) return;
  for (ByteKind& byte : slot.bytes)
    if (byte == ByteKind::kSpill) byte = ByteKind::kMisc;
  slot.reg = Register{};
}

void unlink(Register& reg) {
  reg.id = 0;
  reg.offset = 0;
  reg.has_addend = false;
}

}  // namespace

StackSlot& Walk::slot_at(int frame, int index) {
  return state_.frames[static_cast<size_t>(frame)].stack[static_cast<size_t>(index)];
}

void Walk::grow_stack(int frame, int64_t lowest) {
  Frame& owner = state_.frames[static_cast<size_t>(frame)];
  const size_t slots = static_cast<size_t>(slot_of(lowest)) + 1;
  if (owner.stack.size() < slots) owner.stack.resize(slots);
  uint32_t& used = stack_bytes[owner.subprogram];
  used = std::max(used, static_cast<uint32_t>(-lowest));
}

bool Walk::stack_bounds(int r, int64_t offset, unsigned size, Access direction, bool helper) {
  const Register& pointer = reg(r);
  const std::string_view verb = helper ? (direction == Access::kRead ? "indirect access to" : "indirect access to")
                                       : (direction == Access::kRead ? "read from" : "write to");
  const Range& var = pointer.var;
  const bool fixed = var.is_constant();
  constexpr std::string_view kAdvice = "the stack of a function is 512 bytes below r10";
  if (!fixed && (var.smax >= kMaxVariableOffset || var.smin <= -kMaxVariableOffset))
    return reject(kMemory, EACCES, fmt::format("invalid unbounded variable-offset {} stack R{}", verb, r), kAdvice);
  const int64_t low = offset + pointer.offset + var.smin;
  const int64_t high = offset + pointer.offset + var.smax + size;
  if (low < -int64_t{kStackBytes} || low >= 0 || high > 0) {
    if (fixed)
      return reject(kMemory, EACCES, fmt::format("invalid {} stack R{} off={} size={}", verb, r, low, size), kAdvice);
    return reject(kMemory, EACCES,
                  fmt::format("invalid variable-offset {} stack R{} var_off=(0x{:x}; 0x{:x}) off={} size={}", verb, r,
                              var.bits.value, var.bits.mask, offset, size),
                  kAdvice);
  }
  return true;
}

bool Walk::stack_write(int r, int64_t offset, unsigned size, int value, const Register* stored) {
  if (!stack_bounds(r, offset, size, Access::kWrite, false)) return false;
  const Register pointer = reg(r);
  if (!pointer.var.is_constant()) return stack_write_variable(r, offset, size, value, stored);
  const int64_t at = offset + pointer.offset + pointer.var.smin;
  if (((at % size) + size) % size != 0)
    return reject(kMemory, EACCES,
                  fmt::format("misaligned stack access off {}+{} size {}", pointer.offset, offset, size),
                  "align stack accesses to their size");
  return stack_write_fixed(pointer.frame, at, size, value, stored);
}

bool Walk::stack_write_fixed(int frame, int64_t at, unsigned size, int value, const Register* stored) {
  grow_stack(frame, at);
  const int s = slot_of(at);
  if (!end_dynptr(frame, s)) return false;
  StackSlot& slot = slot_at(frame, s);
  const Location place = Location::slot(frame, s);
  if (size == 8) state_.written[static_cast<size_t>(frame)] |= uint64_t{1} << s;
  if (stored->is_pointer()) {
    if (size != 8 || !is_aligned(at))
      return reject(kType, EACCES, "invalid size of register spill", "store pointers whole, at an aligned offset");
    if (frame != state_.depth_index() && stored->kind == Kind::kStack)
      return reject(kType, EINVAL, "cannot spill pointers to stack into stack frame of the caller",
                    "a pointer to a local variable must not outlive the function");
    slot.reg = *stored;
    slot.bytes.fill(ByteKind::kSpill);
    depend(place, here(value));
    return true;
  }
  if (is_aligned(at)) {
    Register saved = *stored;
    const bool fits = size == 8 || stored->var.umax < (uint64_t{1} << (size * 8));
    if (value >= 0 && fits && value != index(kFramePointer)) {
      link_before_copy(reg(value));
      saved = reg(value);
    }
    if (!fits) unlink(saved);
    if (size < 8) saved.var = zero_extend_bytes(saved.var, size);
    saved.precise = false;
    forget_spill(slot);
    slot.reg = saved;
    for (unsigned i = 0; i < size; ++i) slot.bytes[i] = ByteKind::kSpill;
    depend(place, value >= 0 ? here(value) : Location{});
    return true;
  }
  forget_spill(slot);
  ByteKind kind = ByteKind::kMisc;
  if (stored->is_null()) {
    if (value >= 0) mark_precise(value);
    kind = ByteKind::kZero;
  }
  for (unsigned i = 0; i < size; ++i) slot.bytes[byte_of(at + i)] = kind;
  depend(place);
  return true;
}

// Any slot of the range may be hit: nothing becomes known, and what was known is kept only where the write agrees.
bool Walk::stack_write_variable(int r, int64_t offset, unsigned size, int value, const Register* stored) {
  const Register pointer = reg(r);
  const int frame = pointer.frame;
  const int64_t low = offset + pointer.offset + pointer.var.smin;
  const int64_t high = offset + pointer.offset + pointer.var.smax + size;
  const bool zero = stored->is_null();
  bool zero_mattered = false;
  mark_precise(r);
  grow_stack(frame, low);
  for (int64_t at = low; at < high; ++at) {
    StackSlot& slot = slot_at(frame, slot_of(at));
    ByteKind& byte = slot.bytes[byte_of(at)];
    if (byte == ByteKind::kDynptr)
      return reject(kMemory, EINVAL, "variable offset write to a dynptr on the stack", "use constant offsets");
    if (zero && byte == ByteKind::kSpill && slot.reg.is_null()) {
      zero_mattered = true;
      continue;
    }
    forget_spill(slot);
    if (zero && byte == ByteKind::kZero)
      zero_mattered = true;
    else
      byte = ByteKind::kMisc;
  }
  if (zero_mattered && value >= 0) mark_precise(value);
  return true;
}

bool Walk::stack_read(int r, int64_t offset, unsigned size, int value, bool sign) {
  if (!stack_bounds(r, offset, size, Access::kRead, false)) return false;
  const Register pointer = reg(r);
  const int frame = pointer.frame;
  const int64_t low = offset + pointer.offset + pointer.var.smin;
  if (pointer.var.is_constant()) {
    if (((low % size) + size) % size != 0)
      return reject(kMemory, EACCES,
                    fmt::format("misaligned stack access off {}+{} size {}", pointer.offset, offset, size),
                    "align stack accesses to their size");
    if (!stack_read_fixed(frame, low, size, value)) return false;
  } else {
    const int64_t high = offset + pointer.offset + pointer.var.smax + size;
    bool zero = true;
    grow_stack(frame, low);
    mark_slots_read(frame, low, high);
    for (int64_t at = low; at < high; ++at) {
      const ByteKind byte = slot_at(frame, slot_of(at)).bytes[byte_of(at)];
      if (byte == ByteKind::kDynptr)
        return reject(kMemory, EACCES, fmt::format("invalid read from stack off {} size {}", at, size),
                      "read a dynptr by its helpers");
      zero &= byte == ByteKind::kZero;
    }
    if (value >= 0) {
      reg(value) = zero ? Register::constant(0) : Register::scalar(loaded(size, false));
      depend(here(value));
    }
  }
  if (value >= 0 && reg(value).is_scalar() && size < 8) {
    Register& result = reg(value);
    if (!sign) {
      result.var = zero_extend_bytes(result.var, size);
    } else {
      unlink(result);
      result.var = sign_extend(Width::k64, size * 8, result.var);
    }
  }
  return true;
}

bool Walk::stack_read_fixed(int frame, int64_t at, unsigned size, int value) {
  grow_stack(frame, at);
  const int s = slot_of(at);
  const StackSlot slot = slot_at(frame, s);
  mark_slot_read(frame, s);
  for (unsigned i = 0; i < size; ++i)
    if (slot.bytes[byte_of(at + i)] == ByteKind::kDynptr)
      return reject(kMemory, EACCES, fmt::format("invalid read from stack off {}+{} size {}", at, i, size),
                    "read a dynptr by its helpers");
  const Location place = Location::slot(frame, s);
  if (slot.is_spill()) {
    const unsigned spilled = spill_size(slot);
    if (slot.reg.is_pointer() && size != 8)
      return reject(kType, EACCES, "invalid size of register fill", "load pointers whole");
    if (value < 0) return true;
    if (is_aligned(at) && size <= spilled) {
      Register filled = slot.reg;
      filled.precise = false;
      if (size < 8 && filled.var.umax >= (uint64_t{1} << (size * 8))) unlink(filled);
      reg(value) = filled;
      depend(here(value), place);
      return true;
    }
    unsigned zeros = 0, spills = 0;
    for (unsigned i = 0; i < size; ++i) {
      zeros += slot.bytes[byte_of(at + i)] == ByteKind::kZero;
      spills += slot.bytes[byte_of(at + i)] == ByteKind::kSpill;
    }
    if (spills == size && slot.reg.is_null()) {
      reg(value) = Register::constant(0);
      depend(here(value), place);
      return true;
    }
    reg(value) = zeros == size ? Register::constant(0) : Register::scalar(loaded(size, false));
    depend(here(value));
    return true;
  }
  if (value < 0) return true;
  bool zero = true;
  for (unsigned i = 0; i < size; ++i) zero &= slot.bytes[byte_of(at + i)] == ByteKind::kZero;
  reg(value) = zero ? Register::constant(0) : Register::scalar(loaded(size, false));
  depend(here(value));
  return true;
}

// Memory handed to a helper: read, or (kWrite) overwritten with something unknown.
bool Walk::stack_helper_access(int r, unsigned size, bool zero_ok, Access direction) {
  if (size == 0 && !zero_ok) return reject(kMemory, EACCES, "invalid zero-sized read", "pass a size that is not zero");
  if (!stack_bounds(r, 0, size, direction, true)) return false;
  if (size == 0) return true;
  const Register pointer = reg(r);
  const int frame = pointer.frame;
  const int64_t low = pointer.offset + pointer.var.smin;
  const int64_t high = pointer.offset + pointer.var.smax + size;
  const bool fixed = pointer.var.is_constant();
  if (!fixed) mark_precise(r);
  grow_stack(frame, low);
  if (direction == Access::kRead || !fixed) mark_slots_read(frame, low, high);
  for (int64_t at = low; at < high; ++at) {
    const int s = slot_of(at);
    StackSlot& slot = slot_at(frame, s);
    if (slot.bytes[byte_of(at)] == ByteKind::kDynptr)
      return reject(kMemory, EACCES, fmt::format("potential write to dynptr at off={} disallowed", at),
                    "use other memory for the helper's result");
    if (direction == Access::kRead) continue;
    if (slot.is_spill()) depend(Location::slot(frame, s));
    forget_spill(slot);
    slot.bytes[byte_of(at)] = ByteKind::kMisc;
    const bool whole = fixed && is_aligned(at) && at + 8 <= high;
    if (whole) state_.written[static_cast<size_t>(frame)] |= uint64_t{1} << s;
  }
  return true;
}

void Walk::mark_slots_read(int frame, int64_t low, int64_t high) {
  for (int s = slot_of(high - 1); s <= slot_of(low); ++s) mark_slot_read(frame, s);
}

// The content of the slot came from above: note it in every checkpoint up to the one after which it was written.
void Walk::mark_slot_read(int frame, int slot) {
  const uint64_t bit = uint64_t{1} << slot;
  const size_t f = static_cast<size_t>(frame);
  for (State* state = &state_; !(state->written[f] & bit);) {
    state = state->parent.get();
    if (!state || (state->read[f] & bit)) return;
    state->read[f] |= bit;
  }
}

}  // namespace xnic::compile::verify
