// SPDX-License-Identifier: Apache-2.0
// bpf_perf_event_output (net/core/filter.c bpf_xdp_event_output): a sample of the program's data and, after it, as many
// bytes of the packet as the upper half of the flags says.
#include <linux/bpf.h>

#include <cstring>

#include "exec/helpers/call.hpp"
#include "exec/maps/perf_event_array.hpp"

namespace xnic::exec::helpers {
namespace {

// The first `bytes` of the packet in one piece; `room` is used when they lie in several. Pre: the packet has them.
base::Bytes packet_prefix(const packet::Packet& packet, uint64_t bytes, std::vector<uint8_t>& room) {
  const uint64_t linear = static_cast<uint64_t>(packet.data_end - packet.data);
  if (bytes <= linear) return {packet.data, bytes};
  room = packet.bytes();
  return {room.data(), bytes};
}

}  // namespace

uint64_t perf_event_output(HelperContext& ctx, uint64_t, uint64_t map, uint64_t flags, uint64_t data, uint64_t bytes) {
  const uint64_t packet_bytes = (flags & BPF_F_CTXLEN_MASK) >> 32;
  if ((flags & ~(BPF_F_CTXLEN_MASK | BPF_F_INDEX_MASK)) != 0) return fail(EINVAL);
  if (packet_bytes > ctx.packet->size()) return fail(EFAULT);
  const uint64_t wanted = flags & BPF_F_INDEX_MASK;
  const uint32_t index = wanted == BPF_F_CURRENT_CPU ? ctx.run->cpu : static_cast<uint32_t>(wanted);
  std::vector<uint8_t> room;
  return integer(
      static_cast<maps::PerfEventArrayMap&>(map_of(map))
          .output(index, {pointer<const uint8_t>(data), bytes}, packet_prefix(*ctx.packet, packet_bytes, room)));
}

}  // namespace xnic::exec::helpers
