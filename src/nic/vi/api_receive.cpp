// SPDX-License-Identifier: Apache-2.0
// The receiving half of ef_vi: posting buffers, and what the prefix of a received frame says.
#include <etherfabric/efct_vi.h>
#include <etherfabric/packedstream.h>

#include <cstring>

#include "nic/vi/interface.hpp"

namespace xnic::nic::vi {
namespace {

constexpr uint32_t kNoId = 0xffffffff;

int receive_init(ef_vi* vi, ef_addr address, ef_request_id id) {
  VirtualInterface& it = of(vi);
  ef_vi_rxq_state& state = it.state.rxq;
  if (state.added - state.removed >= vi->vi_rxq.mask) return -EAGAIN;
  if (vi->vi_is_packed_stream != 0 && address % vi->vi_ps_buf_size != 0) return -EINVAL;
  const uint32_t at = state.added & vi->vi_rxq.mask;
  static_cast<uint64_t*>(vi->vi_rxq.descriptors)[at] = descriptor_of(address, vi->rx_buffer_len);
  it.rx_ids[at] = static_cast<uint32_t>(id);
  ++state.added;
  return 0;
}

void receive_push(ef_vi* vi) {
  VirtualInterface& it = of(vi);
  it.state.rxq.posted = it.state.rxq.added;
  it.shared->posted.store(it.state.rxq.added, std::memory_order_release);
}

int set_discards(ef_vi* vi, unsigned flags) {
  vi->rx_discard_mask = flags;
  of(vi).shared->discard_mask.store(flags, std::memory_order_relaxed);
  return 0;
}

uint64_t get_discards(ef_vi* vi) { return vi->rx_discard_mask; }

int get_timestamp(ef_vi* vi, const void* packet, ef_precisetime* out) {
  *out = {};
  if ((vi->vi_flags & EF_VI_RX_TIMESTAMPS) == 0 || vi->rx_prefix_len == 0) return -ENODATA;
  uint32_t seconds, ticks;
  std::memcpy(&seconds, static_cast<const uint8_t*>(packet) + kPrefixSecondsAt, 4);
  std::memcpy(&ticks, static_cast<const uint8_t*>(packet) + kPrefixTicksAt, 4);
  if (ticks == 0xffffffff) return -ENODATA;
  out->tv_sec = seconds;
  out->tv_nsec = ticks / 4;
  out->tv_nsec_frac = static_cast<uint16_t>(ticks % 4 << 14);
  out->tv_flags = EF_VI_SYNC_FLAG_CLOCK_SET;
  return 0;
}

int get_filter_id(ef_vi* vi, const ef_event*, const void* packet) {
  if ((vi->vi_flags & EF_VI_RX_FILTER_ID) == 0) return -EINVAL;
  uint16_t id;
  std::memcpy(&id, static_cast<const uint8_t*>(packet) + kPrefixFilterAt, 2);
  return id == 0xffff ? -ENODATA : id;
}

}  // namespace

void set_receive_ops(ef_vi& vi) {
  vi.ops.receive_init = receive_init;
  vi.ops.receive_push = receive_push;
  vi.ops.receive_set_discards = set_discards;
  vi.ops.receive_get_discards = get_discards;
  vi.ops.receive_get_timestamp = get_timestamp;
  vi.ops.receive_get_filter_id = get_filter_id;
}

}  // namespace xnic::nic::vi

using namespace xnic::nic::vi;

int ef_vi_receive_post(ef_vi* vi, ef_addr addr, ef_request_id dma_id) {
  const int error = vi->ops.receive_init(vi, addr, dma_id);
  if (error == 0) vi->ops.receive_push(vi);
  return error;
}

int ef_vi_receive_unbundle(ef_vi* vi, const ef_event* event, ef_request_id* ids) {
  VirtualInterface& it = of(vi);
  int count = 0;
  for (unsigned i = 0; i < event->rx_multi.n_descs; ++i) {
    uint32_t& id = it.rx_ids[it.state.rxq.removed++ & vi->vi_rxq.mask];
    ids[count++] = static_cast<ef_request_id>(id);
    id = kNoId;
  }
  return count;
}

ef_request_id ef_vi_rxq_next_desc_id(ef_vi* vi) {
  VirtualInterface& it = of(vi);
  uint32_t& id = it.rx_ids[it.state.rxq.removed++ & vi->vi_rxq.mask];
  const auto taken = static_cast<ef_request_id>(id);
  id = kNoId;
  return taken;
}

int ef_vi_receive_get_bytes(ef_vi* vi, const void* pkt, uint16_t* bytes_out) {
  if (vi->rx_prefix_len == 0) return -EINVAL;
  std::memcpy(bytes_out, static_cast<const uint8_t*>(pkt) + kPrefixLengthAt, 2);
  return 0;
}

int ef_vi_receive_get_timestamp_with_sync_flags(ef_vi* vi, const void* pkt, ef_timespec* ts_out, unsigned* flags_out) {
  ef_precisetime time;
  const int error = vi->ops.receive_get_timestamp(vi, pkt, &time);
  ts_out->tv_sec = static_cast<time_t>(time.tv_sec);
  ts_out->tv_nsec = static_cast<long>(time.tv_nsec);
  *flags_out = time.tv_flags;
  return error;
}

int ef_vi_receive_get_timestamp(ef_vi* vi, const void* pkt, ef_timespec* ts_out) {
  unsigned flags;
  return ef_vi_receive_get_timestamp_with_sync_flags(vi, pkt, ts_out, &flags);
}

int ef_vi_receive_get_user_data(ef_vi*, const void*, uint32_t*, uint8_t*) { return -EINVAL; }
int ef_vi_receive_get_discard_flags(ef_vi*, const void*, unsigned*) { return -EINVAL; }

int ef_vi_receive_query_layout(ef_vi* vi, const ef_vi_layout_entry** const layout_out, int* layout_len_out) {
  static const ef_vi_layout_entry bare[] = {{EF_VI_LAYOUT_FRAME, 0, "Ethernet frame"}};
  static const ef_vi_layout_entry prefixed[] = {
      {EF_VI_LAYOUT_FRAME, kPrefixBytes, "Ethernet frame"},
      {EF_VI_LAYOUT_PACKET_LENGTH, kPrefixLengthAt, "length of the frame"},
      {EF_VI_LAYOUT_MINOR_TICKS, kPrefixTicksAt, "time of arrival in the second, in quarter nanoseconds"},
      {EF_VI_LAYOUT_FILTER_ID, kPrefixFilterAt, "id of the filter that matched"}};
  const bool prefix = vi->rx_prefix_len != 0;
  *layout_out = prefix ? prefixed : bare;
  *layout_len_out = prefix ? 4 : 1;
  return 0;
}

int ef_vi_packed_stream_get_params(ef_vi* vi, ef_packed_stream_params* psp_out) {
  if (vi->vi_is_packed_stream == 0) return -EINVAL;
  psp_out->psp_buffer_size = psp_out->psp_buffer_align = static_cast<int>(vi->vi_ps_buf_size);
  psp_out->psp_start_offset = kStreamStart;
  psp_out->psp_max_usable_buffers = static_cast<int>(vi->vi_rxq.mask);
  return 0;
}

int ef_vi_packed_stream_unbundle(ef_vi*, const ef_event* ev, ef_packed_stream_packet** pkt_iter, int* n_pkts_out,
                                 int* n_bytes_out) {
  *n_pkts_out = static_cast<int>(ev->rx_packed_stream.n_pkts);
  *n_bytes_out = 0;
  for (unsigned i = 0; i < ev->rx_packed_stream.n_pkts; ++i) {
    *n_bytes_out += (*pkt_iter)->ps_orig_len;
    *pkt_iter = ef_packed_stream_packet_next(*pkt_iter);
  }
  return 0;
}

const void* efct_vi_rxpkt_get(ef_vi*, uint32_t) { return nullptr; }
void efct_vi_rxpkt_release(ef_vi*, uint32_t) {}
const void* efct_vi_rx_future_peek(ef_vi*) { return nullptr; }
int efct_vi_rx_future_poll(ef_vi*, ef_event*, int) { return -EOPNOTSUPP; }
