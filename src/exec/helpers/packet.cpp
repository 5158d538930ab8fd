// SPDX-License-Identifier: Apache-2.0
// Helpers that move packet bounds or copy packet bytes, with the limits and errors of Linux (net/core/filter.c): the
// headroom keeps room for struct xdp_frame, growth at the end stops at the skb_shared_info, an Ethernet header always
// stays. The receive queue of a test run has fragments of one page, so the last fragment can grow to a page.
#include <algorithm>
#include <cstring>

#include "exec/helpers/call.hpp"

namespace xnic::exec::helpers {
namespace {

using packet::Packet;

constexpr uint64_t kMaxMetaBytes = 255;  // skb_shared_info::meta_len is a byte
constexpr uint32_t kMaxAccess = 0xffff;

uint8_t* hard_end(const Packet& packet) { return packet.frame_end() - packet::kTailReserveBytes; }

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
  Packet& packet = *ctx.packet;
  const int64_t offset = static_cast<int32_t>(delta);
  const int64_t meta_bytes = packet.data - packet.data_meta;
  const int64_t new_data = packet.data - packet.frame() + offset;
  if (new_data < packet::kFrameHeaderBytes + meta_bytes) return fail(EINVAL);
  if (new_data > packet.data_end - packet.frame() - packet::kMinFrameBytes) return fail(EINVAL);
  if (meta_bytes != 0) std::memmove(packet.data_meta + offset, packet.data_meta, static_cast<size_t>(meta_bytes));
  packet.data_meta += offset;
  packet.data += offset;
  return 0;
}

uint64_t xdp_adjust_tail(HelperContext& ctx, uint64_t, uint64_t delta, uint64_t, uint64_t, uint64_t) {
  Packet& packet = *ctx.packet;
  const int64_t offset = static_cast<int32_t>(delta);
  if (!packet.fragments.empty()) {
    if (offset >= 0) return grow_last_fragment(packet, static_cast<uint32_t>(offset));
    if (-offset > static_cast<int64_t>(packet.size()) - packet::kMinFrameBytes) return fail(EINVAL);
    shrink(packet, static_cast<uint32_t>(-offset));
    return 0;
  }
  const int64_t bytes = packet.data_end - packet.data + offset;
  if (bytes > hard_end(packet) - packet.data || bytes < packet::kMinFrameBytes) return fail(EINVAL);
  if (offset > 0) std::memset(packet.data_end, 0, static_cast<size_t>(offset));
  packet.data_end += offset;
  return 0;
}

uint64_t xdp_adjust_meta(HelperContext& ctx, uint64_t, uint64_t delta, uint64_t, uint64_t, uint64_t) {
  Packet& packet = *ctx.packet;
  const int64_t offset = static_cast<int32_t>(delta);
  const int64_t meta = packet.data_meta - packet.frame() + offset;
  const int64_t data = packet.data - packet.frame();
  if (meta < packet::kFrameHeaderBytes || meta > data) return fail(EINVAL);
  const uint64_t meta_bytes = static_cast<uint64_t>(data - meta);
  if (meta_bytes % 4 != 0 || meta_bytes > kMaxMetaBytes) return fail(EACCES);
  packet.data_meta = packet.frame() + meta;
  return 0;
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

namespace {

// Ones' complement sum of 32-bit words, the last one filled up with zeros, as csum_partial; the carries come back in at
// the end.
uint32_t sum_words(uint64_t data, uint32_t bytes, uint32_t seed) {
  uint64_t sum = seed;
  uint32_t i = 0;
  for (; i + 4 <= bytes; i += 4) sum += base::load<uint32_t>(pointer<const uint8_t>(data + i));
  uint32_t rest = 0;
  if (i != bytes) std::memcpy(&rest, pointer<const uint8_t>(data + i), bytes - i);
  sum += rest;
  sum = (sum & 0xffffffff) + (sum >> 32);
  sum = (sum & 0xffffffff) + (sum >> 32);
  return static_cast<uint32_t>(sum);
}
uint32_t add_words(uint32_t a, uint32_t b) {
  const uint64_t sum = uint64_t{a} + b;
  return static_cast<uint32_t>(sum + (sum >> 32));
}
uint32_t fold(uint32_t sum) {
  sum = (sum & 0xffff) + (sum >> 16);
  return (sum & 0xffff) + (sum >> 16);
}

}  // namespace

// As Linux 6.18 measures: the result is folded to 16 bits, sizes need not be multiples of 4 and have no upper limit
// (6.12 refuses both and returns 32 bits).
uint64_t csum_diff(HelperContext&, uint64_t from, uint64_t from_size, uint64_t to, uint64_t to_size, uint64_t seed) {
  const uint32_t from_bytes = static_cast<uint32_t>(from_size);
  const uint32_t to_bytes = static_cast<uint32_t>(to_size);
  const uint32_t start = static_cast<uint32_t>(seed);
  uint32_t sum = start;
  if (from_bytes != 0 && to_bytes != 0) {
    sum = add_words(sum_words(to, to_bytes, start), ~sum_words(from, from_bytes, 0));
  } else if (to_bytes != 0) {
    sum = sum_words(to, to_bytes, start);
  } else if (from_bytes != 0) {
    sum = ~sum_words(from, from_bytes, ~start);
  }
  return fold(sum);
}

}  // namespace xnic::exec::helpers
