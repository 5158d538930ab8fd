// SPDX-License-Identifier: Apache-2.0
// Dynptrs over map values (kernel/bpf/helpers.c): memory whose size is known only at run time, with checked accesses.
#include "exec/helpers/dynptr.hpp"

#include "exec/helpers/call.hpp"

namespace xnic::exec::helpers {

uint64_t dynptr_from_mem(HelperContext&, uint64_t data, uint64_t bytes, uint64_t flags, uint64_t dynptr, uint64_t) {
  const uint32_t size = static_cast<uint32_t>(bytes);
  Dynptr{}.put(dynptr);
  if (size > kMaxDynptrBytes) return fail(E2BIG);
  if (flags != 0) return fail(EINVAL);
  Dynptr{data, size, 0}.put(dynptr);
  return 0;
}

uint64_t dynptr_read(HelperContext& ctx, uint64_t to, uint64_t bytes, uint64_t dynptr, uint64_t offset,
                     uint64_t flags) {
  const Dynptr source = Dynptr::at(dynptr);
  const uint32_t count = static_cast<uint32_t>(bytes);
  const uint32_t from = static_cast<uint32_t>(offset);
  if (source.data == 0 || flags != 0) return fail(EINVAL);
  if (!source.holds(from, count)) return fail(E2BIG);
  if (source.flags & Dynptr::kPacket) return xdp_load_bytes(ctx, 0, from, to, count, 0);
  std::memmove(pointer<void>(to), pointer<const void>(source.data + from), count);
  return 0;
}

uint64_t dynptr_write(HelperContext& ctx, uint64_t dynptr, uint64_t offset, uint64_t from, uint64_t bytes,
                      uint64_t flags) {
  const Dynptr target = Dynptr::at(dynptr);
  const uint32_t count = static_cast<uint32_t>(bytes);
  const uint32_t at = static_cast<uint32_t>(offset);
  if (target.data == 0 || (target.flags & Dynptr::kReadOnly)) return fail(EINVAL);
  if (!target.holds(at, count)) return fail(E2BIG);
  if (flags != 0) return fail(EINVAL);
  if (target.flags & Dynptr::kPacket) return xdp_store_bytes(ctx, 0, at, from, count, 0);
  std::memmove(pointer<void>(target.data + at), pointer<const void>(from), count);
  return 0;
}

// A slice is plain memory to the program until the dynptr ends.
uint64_t dynptr_data(HelperContext& ctx, uint64_t dynptr, uint64_t offset, uint64_t bytes, uint64_t, uint64_t) {
  const Dynptr source = Dynptr::at(dynptr);
  const uint32_t count = static_cast<uint32_t>(bytes);
  const uint32_t from = static_cast<uint32_t>(offset);
  if (source.data == 0 || source.flags != 0 || !source.holds(from, count)) return 0;
  ctx.lend(source.data + from, count);
  return source.data + from;
}

uint64_t dynptr_from_xdp(HelperContext& ctx, uint64_t, uint64_t flags, uint64_t dynptr, uint64_t, uint64_t) {
  Dynptr{}.put(dynptr);
  if (flags != 0) return fail(EINVAL);
  Dynptr{1, ctx.packet->size(), Dynptr::kPacket}.put(dynptr);
  return 0;
}

namespace {

// Bytes [offset, offset + bytes) of the packet where they lie together, else null (kernel bpf_xdp_pointer).
uint64_t together(const packet::Packet& packet, uint32_t offset, uint32_t bytes) {
  if (offset > 0xffff || bytes > 0xffff || uint64_t{offset} + bytes > packet.size()) return 0;
  const auto linear = static_cast<uint32_t>(packet.data_end - packet.data);
  if (offset < linear) return uint64_t{offset} + bytes <= linear ? reinterpret_cast<uint64_t>(packet.data) + offset : 0;
  offset -= linear;
  for (const auto& fragment : packet.fragments) {
    if (offset < fragment.size) {
      const uint64_t begin = reinterpret_cast<uint64_t>(fragment.buffer.get()) + fragment.offset;
      return uint64_t{offset} + bytes <= fragment.size ? begin + offset : 0;
    }
    offset -= fragment.size;
  }
  return 0;
}

}  // namespace

// What does not lie together is copied to the program's buffer, and that is the slice.
uint64_t dynptr_slice(HelperContext& ctx, uint64_t dynptr, uint64_t offset, uint64_t buffer, uint64_t bytes, uint64_t) {
  const Dynptr source = Dynptr::at(dynptr);
  const auto count = static_cast<uint32_t>(bytes);
  const auto from = static_cast<uint32_t>(offset);
  if (source.data == 0 || !source.holds(from, count)) return 0;
  const bool of_packet = source.flags & Dynptr::kPacket;
  const uint64_t address = of_packet ? together(*ctx.packet, from, count) : source.data + from;
  if (address != 0) {
    ctx.lend(address, count);
    return address;
  }
  // A packet that was cut since gives no bytes; the buffer keeps its own.
  if (buffer != 0) xdp_load_bytes(ctx, 0, from, buffer, count, 0);
  return buffer;
}

uint64_t dynptr_slice_rdwr(HelperContext& ctx, uint64_t dynptr, uint64_t offset, uint64_t buffer, uint64_t bytes,
                           uint64_t unused) {
  if (Dynptr::at(dynptr).flags & Dynptr::kReadOnly) return 0;
  return dynptr_slice(ctx, dynptr, offset, buffer, bytes, unused);
}

}  // namespace xnic::exec::helpers
