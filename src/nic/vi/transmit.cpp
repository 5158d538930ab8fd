// SPDX-License-Identifier: Apache-2.0
// Sending is the card's whole work: in push(), descriptor by descriptor, a frame is gathered from registered memory,
// checked, filled with checksums, and delivered at once to whoever gets it. So a frame is complete when push() returns.
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "nic/vi/interface.hpp"

namespace xnic::nic::vi {
namespace {

// Bytes of the frame that headers are read from.
constexpr uint32_t kHeadBytes = 128;

// Null: the domain may not reach all of it.
const uint8_t* reach(VirtualInterface& it, uint64_t address, uint32_t bytes) {
  TransmitQueue& tx = it.tx;
  const Domain& domain = it.card.header().domains[it.shared->domain];
  const uint32_t generation = domain.generation.load(std::memory_order_acquire);
  const auto inside = [&](const Range& range) { return address >= range.begin && address + bytes <= range.end; };
  if (tx.reachable_generation != generation || !inside(tx.reachable)) {
    const uint32_t count = std::min(domain.count.load(std::memory_order_acquire), kMaxRanges);
    const Range* const end = domain.ranges + count;
    const Range* const found = std::find_if(domain.ranges, end, inside);
    if (found == end) return nullptr;
    tx.reachable = *found;
    tx.reachable_generation = generation;
  }
  return it.card.at(address);
}

void keep(VirtualInterface& it, Alternative& alternative, const Frame& frame) {
  TransmitQueue& tx = it.tx;
  std::vector<uint8_t> bytes(frame.bytes);
  uint32_t at = 0;
  for (uint32_t i = 0; i < frame.count; ++i) {
    std::memcpy(&bytes[at], frame.pieces[i].data, frame.pieces[i].bytes);
    at += frame.pieces[i].bytes;
  }
  const size_t used = alternative_usage(frame.bytes);
  if (tx.alternative_used + used > tx.alternative_space) return;  // as on a card: dropped, and nobody is told
  tx.alternative_used += used;
  alternative.frames.push_back(std::move(bytes));
}

// The frame [first, end) of the ring.
bool send_slots(VirtualInterface& it, uint32_t first, uint32_t end) {
  TransmitQueue& tx = it.tx;
  const uint32_t mask = it.vi->vi_txq.mask;
  TransmitSlot& last = tx.slots[(end - 1) & mask];
  if (last.way == Way::kSent) return true;
  Frame frame;
  for (uint32_t i = first; i != end; ++i) {
    const TransmitSlot& slot = tx.slots[i & mask];
    if (slot.bytes == 0) continue;
    const uint8_t* const data =
        slot.way == Way::kInside ? reinterpret_cast<const uint8_t*>(slot.address) : reach(it, slot.address, slot.bytes);
    if (data == nullptr) {
      tx.error.store(1 + EF_EVENT_TX_ERROR_BUS, std::memory_order_release);
      return false;
    }
    frame.add(data, slot.bytes);
  }
  if (frame.bytes > longest_frame(*it.port) || frame.bytes < 14) {
    tx.error.store(1 + (frame.bytes < 14 ? EF_EVENT_TX_ERROR_BUS : EF_EVENT_TX_ERROR_2BIG), std::memory_order_release);
    return false;
  }
  if (last.alternative == kWire) {
    send(it, frame, true, 0);
  } else {
    Alternative& alternative = tx.alternatives[last.alternative];
    if (alternative.state == Alternative::State::kStop) {
      keep(it, alternative, frame);
    } else {
      if (alternative.state == Alternative::State::kGo) send(it, frame, true, 0);
      tx.sent_alternatives.push_back(last.alternative);
    }
  }
  if ((it.vi->vi_flags & EF_VI_TX_TIMESTAMPS) != 0) last.sent_ns = now_ns();
  return true;
}

void to_kernel(VirtualInterface& it, uint32_t port, const Frame& frame) {
  const int fd = it.handle->kernel_side(port);
  if (fd < 0) return;
  std::array<iovec, Frame::kMaxPieces> parts;
  for (uint32_t i = 0; i < frame.count; ++i)
    parts[i] = {const_cast<uint8_t*>(frame.pieces[i].data), frame.pieces[i].bytes};
  (void)!writev(fd, parts.data(), static_cast<int>(frame.count));
}

const uint8_t* head_of(const Frame& frame, std::array<uint8_t, kHeadBytes>& room) {
  if (frame.pieces[0].bytes >= std::min(frame.bytes, kHeadBytes)) return frame.pieces[0].data;
  uint32_t at = 0;
  for (uint32_t i = 0; i < frame.count && at < kHeadBytes; ++i) {
    const uint32_t part = std::min(frame.pieces[i].bytes, kHeadBytes - at);
    std::memcpy(&room[at], frame.pieces[i].data, part);
    at += part;
  }
  return room.data();
}

}  // namespace

uint64_t now_ns() {
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

// Two VLAN tags are let through above what IP may use.
uint32_t longest_frame(const Port& port) { return port.mtu + 14 + 8; }

void send(VirtualInterface& it, Frame& frame, bool offload, uint32_t faults) {
  TransmitQueue& tx = it.tx;
  std::array<uint8_t, kHeadBytes> room;
  const uint8_t* const head = head_of(frame, room);
  const uint32_t bytes = frame.bytes;
  const Decision* const wire = tx.wire != nullptr ? &tx.wire->decide(head, bytes) : nullptr;
  const datapath::Headers headers =
      wire != nullptr ? wire->headers : datapath::read_headers(base::Bytes(head, std::min(bytes, kHeadBytes)));
  const uint64_t flags = it.vi->vi_flags;
  const bool transport = headers.protocol == 6 || headers.protocol == 17;
  if ((flags & EF_VI_TX_TCPUDP_ONLY) != 0 && !transport) return;
  PatchedHead patched;
  const bool fills_ip = offload && (flags & EF_VI_TX_IP_CSUM_DIS) == 0;
  const bool fills_transport = offload && (flags & EF_VI_TX_TCPUDP_CSUM_DIS) == 0;
  if (fills_ip || fills_transport) fill_checksums(frame, headers, fills_ip, fills_transport, patched);
  frame.faults = faults;
  if (!fills_ip || !fills_transport) check_checksums(frame, headers);
  pad(frame);
  uint64_t when = 0;
  const auto give = [&](const Decision& decision) {
    for (uint32_t i = 0; i < decision.count; ++i) {
      const Interface& interface = it.card.header().interfaces[decision.targets[i].interface];
      if (when == 0 && (interface.flags & (EF_VI_RX_TIMESTAMPS | EF_VI_RX_PACKED_STREAM)) != 0) when = now_ns();
      tx.delivery.deliver(decision.targets[i], frame, decision.group, when);
    }
  };
  if (wire != nullptr) {
    give(*wire);
    if (wire->kernel && faults == 0) to_kernel(it, it.port->peer, frame);
    if (wire->count == 0 && !wire->kernel)
      it.card.header().ports[it.port->peer].unclaimed.fetch_add(1, std::memory_order_relaxed);
  }
  if ((head[0] & 1) != 0 && tx.loopback != nullptr && !tx.loopback->idle()) give(tx.loopback->decide(head, bytes));
  if (!tx.outgoing->idle()) give(tx.outgoing->decide(head, bytes));
}

void rehearse(VirtualInterface& it, Frame& frame) {
  if (frame.count == 0 || frame.bytes < 14) return;
  std::array<uint8_t, kHeadBytes> room;
  PatchedHead patched;
  const uint8_t* const head = head_of(frame, room);
  if (it.tx.wire == nullptr) return;
  const Decision& decision = it.tx.wire->decide(head, frame.bytes);
  fill_checksums(frame, decision.headers, true, true, patched);
  for (uint32_t i = 0; i < decision.count; ++i)
    __builtin_prefetch(&it.card.header().interfaces[decision.targets[i].interface].lock, 1);
}

void push(VirtualInterface& it) {
  TransmitQueue& tx = it.tx;
  ef_vi_txq_state& state = it.state.txq;
  const uint32_t mask = it.vi->vi_txq.mask;
  uint32_t done = tx.done.load(std::memory_order_relaxed);
  while (state.previous != state.added && tx.error.load(std::memory_order_relaxed) == 0) {
    uint32_t end = state.previous;
    while (!tx.slots[end++ & mask].last) {
    }
    if (!send_slots(it, state.previous, end)) break;
    state.previous = done = end;
  }
  tx.done.store(done, std::memory_order_release);
}

}  // namespace xnic::nic::vi
