// SPDX-License-Identifier: Apache-2.0
// The short helpers, inline: what the table of helpers calls, and what native code takes into programs. Limits and
// errors are those of Linux (net/core/filter.c): the headroom keeps room for struct xdp_frame, growth at the end stops
// at the skb_shared_info, an Ethernet header always stays.
#pragma once

#include <cerrno>
#include <cstring>

#include "arch/ebpf/map_types.hpp"
#include "base/bytes.hpp"
#include "base/rng.hpp"
#include "exec/helpers/helper_context.hpp"
#include "exec/helpers/helper_state.hpp"

namespace xnic::exec::helpers::inlined {

// A negative errno as a program sees it in r0.
constexpr uint64_t failure(int error) { return static_cast<uint64_t>(-int64_t{error}); }

inline uint64_t adjust_head(packet::Packet& packet, uint64_t delta) {
  const int64_t offset = static_cast<int32_t>(delta);
  const int64_t meta_bytes = packet.data - packet.data_meta;
  const int64_t new_data = packet.data - packet.frame() + offset;
  if (new_data < packet::kFrameHeaderBytes + meta_bytes) return failure(EINVAL);
  if (new_data > packet.data_end - packet.frame() - packet::kMinFrameBytes) return failure(EINVAL);
  if (meta_bytes != 0) std::memmove(packet.data_meta + offset, packet.data_meta, static_cast<size_t>(meta_bytes));
  packet.data_meta += offset;
  packet.data += offset;
  return 0;
}

inline uint64_t adjust_meta(packet::Packet& packet, uint64_t delta) {
  constexpr uint64_t kMaxMetaBytes = 255;  // skb_shared_info::meta_len is a byte
  const int64_t offset = static_cast<int32_t>(delta);
  const int64_t meta = packet.data_meta - packet.frame() + offset;
  const int64_t data = packet.data - packet.frame();
  if (meta < packet::kFrameHeaderBytes || meta > data) return failure(EINVAL);
  const uint64_t meta_bytes = static_cast<uint64_t>(data - meta);
  if (meta_bytes % 4 != 0 || meta_bytes > kMaxMetaBytes) return failure(EACCES);
  packet.data_meta = packet.frame() + meta;
  return 0;
}

// Pre: the packet has no fragments.
inline uint64_t adjust_linear_tail(packet::Packet& packet, uint64_t delta) {
  const int64_t offset = static_cast<int32_t>(delta);
  const int64_t bytes = packet.data_end - packet.data + offset;
  const uint8_t* hard_end = packet.frame_end() - packet::kTailReserveBytes;
  if (bytes > hard_end - packet.data || bytes < packet::kMinFrameBytes) return failure(EINVAL);
  if (offset > 0) std::memset(packet.data_end, 0, static_cast<size_t>(offset));
  packet.data_end += offset;
  return 0;
}

// Ones' complement sum of 32-bit words, the last one filled up with zeros, as csum_partial; the carries come back in at
// the end.
inline uint32_t sum_words(uint64_t data, uint32_t bytes, uint32_t seed) {
  const auto* at = reinterpret_cast<const uint8_t*>(data);
  uint64_t sum = seed;
  uint32_t i = 0;
  for (; i + 4 <= bytes; i += 4) sum += base::load<uint32_t>(at + i);
  uint32_t rest = 0;
  if (i != bytes) std::memcpy(&rest, at + i, bytes - i);
  sum += rest;
  sum = (sum & 0xffffffff) + (sum >> 32);
  sum = (sum & 0xffffffff) + (sum >> 32);
  return static_cast<uint32_t>(sum);
}

// As Linux 6.18 measures: the result is folded to 16 bits, sizes need not be multiples of 4 and have no upper limit
// (6.12 refuses both and returns 32 bits).
inline uint64_t csum_diff(uint64_t from, uint64_t from_size, uint64_t to, uint64_t to_size, uint64_t seed) {
  const uint32_t from_bytes = static_cast<uint32_t>(from_size);
  const uint32_t to_bytes = static_cast<uint32_t>(to_size);
  const uint32_t start = static_cast<uint32_t>(seed);
  uint32_t sum = start;
  if (from_bytes != 0 && to_bytes != 0) {
    const uint64_t both = uint64_t{sum_words(to, to_bytes, start)} + ~sum_words(from, from_bytes, 0);
    sum = static_cast<uint32_t>(both + (both >> 32));
  } else if (to_bytes != 0) {
    sum = sum_words(to, to_bytes, start);
  } else if (from_bytes != 0) {
    sum = ~sum_words(from, from_bytes, ~start);
  }
  sum = (sum & 0xffff) + (sum >> 16);
  return (sum & 0xffff) + (sum >> 16);
}

inline uint64_t redirect(HelperContext& ctx, uint64_t ifindex, uint64_t flags) {
  if (flags != 0) return arch::ebpf::kXdpAborted;
  ctx.redirect = {RedirectKind::kInterface, static_cast<uint32_t>(ifindex), 0, 0};
  return arch::ebpf::kXdpRedirect;
}

constexpr RedirectKind redirect_kind(arch::ebpf::MapType type) {
  switch (type) {
    case arch::ebpf::kMapDevmap:
    case arch::ebpf::kMapDevmapHash:
      return RedirectKind::kDevmap;
    case arch::ebpf::kMapCpumap:
      return RedirectKind::kCpumap;
    case arch::ebpf::kMapXskmap:
      return RedirectKind::kXskmap;
    default:
      return RedirectKind::kNone;
  }
}

// The rest of bpf_redirect_map when the map's kind is known. `present(key)`: whether the map has an entry. `id()`: the
// map's device id.
template <class Present, class Id>
uint64_t redirect_map(HelperContext& ctx, RedirectKind kind, uint64_t index, uint64_t flags, Present present, Id id) {
  constexpr uint64_t kFallbackMask = 3;  // the lower two bits of the flags: action when the map has no entry
  constexpr uint64_t kBroadcast = 1u << 3, kExcludeIngress = 1u << 4;  // BPF_F_*, for devmaps
  const uint64_t own_flags = kind == RedirectKind::kDevmap ? kBroadcast | kExcludeIngress : 0;
  if ((flags & ~(kFallbackMask | own_flags)) != 0) return arch::ebpf::kXdpAborted;
  const uint32_t key = static_cast<uint32_t>(index);
  const bool broadcast = (flags & kBroadcast) != 0;
  if (!present(key) && !broadcast) {
    ctx.redirect = {};  // the last call decides, also when it fails
    return flags & kFallbackMask;
  }
  ctx.redirect = {kind, key, id(), broadcast ? flags : 0};
  return arch::ebpf::kXdpRedirect;
}

inline uint64_t random_word(HelperContext& ctx) {
  uint64_t& state = ctx.run->random_state != nullptr ? *ctx.run->random_state : ctx.state->random_state;
  base::Rng rng(state);
  const uint64_t number = rng.next();
  state += 0x9e3779b97f4a7c15u;  // where splitmix64 stands after one step
  return static_cast<uint32_t>(number >> 32);
}

}  // namespace xnic::exec::helpers::inlined
