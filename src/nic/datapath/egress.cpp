// SPDX-License-Identifier: Apache-2.0
// The way out. Packets are staged by port and sent once a batch, in order. What a full lossless queue does not take
// waits in a backlog, and while anything waits the worker receives nothing (worker.cpp); a port that takes nothing for
// its stall time loses what waits, so that two lossless ports that wait for each other go on.
#include <algorithm>
#include <cstring>
#include <utility>

#include "nic/datapath/offload.hpp"
#include "nic/datapath/worker.hpp"

namespace xnic::nic::datapath {

using port::count;

void Worker::drop(Batch packets, WorkerCounters& counters, Drop reason) {
  for (Packet& packet : packets) pool_.put(packet.unbind());
  count(counters.drops[static_cast<size_t>(reason)], packets.size());
}

void Worker::out(const PortView& port, Batch packets) {
  if (port.features.fill_checksums)
    for (Packet& packet : packets) fill_checksums(packet);
  if (port.features.insert_vlan_id != kNoVlan)
    for (Packet& packet : packets) insert_vlan(packet, port.features.insert_vlan_id);
  stage(port, packets);
}

// The packets must stay where they are until flush().
void Worker::stage(const PortView& port, Batch packets) {
  PortState::Side& side = *port.state->sides[index_];
  if (!side.own_queue) {
    for (Packet& packet : packets)
      hand_over(Class::kTransmit, side.via, packet, {port.state->ifindex, 0}, side.counters);
    return;
  }
  for (Packet& packet : packets) {
    if (side.staged_count == kBatch) send(port, side);
    side.staged[side.staged_count++] = &packet;
  }
  if (side.touched) return;
  side.touched = true;
  touched_.push_back(&port);
}

void Worker::note_residence(const PortState::Side& side, WorkerCounters& counters, uint64_t now_ns) {
  for (uint32_t i = 0; i < side.staged_count; ++i) {
    const uint64_t arrival = side.staged[i]->arrival_ns;
    if (arrival == 0 || arrival > now_ns) continue;
    count(counters.residence_ns, now_ns - arrival);
    count(counters.residence_count, 1);
    if (now_ns - arrival > counters.residence_max_ns.load(std::memory_order_relaxed))
      counters.residence_max_ns.store(now_ns - arrival, std::memory_order_relaxed);
  }
}

void Worker::send(const PortView& port, PortState::Side& side) {
  PortState& state = *port.state;
  if (port.features.time_stamps) note_residence(side, side.counters, fabric_.clock->monotonic_ns());
  const std::span<Packet* const> all(side.staged.data(), std::exchange(side.staged_count, 0));
  size_t sent = 0;
  if (side.waiting.load(std::memory_order_relaxed) == 0) {
    sent = state.port->transmit(side.queue, all, pool_);
    if (sent != all.size()) {  // once more, with what the port has sent meanwhile taken away
      state.port->flush(side.queue);
      state.port->reap(side.queue, pool_);
      sent += state.port->transmit(side.queue, all.subspan(sent), pool_);
    }
  }
  count(side.counters.sent, sent);
  if (sent == all.size()) side.stalled = false;
  for (Packet* packet : all.subspan(sent)) keep(state, side, *packet);
}

void Worker::keep(PortState& state, PortState::Side& side, Packet& packet) {
  const uint32_t waiting = side.waiting.load(std::memory_order_relaxed);
  if (!state.lossless || side.stalled || waiting == kBacklog) {
    drop({&packet, 1}, side.counters, side.stalled ? Drop::kStalled : Drop::kTransmitFull);
    return;
  }
  if (waiting == 0) {
    waiting_ports_.push_back(&state);
    side.waiting_since_ns = fabric_.clock->monotonic_ns();
  }
  std::swap(side.backlog[(side.oldest + waiting) % kBacklog], packet);
  side.waiting.store(waiting + 1, std::memory_order_relaxed);
  ++held_;
}

void Worker::send_staged() {
  for (const PortView* port : touched_) {
    PortState::Side& side = *port->state->sides[index_];
    if (side.staged_count != 0) send(*port, side);
  }
}

// Sends what is staged, rings the doorbells, and lets other workers see what they were given.
void Worker::flush() {
  send_staged();
  for (const PortView* port : touched_) {
    PortState::Side& side = *port->state->sides[index_];
    port->state->port->flush(side.queue);
    side.touched = false;
  }
  touched_.clear();
  copies_used_ = 0;
  if (fabric_.workers == 1) return;
  for (size_t what = 0; what < kClasses; ++what)
    for (uint32_t to = 0; to < fabric_.workers; ++to)
      if (to != index_ && fabric_.ring(static_cast<Class>(what), index_, to).publish()) fabric_.bells[to]->ring();
}

uint32_t Worker::push_waiting() {
  uint32_t sent = 0;
  for (size_t i = 0; i < waiting_ports_.size();) {
    PortState& state = *waiting_ports_[i];
    sent += push_waiting(state);
    if (state.sides[index_]->waiting.load(std::memory_order_relaxed) == 0)
      waiting_ports_.erase(waiting_ports_.begin() + static_cast<ptrdiff_t>(i));
    else
      ++i;
  }
  return sent;
}

uint32_t Worker::push_waiting(PortState& state) {
  PortState::Side& side = *state.sides[index_];
  const uint32_t waiting = side.waiting.load(std::memory_order_relaxed);
  std::array<Packet*, kBacklog> packets;
  for (uint32_t i = 0; i < waiting; ++i) packets[i] = &side.backlog[(side.oldest + i) % kBacklog];
  state.port->reap(side.queue, pool_);
  const uint32_t sent = state.port->transmit(side.queue, {packets.data(), waiting}, pool_);
  state.port->flush(side.queue);
  count(side.counters.sent, sent);
  side.oldest = (side.oldest + sent) % kBacklog;
  side.waiting.store(waiting - sent, std::memory_order_relaxed);
  held_ -= sent;
  const uint64_t now_ns = fabric_.clock->monotonic_ns();
  if (sent != 0)
    side.waiting_since_ns = now_ns;
  else if (now_ns - side.waiting_since_ns >= state.options.stall_ns)
    drop_waiting(state, Drop::kStalled);
  return sent;
}

void Worker::drop_waiting(PortState& state, Drop reason) {
  PortState::Side& side = *state.sides[index_];
  const uint32_t waiting = side.waiting.load(std::memory_order_relaxed);
  for (uint32_t i = 0; i < waiting; ++i) drop({&side.backlog[(side.oldest + i) % kBacklog], 1}, side.counters, reason);
  held_ -= waiting;
  side.waiting.store(0, std::memory_order_relaxed);
  side.stalled = true;
}

void Worker::forget(PortState& state) {
  drop_waiting(state, Drop::kPortGone);
  std::erase(waiting_ports_, &state);
}

std::unique_ptr<WorkerProgram> Worker::take_orphan() {
  return std::exchange(orphan_, std::make_unique<WorkerProgram>(fabric_.engine, fabric_.resolver));
}

void Worker::hand_over(Class what, uint32_t worker, Packet& packet, const Errand& errand, WorkerCounters& counters) {
  HandOver& ring = fabric_.ring(what, index_, worker);
  if (ring.room(1) == 0) {
    drop({&packet, 1}, counters, Drop::kHandOverFull);
    return;
  }
  ring.give(packet, errand);
  count(counters.handed_over, 1);
}

// A packet like this one on a frame of its own, or null when there is none left: that copy is counted as made and
// dropped. It stays valid until flush(); when too many are made, those before are sent first.
Worker::Packet* Worker::copy_of(const Packet& packet, WorkerCounters& counters) {
  count(counters.copied, 1);
  uint8_t* frame = pool_.get();
  if (frame == nullptr) {
    count(counters.drops[static_cast<size_t>(Drop::kNoFrame)], 1);
    return nullptr;
  }
  if (copies_used_ == copies_.size()) {
    send_staged();
    copies_used_ = 0;
  }
  Packet& copy = copies_[copies_used_++];
  const auto linear = static_cast<uint32_t>(packet.data_end - packet.data);
  copy.bind(frame, static_cast<uint32_t>(packet.data - packet.frame()), linear);
  if (packet.fragments.empty()) {
    std::memcpy(copy.data, packet.data, linear);
  } else {
    size_t size = 0;
    const auto add = [&](const uint8_t* bytes, size_t length) {
      length = std::min(length, jumbo_.size() - size);
      std::memcpy(jumbo_.data() + size, bytes, length);
      size += length;
    };
    add(packet.data, linear);
    for (const Packet::Fragment& fragment : packet.fragments)
      add(fragment.buffer.get() + fragment.offset, fragment.size);
    copy.fill({jumbo_.data(), size});
  }
  copy.ingress_ifindex = packet.ingress_ifindex;
  copy.rx_queue = packet.rx_queue;
  copy.egress_ifindex = packet.egress_ifindex;
  copy.arrival_ns = packet.arrival_ns;
  return &copy;
}

}  // namespace xnic::nic::datapath
