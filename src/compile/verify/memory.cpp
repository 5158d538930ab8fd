// SPDX-License-Identifier: Apache-2.0
// Loads, stores and atomics: which bytes each kind of pointer may reach, by its proved bounds. Follows kernel
// check_mem_access; stack accesses are in stack.cpp.
#include <fmt/core.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "compile/verify/walk.hpp"

namespace xnic::compile::verify {

using enum Rejection::Kind;

namespace {

constexpr uint32_t kBpfFStrictAlignment = 1u << 0;
constexpr uint32_t kBpfXdpDevmap = 33;      // enum bpf_attach_type
constexpr unsigned kPacketAlignOffset = 2;  // NET_IP_ALIGN assumed by the strict rule

constexpr std::string_view kBoundAdvice = "check the offset against the bounds of the object before the access";

bool overlaps(int64_t low, int64_t high, int32_t offset, unsigned size) {
  return offset >= 0 && low < offset + int64_t{size} && offset < high;
}

}  // namespace

bool Walk::check_fixed_offset(int r, std::string_view name) {
  const Register& value = reg(r);
  if (value.offset < 0)
    return reject(kMemory, EACCES, fmt::format("negative offset {} ptr R{} off={} disallowed", name, r, value.offset),
                  "pass the pointer unchanged");
  if (value.offset != 0)
    return reject(kMemory, EACCES,
                  fmt::format("dereference of modified {} ptr R{} off={} disallowed", name, r, value.offset),
                  "keep the pointer unchanged and put the offset into the access");
  if (!value.var.is_constant() || value.var.umin != 0)
    return reject(kMemory, EACCES,
                  fmt::format("variable {} access var_off=(0x{:x}; 0x{:x}) disallowed", name, value.var.bits.value,
                              value.var.bits.mask),
                  "use a constant offset");
  return true;
}

// [offset + variable part, + size) inside [0, limit).
bool Walk::check_region(int r, int64_t offset, unsigned size, uint64_t limit, std::string_view what, bool zero_ok) {
  const Range var = reg(r).var;
  auto outside = [&](int64_t at, std::string_view bound) {
    return reject(kMemory, EACCES,
                  fmt::format("invalid access to {}={} off={} size={}; R{} {}", what, limit, at, size, r, bound),
                  kBoundAdvice);
  };
  auto fits = [&](int64_t at) { return at >= 0 && (size > 0 || zero_ok) && static_cast<uint64_t>(at) + size <= limit; };
  if (var.smin < 0 && (var.smin == INT64_MIN || var.smin < -kMaxVariableOffset || offset + var.smin < 0))
    return reject(kMemory, EACCES,
                  fmt::format("R{} min value is negative, either use unsigned index or do a if (index >=0) check.", r),
                  "make the index unsigned, or check that it is not negative");
  if (!fits(offset + var.smin)) {
    return var.is_constant() && var.umin == 0
               ? reject(kMemory, EACCES,
                        fmt::format("invalid access to {}={} off={} size={}", what, limit, offset, size), kBoundAdvice)
               : outside(offset + var.smin, "min value is outside of the allowed memory range");
  }
  if (var.umax >= static_cast<uint64_t>(kMaxVariableOffset))
    return reject(kMemory, EACCES,
                  fmt::format("R{} unbounded memory access, make sure to bounds check any such access", r),
                  "compare the index with the size of the object before the access");
  if (!fits(offset + static_cast<int64_t>(var.umax)))
    return outside(offset + static_cast<int64_t>(var.umax), "max value is outside of the allowed memory range");
  return true;
}

bool Walk::check_packet(int r, int64_t offset, unsigned size, bool zero_ok) {
  const Register& pointer = reg(r);
  if (pointer.var.smin < 0)
    return reject(kMemory, EACCES,
                  fmt::format("R{} min value is negative, either use unsigned index or do a if (index >=0) check.", r),
                  "make the index unsigned, or check that it is not negative");
  if (pointer.past_end != 0)
    return reject(kMemory, EINVAL, fmt::format("R{} offset is outside of the packet", r),
                  "this path has proved that the packet is shorter; read only on the other one");
  if (offset < 0 || (size == 0 && !zero_ok) || static_cast<uint64_t>(offset) + size > pointer.packet_range)
    return reject(
        kMemory, EACCES,
        fmt::format(
            "invalid access to packet, off={} size={}, R{}(id={},off={},r={}); R{} offset is outside of the packet",
            offset, size, r, pointer.id, offset, pointer.packet_range, r),
        fmt::format("prove before the access that {} + {} <= data_end",
                    pointer.kind == Kind::kPacketMeta ? "data_meta" : "data", offset + size));
  return true;
}

bool Walk::check_map_value(int r, int64_t offset, unsigned size, Access direction, bool zero_ok, bool helper) {
  const Register& pointer = reg(r);
  const MapSpec& spec = *pointer.spec;
  // Values of device maps are the card's own records.
  const bool read_only = (spec.flags & kRdonlyProg) || spec.type == kMapDevmap || spec.type == kMapDevmapHash;
  const bool forbidden = direction == Access::kWrite ? read_only : (spec.flags & kWronlyProg) != 0;
  if (forbidden)
    return reject(kMemory, EACCES,
                  fmt::format("{} map forbidden, value_size={} off={} size={}",
                              direction == Access::kWrite ? "write into" : "read from", spec.value_size,
                              offset + pointer.var.smin, size),
                  "the map was made for the other direction only");
  if (!check_region(r, offset, size, spec.value_size, "map value, value_size", zero_ok)) return false;
  const int64_t low = offset + pointer.var.smin;
  const int64_t high = offset + static_cast<int64_t>(pointer.var.umax) + size;
  if (overlaps(low, high, spec.spin_lock_offset, 4))
    return reject(kType, EACCES,
                  helper ? "bpf_spin_lock cannot be accessed by helper"
                         : "bpf_spin_lock cannot be accessed directly by load/store",
                  "touch the lock only by bpf_spin_lock and bpf_spin_unlock");
  if (overlaps(low, high, spec.timer_offset, 16))
    return reject(
        kType, EACCES,
        helper ? "bpf_timer cannot be accessed by helper" : "bpf_timer cannot be accessed directly by load/store",
        "touch the timer only by its helpers");
  return true;
}

// A load of `size` bytes of unknown content.
void Walk::set_loaded(int value, unsigned size, bool sign) {
  if (value < 0) return;
  reg(value) = Register::scalar(loaded(size, sign));
  depend(here(value));
}

// Frozen read-only data is as good as an immediate.
bool Walk::load_map_value(int r, int64_t offset, unsigned size, int value, bool sign) {
  const Register& pointer = reg(r);
  const uint8_t* bytes = nullptr;
  if (pointer.var.is_constant() && (pointer.spec->flags & kRdonlyProg) && pointer.spec->type == kMapArray &&
      pointer.spec == &program_.maps[pointer.map])
    bytes = environment_.frozen_value(pointer.map);
  if (!bytes || value < 0) {
    set_loaded(value, size, sign);
    return true;
  }
  uint64_t number = 0;
  std::memcpy(&number, bytes + offset + pointer.var.smin, size);
  Range range = Range::constant(number);
  if (sign && size < 8) range = sign_extend(Width::k64, size * 8, range);
  reg(value) = Register::scalar(range);
  depend(here(value));
  return true;
}

// Fields of struct bpf_sock (struct bpf_xdp_sock has one, the queue id). Most can be read in parts.
bool Walk::socket_access(int r, int64_t offset, unsigned size) {
  if (!check_fixed_offset(r, "sock")) return false;
  const Register& socket = reg(r);
  constexpr int64_t kKind = 8, kSourceAddress = 24, kSourcePort = 44, kPeerPort = 48, kPeerAddress = 52, kState = 72;
  bool valid = offset >= 0 && offset + size <= socket.mem_size && offset % size == 0;
  const bool in_parts = offset == 4 || offset == 8 || offset == 12 || offset == kSourcePort || offset == kState ||
                        offset == 76 || (offset >= kSourceAddress && offset < kSourcePort) ||
                        (offset >= kPeerAddress && offset < kState);
  const bool peer_port = offset >= kPeerPort && offset < kPeerPort + 2;
  valid &=
      socket.mem_size == 4 ? size == 4 : (in_parts || peer_port ? size <= 4 : size == 4 && offset != kPeerPort + 2);
  if (socket.read_only && offset >= kKind && offset < kSourceAddress) valid = false;
  if (valid) return true;
  return reject(kMemory, EACCES,
                fmt::format("R{} invalid {} access off={} size={}", r, kind_name(socket), offset, size),
                "read the fields of struct bpf_sock");
}

bool Walk::context_access(int r, int64_t offset, unsigned size, Access direction, int value, bool sign) {
  if (!check_fixed_offset(r, "ctx")) return false;
  bool valid = direction == Access::kRead && offset >= 0 && offset < kContextBytes && size == 4 && offset % 4 == 0;
  const bool packet_field = offset == kCtxData || offset == kCtxDataEnd || offset == kCtxDataMeta;
  if (offset == kCtxEgressIfindex && program_.expected_attach_type != kBpfXdpDevmap) valid = false;
  if (packet_field && sign) valid = false;
  if (!valid)
    return reject(kMemory, EACCES, fmt::format("invalid bpf_context access off={} size={}", offset, size),
                  direction == Access::kWrite ? "struct xdp_md cannot be written"
                                              : "read whole 4-byte fields of struct xdp_md; egress_ifindex only in "
                                                "programs attached to a devmap");
  if (value < 0) return true;
  if (!packet_field) {
    set_loaded(value, size, sign);
    return true;
  }
  reg(value) = Register::pointer(offset == kCtxData      ? Kind::kPacket
                                 : offset == kCtxDataEnd ? Kind::kPacketEnd
                                                         : Kind::kPacketMeta);
  depend(here(value));
  return true;
}

bool Walk::access(int r, int64_t offset, unsigned size, Access direction, int value, bool sign,
                  const Register* stored) {
  const Register pointer = reg(r);
  const bool strict = strict_once_ || (program_.load_flags & kBpfFStrictAlignment);
  if (pointer.is_pointer() && strict && pointer.kind != Kind::kStack) {
    const bool packet = pointer.kind == Kind::kPacket || pointer.kind == Kind::kPacketMeta;
    const int64_t at = offset + pointer.offset + (packet ? kPacketAlignOffset : 0);
    const Tnum sum = tnum_add(pointer.var.bits, Tnum::constant(static_cast<uint64_t>(at)));
    if ((sum.value | sum.mask) & (size - 1))
      return reject(kMemory, EACCES,
                    fmt::format("misaligned {}access off {}+{} size {}", packet ? "packet " : "value ", pointer.offset,
                                offset, size),
                    "the program asked for strict alignment; use an aligned offset");
  }
  const bool null_possible = pointer.maybe_null;
  auto bad = [&] {
    return reject(kMemory, EACCES, fmt::format("R{} invalid mem access '{}'", r, kind_name(pointer)),
                  null_possible ? "compare the pointer with NULL before using it"
                                : "only pointers to memory can be dereferenced");
  };
  if (null_possible) return bad();
  const int64_t at = offset + pointer.offset;
  switch (pointer.kind) {
    case Kind::kStack:
      return direction == Access::kRead ? stack_read(r, offset, size, value, sign)
                                        : stack_write(r, offset, size, value, stored);
    case Kind::kContext:
      // The offset of the instruction is the field; the register itself must be unchanged.
      return context_access(r, offset, size, direction, value, sign);
    case Kind::kPacket:
    case Kind::kPacketMeta:
      if (!check_packet(r, at, size, false)) return false;
      break;
    case Kind::kMapKey:
      if (direction == Access::kWrite)
        return reject(kMemory, EACCES, fmt::format("write to change key R{} not allowed", r), "copy the key first");
      if (!check_region(r, at, size, pointer.spec->key_size, "map key, key_size", false)) return false;
      break;
    case Kind::kMapValue:
      if (!check_map_value(r, at, size, direction, false, false)) return false;
      if (direction == Access::kRead) return load_map_value(r, at, size, value, sign);
      return true;
    case Kind::kMemory:
      if (pointer.read_only && direction == Access::kWrite)
        return reject(kMemory, EACCES, fmt::format("R{} cannot write into {}", r, kind_name(pointer)),
                      "the memory is read-only");
      if (!check_region(r, at, size, pointer.mem_size, "memory, mem_size", false)) return false;
      break;
    case Kind::kSocket:
      if (direction == Access::kWrite)
        return reject(kMemory, EACCES, fmt::format("R{} cannot write into {}", r, kind_name(pointer)),
                      "sockets are read-only");
      if (!socket_access(r, offset, size)) return false;
      break;
    default:
      return bad();
  }
  if (direction == Access::kRead) set_loaded(value, size, sign);
  return true;
}

bool Walk::execute(const Load& insn) {
  const int s = index(insn.src), d = index(insn.dst);
  if (!read_ok(s) || !write_ok(d)) return false;
  return access(s, insn.offset, bytes(insn.size), Access::kRead, d, insn.sign_extend, nullptr);
}

bool Walk::execute(const Store& insn) {
  const int d = index(insn.dst);
  if (!read_ok(d)) return false;
  if (const Reg* src = std::get_if<Reg>(&insn.src)) {
    if (!read_ok(index(*src))) return false;
    if (reg(d).kind == Kind::kContext)
      return reject(kMemory, EACCES,
                    fmt::format("invalid bpf_context access off={} size={}", insn.offset, bytes(insn.size)),
                    "struct xdp_md cannot be written");
    Register stored = reg(*src);
    return access(d, insn.offset, bytes(insn.size), Access::kWrite, index(*src), false, &stored);
  }
  if (reg(d).kind == Kind::kContext)
    return reject(kMemory, EACCES, fmt::format("BPF_ST stores into R{} ctx is not allowed", d),
                  "struct xdp_md cannot be written");
  const Register stored = Register::constant(static_cast<uint64_t>(int64_t{std::get<Imm>(insn.src)}));
  return access(d, insn.offset, bytes(insn.size), Access::kWrite, -1, false, &stored);
}

// Atomics must be aligned on every machine.
bool Walk::execute(const Atomic& insn) {
  strict_once_ = true;
  const bool fine = atomic(insn);
  strict_once_ = false;
  return fine;
}

bool Walk::atomic(const Atomic& insn) {
  const int d = index(insn.dst), s = index(insn.src);
  if (!read_ok(s)) return false;
  if (insn.op == AtomicOp::kLoadAcquire) {
    if (!write_ok(d)) return false;
    const Kind kind = reg(s).kind;
    if (kind == Kind::kContext || kind == Kind::kPacket || kind == Kind::kPacketMeta || kind == Kind::kSocket)
      return reject(kType, EACCES, fmt::format("BPF_ATOMIC loads from R{} {} is not allowed", s, kind_name(reg(s))),
                    "use a plain load");
    return access(s, insn.offset, bytes(insn.size), Access::kRead, d, false, nullptr);
  }
  if (!read_ok(d)) return false;
  const Kind kind = reg(d).kind;
  if (kind == Kind::kContext || kind == Kind::kPacket || kind == Kind::kPacketMeta || kind == Kind::kSocket)
    return reject(kType, EACCES, fmt::format("BPF_ATOMIC stores into R{} {} is not allowed", d, kind_name(reg(d))),
                  "atomics work on stack and map memory only");
  const unsigned size = bytes(insn.size);
  if (insn.op == AtomicOp::kStoreRelease) {
    Register stored = reg(s);
    return access(d, insn.offset, size, Access::kWrite, s, false, &stored);
  }
  if (insn.op == AtomicOp::kCmpxchg && !read_ok(0)) return false;
  const int fetched = insn.op == AtomicOp::kCmpxchg ? 0 : (insn.fetch ? s : -1);
  if (fetched >= 0 && !write_ok(fetched)) return false;
  // The old value is read, from a stack slot with all that is known of it, and the memory afterwards holds something
  // unknown. The fetched register may be the address itself, so it takes its value last.
  const Register unknown = Register::scalar();
  const Register before = reg(fetched >= 0 ? fetched : s);
  if (!access(d, insn.offset, size, Access::kRead, fetched, false, nullptr)) return false;
  if (fetched < 0) return access(d, insn.offset, size, Access::kWrite, -1, false, &unknown);
  const Register old = std::exchange(reg(fetched), before);
  if (!access(d, insn.offset, size, Access::kWrite, -1, false, &unknown)) return false;
  reg(fetched) = old;
  return true;
}

}  // namespace xnic::compile::verify
