// SPDX-License-Identifier: Apache-2.0
// Helpers that move packet bounds or copy packet bytes, with the limits and errors of Linux (net/core/filter.c); the
// short ones are in inline.hpp. The receive queue of a test run has fragments of one page, so the last fragment can
// grow to a page.
#include <algorithm>
#include <cstring>

#include "exec/helpers/call.hpp"
#include "exec/helpers/inline.hpp"

namespace xnic::exec::helpers {
namespace {

using packet::Packet;

constexpr uint32_t kMaxAccess = 0xffff;

// Takes `bytes` off the end: fragments first, then the linear part. Pre: an Ethernet header stays.
void shrink(Packet& packet, uint32_t bytes) {
  while (!packet.fragments.empty() && bytes > 0) {
    Packet::Fragment& last = packet.fragments.back();
    const uint32_t cut = std::min(bytes, last.size);
    bytes -= cut;
    last.size -= cut;
    if (last.size != 0) return;
    packet.fragments.pop_back();
  }
  packet.data_end -= bytes;
}

uint64_t grow_last_fragment(Packet& packet, uint32_t bytes) {
  Packet::Fragment& last = packet.fragments.back();
  if (bytes > packet::kFragmentBytes - last.size - last.offset) return fail(EINVAL);
  std::memset(last.buffer.get() + last.offset + last.size, 0, bytes);
  last.size += bytes;
  return 0;
}

// Calls visit(part, bytes) for the pieces of [offset, offset + bytes). Pre: the packet is that long.
template <class Visit>
void for_each_piece(Packet& packet, uint32_t offset, uint32_t bytes, Visit visit) {
  const auto piece = [&](uint8_t* begin, uint32_t size) {
    if (offset >= size) {
      offset -= size;
      return;
    }
    const uint32_t take = std::min(bytes, size - offset);
    if (take != 0) visit(begin + offset, take);
    bytes -= take;
    offset = 0;
  };
  piece(packet.data, static_cast<uint32_t>(packet.data_end - packet.data));
  for (Packet::Fragment& fragment : packet.fragments) {
    if (bytes == 0) return;
    piece(fragment.buffer.get() + fragment.offset, fragment.size);
  }
}

// The errors of the kernel's bpf_xdp_pointer; 0 when the range can be accessed.
int range_error(const Packet& packet, uint32_t offset, uint32_t bytes) {
  if (offset > kMaxAccess || bytes > kMaxAccess) return EFAULT;
  return offset + bytes > packet.size() ? EINVAL : 0;
}

}  // namespace

uint64_t xdp_adjust_head(HelperContext& ctx, uint64_t, uint64_t delta, uint64_t, uint64_t, uint64_t) {
  return inlined::adjust_head(*ctx.packet, delta);
}

uint64_t xdp_adjust_tail(HelperContext& ctx, uint64_t, uint64_t delta, uint64_t, uint64_t, uint64_t) {
  Packet& packet = *ctx.packet;
  if (packet.fragments.empty()) return inlined::adjust_linear_tail(packet, delta);
  const int64_t offset = static_cast<int32_t>(delta);
  if (offset >= 0) return grow_last_fragment(packet, static_cast<uint32_t>(offset));
  if (-offset > static_cast<int64_t>(packet.size()) - packet::kMinFrameBytes) return fail(EINVAL);
  shrink(packet, static_cast<uint32_t>(-offset));
  return 0;
}

uint64_t xdp_adjust_meta(HelperContext& ctx, uint64_t, uint64_t delta, uint64_t, uint64_t, uint64_t) {
  return inlined::adjust_meta(*ctx.packet, delta);
}

uint64_t xdp_get_buff_len(HelperContext& ctx, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t) {
  return ctx.packet->size();
}

uint64_t xdp_load_bytes(HelperContext& ctx, uint64_t, uint64_t offset, uint64_t buffer, uint64_t bytes, uint64_t) {
  const uint32_t at = static_cast<uint32_t>(offset);
  const uint32_t count = static_cast<uint32_t>(bytes);
  if (const int error = range_error(*ctx.packet, at, count)) return fail(error);
  uint8_t* to = pointer<uint8_t>(buffer);
  for_each_piece(*ctx.packet, at, count, [&](const uint8_t* piece, uint32_t size) {
    std::memcpy(to, piece, size);
    to += size;
  });
  return 0;
}

uint64_t xdp_store_bytes(HelperContext& ctx, uint64_t, uint64_t offset, uint64_t buffer, uint64_t bytes, uint64_t) {
  const uint32_t at = static_cast<uint32_t>(offset);
  const uint32_t count = static_cast<uint32_t>(bytes);
  if (const int error = range_error(*ctx.packet, at, count)) return fail(error);
  const uint8_t* from = pointer<const uint8_t>(buffer);
  for_each_piece(*ctx.packet, at, count, [&](uint8_t* piece, uint32_t size) {
    std::memmove(piece, from, size);
    from += size;
  });
  return 0;
}

uint64_t csum_diff(HelperContext&, uint64_t from, uint64_t from_size, uint64_t to, uint64_t to_size, uint64_t seed) {
  return inlined::csum_diff(from, from_size, to, to_size, seed);
}

}  // namespace xnic::exec::helpers
