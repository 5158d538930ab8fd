// SPDX-License-Identifier: Apache-2.0
// Dynptrs: 16 bytes of stack (two slots) that only helpers may touch. Overwriting one ends it; one that stands for a
// ring buffer reservation must be submitted or discarded first. Follows kernel process_dynptr_func.
#include <fmt/core.h>

#include <cerrno>

#include "compile/verify/walk.hpp"

namespace xnic::compile::verify {

using enum Rejection::Kind;

namespace {

constexpr int64_t kDynptrBytes = 16;

// Slot of the low half of a dynptr that starts at frame offset `at`; the other half is one slot higher in memory.
int low_slot(int64_t at) { return static_cast<int>((-at - 1) / 8); }

}  // namespace

// A write is about to hit the slot: a dynptr there is gone, with the slices taken from it.
bool Walk::end_dynptr(int frame, int s) {
  StackSlot& slot = slot_at(frame, s);
  if (slot.bytes[0] != ByteKind::kDynptr) return true;
  if (slot.reg.ref != 0)
    return reject(kReference, EINVAL, "cannot overwrite referenced dynptr", "submit or discard the dynptr first");
  const uint32_t id = slot.dynptr_id;
  for (StackSlot& other : state_.frames[static_cast<size_t>(frame)].stack)
    if (other.bytes[0] == ByteKind::kDynptr && other.dynptr_id == id) other = StackSlot{};
  for_each_register(state_, [&](Register& other) {
    if (other.kind == Kind::kMemory && other.lookup == id) other = Register::scalar();
  });
  return true;
}

bool Walk::check_dynptr_argument(CallArguments& call, int r, ArgType type) {
  const Register pointer = reg(r);
  if (pointer.kind == Kind::kDynptr && type == ArgType::kDynptr) {
    call.dynptr_id = pointer.id;
    call.dynptr_type = DynptrType::kLocal;
    call.dynptr_read_only = pointer.read_only;
    return true;
  }
  if (pointer.kind != Kind::kStack) return wrong_type(r, "fp, dynptr_ptr");
  if (!pointer.has_fixed_offset())
    return reject(kType, EINVAL, "dynptr has to be at a constant offset", "use a local variable for the dynptr");
  const int64_t at = pointer.offset + pointer.var.smin;
  if (at % 8 != 0 || at < -int64_t{kStackBytes} || at + kDynptrBytes > 0)
    return reject(kType, EINVAL, fmt::format("cannot pass in dynptr at an offset={}", at),
                  "use a local variable for the dynptr");
  grow_stack(pointer.frame, at);
  const int low = low_slot(at);
  if (type == ArgType::kDynptrUninit) {
    if (!end_dynptr(pointer.frame, low) || !end_dynptr(pointer.frame, low - 1)) return false;
    call.dynptr_out = r;
    return true;
  }
  mark_slots_read(pointer.frame, at, at + kDynptrBytes);
  const StackSlot& slot = slot_at(pointer.frame, low);
  const StackSlot& high = slot_at(pointer.frame, low - 1);
  const bool whole = slot.bytes[0] == ByteKind::kDynptr && slot.dynptr_first && high.bytes[0] == ByteKind::kDynptr &&
                     high.dynptr_id == slot.dynptr_id;
  if (!whole)
    return reject(kType, EINVAL, fmt::format("Expected an initialized dynptr as arg #{}", r - 1),
                  "make the dynptr before it is used, on every path");
  if (type == ArgType::kDynptrRelease) {
    if (slot.reg.ref == 0)
      return reject(kReference, EINVAL, fmt::format("arg {} is an unacquired reference", r),
                    "submit only what was reserved");
    call.released = slot.reg;
  }
  call.dynptr_id = slot.dynptr_id;
  call.dynptr_type = slot.dynptr;
  return true;
}

bool Walk::make_dynptr(const CallArguments& call) {
  const Register pointer = reg(call.dynptr_out);
  const int frame = pointer.frame;
  const int low = low_slot(pointer.offset + pointer.var.smin);
  const uint32_t id = fresh_id();
  const bool reserves = call.helper->name == "ringbuf_reserve_dynptr";
  uint32_t ref = 0;
  if (reserves) {
    ref = fresh_id();
    const bool in_callback = state_.top().callback != CallbackKind::kNone;
    state_.refs.push_back({ref, slot_, static_cast<uint8_t>(in_callback ? state_.depth_index() : 0)});
  }
  for (int s : {low, low - 1}) {
    StackSlot& slot = slot_at(frame, s);
    slot = StackSlot{};
    slot.bytes.fill(ByteKind::kDynptr);
    slot.dynptr = reserves                                 ? DynptrType::kRingbuf
                  : call.helper->name == "dynptr_from_xdp" ? DynptrType::kXdp
                                                           : DynptrType::kLocal;
    slot.dynptr_first = s == low;
    slot.dynptr_id = id;
    slot.reg.ref = ref;
    depend(Location::slot(frame, s));
    state_.written[static_cast<size_t>(frame)] |= uint64_t{1} << s;
  }
  return true;
}

}  // namespace xnic::compile::verify
