// SPDX-License-Identifier: Apache-2.0
// The sending half of ef_vi: the ring, programmed I/O, CTPIO, warming. Every path puts its frame into the ring, so that
// completions come in the order of sending.
#include <cstring>

#include "nic/vi/interface.hpp"

namespace xnic::nic::vi {
namespace {

constexpr uint32_t kNoId = 0xffffffff;

uint32_t space(const ef_vi* vi) { return static_cast<uint32_t>(ef_vi_transmit_space(vi)); }

// A frame that lies in the library's memory or has been sent already takes one entry.
void add_slot(VirtualInterface& it, const TransmitSlot& slot, ef_request_id id) {
  ef_vi_txq_state& state = it.state.txq;
  const uint32_t at = state.added++ & it.vi->vi_txq.mask;
  it.tx.slots[at] = slot;
  it.tx_ids[at] = static_cast<uint32_t>(id);
}

// What a full ring does while sending is rehearsed.
int refuse(VirtualInterface& it, const ef_iovec* iov, int iov_len) {
  if (!it.tx.warming) return -EAGAIN;
  Frame frame;
  for (int i = 0; i < iov_len; ++i) frame.add(it.card.at(iov[i].iov_base), iov[i].iov_len);
  rehearse(it, frame);
  return -EAGAIN;
}

int transmitv_init(ef_vi* vi, const ef_iovec* iov, int iov_len, ef_request_id id) {
  VirtualInterface& it = of(vi);
  if (iov_len < 1 || iov_len > static_cast<int>(Frame::kMaxPieces) - 2) return -EINVAL;
  if (space(vi) < static_cast<uint32_t>(iov_len)) return refuse(it, iov, iov_len);
  for (int i = 0; i < iov_len; ++i) {
    const bool last = i == iov_len - 1;
    add_slot(it, {iov[i].iov_base, iov[i].iov_len, it.tx.selected, Way::kDma, last}, last ? id : -1);
  }
  return 0;
}

void transmit_push(ef_vi* vi) { push(of(vi)); }

int transmitv(ef_vi* vi, const ef_iovec* iov, int iov_len, ef_request_id id) {
  const int error = transmitv_init(vi, iov, iov_len, id);
  if (error == 0) push(of(vi));
  return error;
}

int transmit(ef_vi* vi, ef_addr base, int len, ef_request_id id) {
  const ef_iovec iov = {base, static_cast<unsigned>(len)};
  return transmitv(vi, &iov, 1, id);
}

bool fits(const ef_vi* vi, int offset, int len) {
  return vi->linked_pio != nullptr && offset >= 0 && len >= 0 &&
         static_cast<unsigned>(offset) + static_cast<unsigned>(len) <= vi->linked_pio->pio_len;
}

int transmit_pio(ef_vi* vi, int offset, int len, ef_request_id id) {
  VirtualInterface& it = of(vi);
  if (vi->linked_pio == nullptr) return -EOPNOTSUPP;
  if (offset % 64 != 0 || len < 16 || !fits(vi, offset, len)) return -EINVAL;
  const uint8_t* const data = vi->linked_pio->pio_buffer + offset;
  if (space(vi) == 0) {
    if (!it.tx.warming) return -EAGAIN;
    Frame frame;
    frame.add(data, static_cast<uint32_t>(len));
    rehearse(it, frame);
    return -EAGAIN;
  }
  add_slot(it, {reinterpret_cast<uint64_t>(data), static_cast<uint32_t>(len), it.tx.selected, Way::kInside, true}, id);
  push(it);
  return 0;
}

int transmit_copy_pio(ef_vi* vi, int offset, const void* source, int len, ef_request_id id) {
  if (vi->linked_pio == nullptr) return -EOPNOTSUPP;
  if (offset % 64 != 0 || len < 16 || !fits(vi, offset, len)) return -EINVAL;
  if (space(vi) == 0 && !of(vi).tx.warming) return -EAGAIN;
  std::memcpy(vi->linked_pio->pio_buffer + offset, source, static_cast<size_t>(len));
  return transmit_pio(vi, offset, len, id);
}

void start_warm(ef_vi* vi, ef_vi_tx_warm_state* saved, char* region) {
  VirtualInterface& it = of(vi);
  saved->removed = it.state.txq.removed;
  saved->vi_ctpio_mmap_ptr = vi->vi_ctpio_mmap_ptr;
  vi->vi_ctpio_mmap_ptr = region;
  it.state.txq.removed = it.state.txq.added - vi->vi_txq.mask;
  it.tx.warming = true;
}

void stop_warm(ef_vi* vi, ef_vi_tx_warm_state* saved) {
  VirtualInterface& it = of(vi);
  it.state.txq.removed = saved->removed;
  vi->vi_ctpio_mmap_ptr = saved->vi_ctpio_mmap_ptr;
  it.tx.warming = false;
}

void transmit_pio_warm(ef_vi* vi) {
  ef_vi_tx_warm_state saved;
  start_warm(vi, &saved, nullptr);
  (void)transmit_pio(vi, 0, 64, 0);
  stop_warm(vi, &saved);
}

void transmit_copy_pio_warm(ef_vi* vi, int offset, const void* source, int len) {
  ef_vi_tx_warm_state saved;
  start_warm(vi, &saved, nullptr);
  (void)transmit_copy_pio(vi, offset, source, len, 0);
  stop_warm(vi, &saved);
}

// Takes one of the port's provoked underruns, when there is any.
bool runs_dry(Port& port) {
  uint32_t left = port.underruns.load(std::memory_order_relaxed);
  while (left != 0)
    if (port.underruns.compare_exchange_weak(left, left - 1, std::memory_order_relaxed)) return true;
  return false;
}

// The frame is sent here, past the ring, when nothing of this ring is under way, the ring has a place for its
// completion (a program that finds it full sends the frame again) and the port's aperture is free. A frame that runs
// dry after its first bytes are out (cut through) reaches the receiver with a bad checksum.
void transmitv_ctpio(ef_vi* vi, size_t frame_len, const iovec* iov, int iov_len, unsigned threshold) {
  VirtualInterface& it = of(vi);
  TransmitQueue& tx = it.tx;
  Frame frame;
  for (int i = 0; i < iov_len && frame.count < Frame::kMaxPieces - 2; ++i)
    if (iov[i].iov_len != 0)
      frame.add(static_cast<const uint8_t*>(iov[i].iov_base), static_cast<uint32_t>(iov[i].iov_len));
  if (tx.warming) return rehearse(it, frame);
  tx.ctpio = TransmitQueue::Ctpio::kLost;
  if ((vi->vi_flags & EF_VI_TX_CTPIO) == 0 || frame.bytes != frame_len || frame.bytes < 14 ||
      frame.bytes > longest_frame(*it.port) || it.state.txq.previous != it.state.txq.added || tx.selected != kWire ||
      space(vi) == 0 || tx.error.load(std::memory_order_relaxed) != 0)
    return;
  Port& port = it.card.header().ports[it.shared->port];
  uint32_t free = 0;
  if (!port.aperture.compare_exchange_strong(free, tx.delivery.client + 1, std::memory_order_acquire)) return;
  if (port.underruns.load(std::memory_order_relaxed) != 0 && runs_dry(port)) {
    if (threshold < frame_len && (vi->vi_flags & EF_VI_TX_CTPIO_NO_POISON) == 0) send(it, frame, false, kFaultCrc);
  } else {
    send(it, frame, false, 0);
    tx.ctpio = TransmitQueue::Ctpio::kWon;
  }
  port.aperture.store(0, std::memory_order_release);
}

void transmitv_ctpio_copy(ef_vi* vi, size_t frame_len, const iovec* iov, int iov_len, unsigned threshold,
                          void* fallback) {
  transmitv_ctpio(vi, frame_len, iov, iov_len, threshold);
  auto* to = static_cast<uint8_t*>(fallback);
  for (int i = 0; i < iov_len; ++i) {
    std::memcpy(to, iov[i].iov_base, iov[i].iov_len);
    to += iov[i].iov_len;
  }
}

int transmitv_ctpio_fallback(ef_vi* vi, const ef_iovec* iov, int iov_len, ef_request_id id) {
  VirtualInterface& it = of(vi);
  if ((vi->vi_flags & EF_VI_TX_CTPIO) == 0) return -EOPNOTSUPP;
  if (it.tx.ctpio != TransmitQueue::Ctpio::kWon) {
    const int error = transmitv(vi, iov, iov_len, id);
    if (error == 0) it.tx.ctpio = TransmitQueue::Ctpio::kNone;
    return error;
  }
  if (space(vi) == 0) return -EAGAIN;
  it.tx.ctpio = TransmitQueue::Ctpio::kNone;
  TransmitSlot slot{0, 0, kWire, Way::kSent, true};
  if ((vi->vi_flags & EF_VI_TX_TIMESTAMPS) != 0) slot.sent_ns = now_ns();
  add_slot(it, slot, id);
  push(it);
  return 0;
}

int transmit_ctpio_fallback(ef_vi* vi, ef_addr dma_addr, size_t len, ef_request_id id) {
  const ef_iovec iov = {dma_addr, static_cast<unsigned>(len)};
  return transmitv_ctpio_fallback(vi, &iov, 1, id);
}

int alt_select(ef_vi* vi, unsigned id) {
  if (id >= of(vi).tx.alternatives.size()) return -EINVAL;
  of(vi).tx.selected = static_cast<uint16_t>(id);
  return 0;
}

int alt_select_default(ef_vi* vi) {
  of(vi).tx.selected = kWire;
  return 0;
}

// Empties the alternative: sends what it holds, or drops it.
int leave_stop(ef_vi* vi, unsigned id, Alternative::State state) {
  VirtualInterface& it = of(vi);
  if (id >= it.tx.alternatives.size()) return -EINVAL;
  Alternative& alternative = it.tx.alternatives[id];
  alternative.state = state;
  for (const std::vector<uint8_t>& bytes : alternative.frames) {
    Frame frame;
    frame.add(bytes.data(), static_cast<uint32_t>(bytes.size()));
    if (state == Alternative::State::kGo) send(it, frame, true, 0);
    it.tx.alternative_used -= alternative_usage(static_cast<uint32_t>(bytes.size()));
    it.tx.sent_alternatives.push_back(static_cast<uint16_t>(id));
  }
  alternative.frames.clear();
  return 0;
}

int alt_stop(ef_vi* vi, unsigned id) {
  if (id >= of(vi).tx.alternatives.size()) return -EINVAL;
  of(vi).tx.alternatives[id].state = Alternative::State::kStop;
  return 0;
}
int alt_go(ef_vi* vi, unsigned id) { return leave_stop(vi, id, Alternative::State::kGo); }
int alt_discard(ef_vi* vi, unsigned id) { return leave_stop(vi, id, Alternative::State::kDiscard); }

}  // namespace

void set_transmit_ops(ef_vi& vi) {
  vi.ops.transmit = transmit;
  vi.ops.transmitv = transmitv;
  vi.ops.transmitv_init = transmitv_init;
  vi.ops.transmit_push = transmit_push;
  vi.ops.transmit_pio = transmit_pio;
  vi.ops.transmit_copy_pio = transmit_copy_pio;
  vi.ops.transmit_pio_warm = transmit_pio_warm;
  vi.ops.transmit_copy_pio_warm = transmit_copy_pio_warm;
  vi.ops.transmitv_ctpio = transmitv_ctpio;
  vi.ops.transmitv_ctpio_copy = transmitv_ctpio_copy;
  vi.ops.transmit_alt_select = alt_select;
  vi.ops.transmit_alt_select_default = alt_select_default;
  vi.ops.transmit_alt_stop = alt_stop;
  vi.ops.transmit_alt_go = alt_go;
  vi.ops.transmit_alt_discard = alt_discard;
  vi.ops.transmit_ctpio_fallback = transmit_ctpio_fallback;
  vi.ops.transmitv_ctpio_fallback = transmitv_ctpio_fallback;
  vi.ops.start_transmit_warm = start_warm;
  vi.ops.stop_transmit_warm = stop_warm;
}

}  // namespace xnic::nic::vi

using namespace xnic::nic::vi;

int ef_vi_transmit_init(ef_vi* vi, ef_addr addr, int bytes, ef_request_id dma_id) {
  const ef_iovec iov = {addr, static_cast<unsigned>(bytes)};
  return vi->ops.transmitv_init(vi, &iov, 1, dma_id);
}

int ef_vi_transmitv_init_extra(ef_vi*, const ef_vi_tx_extra*, const ef_remote_iovec*, int, ef_request_id) {
  return -EINVAL;
}

void ef_vi_transmit_init_undo(ef_vi* vi) {
  VirtualInterface& it = of(vi);
  while (it.state.txq.added != it.state.txq.previous) it.tx_ids[--it.state.txq.added & vi->vi_txq.mask] = kNoId;
}

void ef_vi_set_tx_push_threshold(ef_vi* vi, unsigned threshold) { vi->tx_push_thresh = threshold; }

int ef_vi_transmit_unbundle(ef_vi* vi, const ef_event* event, ef_request_id* ids) {
  VirtualInterface& it = of(vi);
  ef_vi_txq_state& state = it.state.txq;
  const uint32_t mask = vi->vi_txq.mask;
  int count = 0;
  for (const uint32_t stop = (event->tx.desc_id + 1u) & mask; (state.removed & mask) != stop; ++state.removed) {
    uint32_t& id = it.tx_ids[state.removed & mask];
    if (id != kNoId) ids[count++] = static_cast<ef_request_id>(id);
    id = kNoId;
  }
  return count;
}

int __ef_vi_reinit_txq_post_error(ef_vi* vi) {
  VirtualInterface& it = of(vi);
  ef_vi_txq_state& state = it.state.txq;
  for (uint32_t i = state.removed; i != state.added; ++i) it.tx_ids[i & vi->vi_txq.mask] = kNoId;
  state.removed = state.previous = it.tx.reported = state.added;
  it.tx.done.store(state.added, std::memory_order_release);
  it.tx.error_reported = false;
  it.tx.error.store(0, std::memory_order_release);
  return 0;
}

unsigned ef_vi_transmit_alt_num_ids(ef_vi* vi) { return vi->tx_alt_num; }

int ef_vi_transmit_alt_query_overhead(ef_vi* vi, ef_vi_transmit_alt_overhead* params) {
  if ((vi->vi_flags & EF_VI_TX_ALT) == 0) return -EINVAL;
  *params = kAlternativeOverhead;
  return 0;
}

int ef_vi_transmit_alt_alloc(ef_vi* vi, ef_driver_handle, int num_alts, size_t buf_space) {
  static constexpr int kMaxAlternatives = 32;
  static constexpr size_t kMaxSpace = 1 << 20;
  if ((vi->vi_flags & EF_VI_TX_ALT) == 0 || num_alts <= 0 || buf_space == 0) return -EINVAL;
  TransmitQueue& tx = of(vi).tx;
  if (!tx.alternatives.empty()) return -EALREADY;
  if (num_alts > kMaxAlternatives || buf_space > kMaxSpace) return -EBUSY;
  tx.alternatives.resize(static_cast<size_t>(num_alts));
  tx.alternative_space = buf_space;
  tx.alternative_used = 0;
  vi->tx_alt_num = static_cast<unsigned>(num_alts);
  return 0;
}

int ef_vi_transmit_alt_free(ef_vi* vi, ef_driver_handle) {
  TransmitQueue& tx = of(vi).tx;
  if (tx.alternatives.empty()) return -EINVAL;
  tx.alternatives.clear();
  tx.selected = kWire;
  vi->tx_alt_num = 0;
  return 0;
}

int ef_vi_transmit_alt_query_buffering(ef_vi* vi, int, ef_driver_handle, int n_alts) {
  if ((vi->vi_flags & EF_VI_TX_ALT) == 0 || n_alts <= 0) return -EINVAL;
  return 1 << 20;
}

void efct_vi_start_transmit_warm(ef_vi* vi) { vi->ops.start_transmit_warm(vi, &of(vi).tx.warm_state, nullptr); }
void efct_vi_stop_transmit_warm(ef_vi* vi) { vi->ops.stop_transmit_warm(vi, &of(vi).tx.warm_state); }
