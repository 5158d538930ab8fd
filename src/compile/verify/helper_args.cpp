// SPDX-License-Identifier: Apache-2.0
// Arguments of helpers, checked against the signature table: one case for each ArgType. Follows kernel check_func_arg,
// check_helper_mem_access and check_mem_size_reg.
#include <fmt/core.h>

#include <cerrno>

#include "base/check.hpp"
#include "compile/verify/walk.hpp"

namespace xnic::compile::verify {

using enum Rejection::Kind;

namespace {

bool is_memory(const Register& reg) {
  if (reg.maybe_null) return false;
  switch (reg.kind) {
    case Kind::kStack:
    case Kind::kPacket:
    case Kind::kPacketMeta:
    case Kind::kMapKey:
    case Kind::kMapValue:
    case Kind::kMemory:
      return true;
    default:
      return false;
  }
}

constexpr std::string_view kMemoryExpected = "fp, pkt, pkt_meta, map_key, map_value, mem";

}  // namespace

bool Walk::wrong_type(int r, std::string_view expected) {
  return reject(
      kType, EACCES, fmt::format("R{} type={} expected={}", r, kind_name(reg(r)), expected),
      reg(r).maybe_null ? "compare the pointer with NULL before passing it on" : fmt::format("pass {} here", expected));
}

// Single numbers that a helper fills must lie at their natural alignment, whatever the machine.
bool Walk::check_aligned(int r, unsigned size) {
  const Register& pointer = reg(r);
  if (!pointer.is_pointer()) return true;
  const Tnum at = tnum_add(pointer.var.bits, Tnum::constant(static_cast<uint64_t>(int64_t{pointer.offset})));
  if (((at.value | at.mask) & (size - 1)) == 0) return true;
  return reject(kMemory, EACCES,
                fmt::format("misaligned {} access off {} size {}", pointer.kind == Kind::kStack ? "stack" : "value",
                            pointer.offset, size),
                "align the variable to its size");
}

bool Walk::check_memory_argument(const CallArguments& call, int r, uint32_t size, bool zero_ok, Access direction) {
  const Register& pointer = reg(r);
  if (zero_ok && size == 0 && pointer.is_null()) return true;
  if (!is_memory(pointer)) return wrong_type(r, kMemoryExpected);
  switch (pointer.kind) {
    case Kind::kStack:
      return stack_helper_access(r, size, zero_ok, direction);
    case Kind::kPacket:
    case Kind::kPacketMeta:
      if (!call.helper->packet_memory)
        return reject(kType, EACCES, "helper access to the packet is not allowed",
                      "copy the bytes to the stack and pass that");
      return check_packet(r, pointer.offset, size, zero_ok);
    case Kind::kMapKey:
      if (direction == Access::kWrite)
        return reject(kMemory, EACCES, fmt::format("R{} cannot write into {}", r, kind_name(pointer)), "copy the key");
      return check_region(r, pointer.offset, size, pointer.spec->key_size, "map key, key_size", zero_ok);
    case Kind::kMapValue:
      return check_map_value(r, pointer.offset, size, direction, zero_ok, true);
    default:
      if (pointer.read_only && direction == Access::kWrite)
        return reject(kMemory, EACCES, fmt::format("R{} cannot write into {}", r, kind_name(pointer)),
                      "the memory is read-only");
      return check_region(r, pointer.offset, size, pointer.mem_size, "memory, mem_size", zero_ok);
  }
}

// A size belongs to the memory argument before it.
bool Walk::check_size_argument(CallArguments& call, int position, bool zero_ok) {
  const int r = position + 1;
  const Register& size = reg(r);
  if (!size.is_scalar()) return wrong_type(r, "scalar");
  if (size.var.smin < 0)
    return reject(kMemory, EACCES, fmt::format("R{} min value is negative, either use unsigned or 'var &= const'", r),
                  "make the size unsigned, or mask it");
  if (size.var.umin == 0 && !zero_ok)
    return reject(kMemory, EACCES,
                  fmt::format("R{} invalid zero-sized read: u64=[{},{}]", r, size.var.umin, size.var.umax),
                  "check that the size is not zero");
  if (size.var.umax >= kMaxVariableSize)
    return reject(kMemory, EACCES,
                  fmt::format("R{} unbounded memory access, use 'var &= const' or 'if (var < const)'", r),
                  "bound the size before the call");
  CHECK(position > 0);
  const ArgType memory = call.helper->args[static_cast<size_t>(position - 1)];
  const bool writes = memory == ArgType::kMemoryUninit || memory == ArgType::kMemoryWritable ||
                      memory == ArgType::kMemoryWritableOrNull;
  const uint32_t most = static_cast<uint32_t>(size.var.umax);
  const bool needs_no_buffer = call.helper->id == kDynptrSlice || call.helper->id == kDynptrSliceRdwr;
  if (needs_no_buffer && reg(r - 1).is_null()) {
    mark_precise(r);
    return true;
  }
  if (!check_memory_argument(call, r - 1, most, zero_ok, writes ? Access::kWrite : Access::kRead)) return false;
  mark_precise(r);
  return true;
}

// The value of an integer key that was stored as a constant on the stack.
std::optional<uint64_t> Walk::constant_key(const Register& key, uint32_t size) {
  if (key.kind != Kind::kStack || !key.has_fixed_offset() || size != 4) return std::nullopt;
  const int64_t at = key.offset + key.var.smin;
  if (at % 4 != 0 || at >= 0) return std::nullopt;
  const size_t s = static_cast<size_t>((-at - 1) / 8);
  const Frame& frame = state_.frames[key.frame];
  if (s >= frame.stack.size()) return std::nullopt;
  const StackSlot& slot = frame.stack[s];
  const size_t first = at % 8 == 0 ? 0 : 4;
  bool zero = true;
  for (size_t i = first; i < first + 4; ++i) zero &= slot.bytes[i] == ByteKind::kZero;
  if (zero) return 0;
  const bool spill = first == 0 && slot.bytes[3] == ByteKind::kSpill && slot.bytes[4] != ByteKind::kSpill;
  if (!spill || !slot.reg.is_scalar()) return std::nullopt;
  const Range low = zero_extend_bytes(slot.reg.var, 4);
  if (!low.is_constant()) return std::nullopt;
  mark_precise_at(state_, {Location::slot(key.frame, static_cast<int>(s))});
  return low.umin;
}

bool Walk::check_field(int r, const MapSpec& spec, int32_t field, std::string_view name) {
  const Register& pointer = reg(r);
  if (!pointer.has_fixed_offset())
    return reject(kType, EINVAL,
                  fmt::format("R{} doesn't have constant offset. {} has to be at the constant offset", r, name),
                  "take the address of the field itself");
  if (field < 0)
    return reject(kType, EINVAL, fmt::format("map '{}' has no valid {}", spec.name, name),
                  fmt::format("declare the map with BTF and a struct {} in its value", name));
  const int64_t at = pointer.offset + pointer.var.smin;
  if (at != field)
    return reject(kType, EINVAL, fmt::format("off {} doesn't point to 'struct {}' that is at {}", at, name, field),
                  "take the address of the field itself");
  return true;
}

bool Walk::check_spin_lock(const CallArguments& call, int r) {
  const Register& value = reg(r);
  if (value.kind != Kind::kMapValue || value.maybe_null) return wrong_type(r, "map_value");
  if (!check_field(r, *value.spec, value.spec->spin_lock_offset, "bpf_spin_lock")) return false;
  // Global data has one value: its map names it.
  const uint32_t identity = value.id != 0 ? value.id : 0x40000000u + value.map;
  if (call.helper->name == "spin_lock") {
    if (state_.lock_id != 0)
      return reject(kReference, EINVAL, "Locking two bpf_spin_locks are not allowed", "unlock the first one before");
    state_.lock_id = identity;
    state_.lock_map = value.spec;
    return true;
  }
  if (state_.lock_id == 0)
    return reject(kReference, EINVAL, "bpf_spin_unlock without taking a lock", "call bpf_spin_lock before");
  if (state_.lock_id != identity || state_.lock_map != value.spec)
    return reject(kReference, EINVAL, "bpf_spin_unlock of different lock", "unlock the value that was locked");
  state_.lock_id = 0;
  state_.lock_map = nullptr;
  return true;
}

bool Walk::check_timer(const CallArguments&, int r) {
  const Register& value = reg(r);
  if (value.kind != Kind::kMapValue || value.maybe_null) return wrong_type(r, "map_value");
  return check_field(r, *value.spec, value.spec->timer_offset, "bpf_timer");
}

bool Walk::check_const_string(int r) {
  const Register& text = reg(r);
  if (text.kind != Kind::kMapValue || text.maybe_null) return wrong_type(r, "map_value");
  const uint8_t* bytes = text.spec == &program_.maps[text.map] ? environment_.frozen_value(text.map) : nullptr;
  if (!(text.spec->flags & kRdonlyProg) || !bytes)
    return reject(kType, EACCES, fmt::format("R{} does not point to a readonly map'", r),
                  "pass a string literal, or a const global");
  if (!text.has_fixed_offset())
    return reject(kType, EACCES, fmt::format("R{} is not a constant address'", r), "pass one constant string");
  const int64_t at = text.offset + text.var.smin;
  if (at < 0 || at >= text.spec->value_size)
    return reject(kMemory, EACCES,
                  fmt::format("invalid access to map value, value_size={} off={} size=1", text.spec->value_size, at),
                  "pass the start of the string");
  for (int64_t i = at; i < text.spec->value_size; ++i)
    if (bytes[i] == 0) return true;
  return reject(kType, EINVAL, "string is not zero-terminated", "end the string with a zero byte");
}

bool Walk::check_argument(CallArguments& call, int position) {
  const int r = position + 1;
  ArgType type = call.helper->args[static_cast<size_t>(position)];
  if (!read_ok(r)) return false;
  const Register& argument = reg(r);
  if (call.helper->name == "map_peek_elem" && type == ArgType::kMapValueUninit &&
      call.map.spec->type == kMapBloomFilter)
    type = ArgType::kMapValue;  // a bloom filter is asked, not read
  if (type == ArgType::kMapValue && (call.map.spec->type == kMapSockmap || call.map.spec->type == kMapSockhash))
    type = ArgType::kSocket;  // the value of a map of sockets is the socket itself
  auto constant = [&]() -> bool {
    if (!argument.is_scalar()) return wrong_type(r, "scalar");
    if (!argument.var.is_constant())
      return reject(kType, EACCES, fmt::format("R{} is not a known constant'", r), "pass a literal number");
    mark_precise(r);
    return true;
  };
  switch (type) {
    case ArgType::kNone:
    case ArgType::kAnything:
      return true;
    case ArgType::kScalar:
      return argument.is_scalar() || wrong_type(r, "scalar");
    case ArgType::kContext:
      return argument.kind == Kind::kContext ? check_fixed_offset(r, "ctx") : wrong_type(r, "ctx");
    case ArgType::kMap:
      if (argument.kind != Kind::kMap) return wrong_type(r, "map_ptr");
      if (call.map.kind == Kind::kMap && (call.map.spec != argument.spec || call.map.lookup != argument.lookup))
        return reject(kType, EINVAL, fmt::format("timer pointer in R1 doesn't match map pointer in R{}", r),
                      "pass the map that the timer lies in");
      call.map = argument;
      return true;
    case ArgType::kMapKey: {
      const uint32_t size = call.map.spec->key_size;
      if (!check_memory_argument(call, r, size, false, Access::kRead)) return false;
      const bool array = call.map.spec->type == kMapArray || call.map.spec->type == kMapPercpuArray;
      if (array && call.helper->name == "map_lookup_elem")
        if (auto key = constant_key(argument, size)) call.constant_key = static_cast<int64_t>(*key);
      return true;
    }
    case ArgType::kMapValue:
      return check_memory_argument(call, r, call.map.spec->value_size, false, Access::kRead);
    case ArgType::kMapValueUninit:
      return check_memory_argument(call, r, call.map.spec->value_size, false, Access::kWrite);
    case ArgType::kMemory:
    case ArgType::kMemoryUninit:
    case ArgType::kMemoryWritable:
      if (call.helper->name == "dynptr_from_mem" && argument.kind != Kind::kMapValue)
        return reject(kType, EINVAL,
                      fmt::format("Unsupported reg type {} for bpf_dynptr_from_mem data", kind_name(argument)),
                      "make dynptrs from map values");
      return is_memory(argument) || argument.is_null() || wrong_type(r, kMemoryExpected);
    case ArgType::kMemoryOrNull:
    case ArgType::kMemoryWritableOrNull:
      return is_memory(argument) || argument.is_null() || wrong_type(r, kMemoryExpected);
    case ArgType::kSize:
      return check_size_argument(call, position, false);
    case ArgType::kSizeOrZero:
      return check_size_argument(call, position, true);
    case ArgType::kFixedMemory:
      return check_memory_argument(call, r, call.helper->fixed_sizes[static_cast<size_t>(position)], false,
                                   Access::kRead);
    case ArgType::kLongOut:
      return check_aligned(r, 8) && check_memory_argument(call, r, 8, false, Access::kWrite);
    case ArgType::kIntOut:
      return check_aligned(r, 4) && check_memory_argument(call, r, 4, false, Access::kWrite);
    case ArgType::kAllocSize:
      if (!constant()) return false;
      call.alloc_size = static_cast<uint32_t>(argument.var.umin);
      return true;
    case ArgType::kAllocMemory:
      if (argument.kind != Kind::kMemory || !argument.reservation || argument.maybe_null)
        return wrong_type(r, "ringbuf_mem");
      if (argument.offset != 0 || !argument.has_fixed_offset() || argument.var.umin != 0)
        return reject(kType, EINVAL, fmt::format("R{} must have zero offset when passed to release func", r),
                      "pass the pointer that bpf_ringbuf_reserve returned");
      call.released = argument;
      return true;
    case ArgType::kCallback:
      if (argument.kind != Kind::kFunction) return wrong_type(r, "func");
      if (!check_fixed_offset(r, "func")) return false;
      call.callback = argument.function;
      return true;
    case ArgType::kStackOrNull:
      return argument.kind == Kind::kStack || argument.is_null() || wrong_type(r, "fp");
    case ArgType::kSpinLock:
      return check_spin_lock(call, r);
    case ArgType::kTimer:
      if (!check_timer(call, r)) return false;
      call.map = argument;
      call.map.kind = Kind::kMap;
      return true;
    case ArgType::kDynptr:
    case ArgType::kDynptrUninit:
    case ArgType::kDynptrRelease:
      return check_dynptr_argument(call, r, type);
    case ArgType::kConstString:
      return check_const_string(r);
    case ArgType::kSocket:
      return (argument.kind == Kind::kSocket && !argument.maybe_null) || wrong_type(r, "sock_common, sock, tcp_sock");
    case ArgType::kSocketRelease:
      if (argument.kind != Kind::kSocket || argument.maybe_null) return wrong_type(r, "sock_common, sock, tcp_sock");
      if (argument.ref == 0)
        return reject(kReference, EINVAL, fmt::format("R{} must be referenced when passed to release function", r),
                      "release only what a lookup returned");
      call.released = argument;
      return true;
    case ArgType::kKptr:
    case ArgType::kBtfPointer:
      break;
  }
  return wrong_type(r, "ptr_");
}

}  // namespace xnic::compile::verify
