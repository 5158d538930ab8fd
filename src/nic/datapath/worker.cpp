// SPDX-License-Identifier: Apache-2.0
// A poll: packets that wait for a full port first, then the rings from the other workers from the last class to the
// first, then the queues. Each step is taken only when there is room for all that it can make, so nothing has to be
// given up half way: a batch leaves at most kBatch packets for each later ring, and copies beyond what fits are dropped
// and counted.
#include "nic/datapath/worker.hpp"

#include <algorithm>
#include <utility>

#include "nic/datapath/offload.hpp"

namespace xnic::nic::datapath {

using port::count;

Worker::Worker(Fabric& fabric, uint32_t index)
    : fabric_(fabric), index_(index), pool_(fabric.memory->pool(index)), random_state_(fabric.seed + index) {
  for (size_t i = 0; i < kBatch; ++i) {
    packets_.push_back(Packet::unbound());
    aside_.push_back(Packet::unbound());
    copies_.push_back(Packet::unbound());
  }
  verdicts_.resize(kBatch);
  entry_verdicts_.resize(kBatch);
  cpu_verdicts_.resize(kBatch);
  errands_.resize(kBatch);
  touched_.reserve(kMaxPorts);
  waiting_ports_.reserve(kMaxPorts);
  jumbo_.resize(1 << 16);
  context_ = {.clock = fabric.clock,
              .random_state = &random_state_,
              .network = fabric.network,
              .cpu = index,
              .count_time = false};
  orphan_ = std::make_unique<WorkerProgram>(fabric.engine, fabric.resolver);
}

Worker::~Worker() { stop(); }

uint32_t Worker::poll_once() {
  if (called_.load(std::memory_order_acquire)) run_call();
  config_ = fabric_.config.load(std::memory_order_acquire);
  uint32_t moved = 0;
  if (held_ != 0) moved += push_waiting();
  if (fabric_.workers > 1) {
    moved += take_rings(Class::kTransmit);
    moved += take_rings(Class::kCpu);
    moved += take_rings(Class::kSpread);
  }
  if (!fabric_.receiving.load(std::memory_order_relaxed)) return moved;
  for (const Config::Queue& queue : config_->receive[index_]) moved += receive(queue);
  if (moved == 0 && pool_.free() < 2 * kBatch)  // it may be frames that are wanting
    for (const Config::Queue& queue : config_->receive[index_]) queue.port->state->port->reap(queue.queue, pool_);
  return moved;
}

// Whether a whole batch, and as many copies, fit into the rings of `first` and later classes.
bool Worker::room_for(Class first) {
  for (size_t what = static_cast<size_t>(first); what < kClasses; ++what) {
    for (uint32_t to = 0; to < fabric_.workers; ++to) {
      if (to == index_) continue;
      if (fabric_.ring(static_cast<Class>(what), index_, to).room(2 * kBatch) < 2 * kBatch) return false;
    }
  }
  return true;
}

// A lossless port is not received from while anything on its way is full; packets of others are dropped there.
uint32_t Worker::receive(const Config::Queue& queue) {
  const PortView& port = *queue.port;
  PortState& state = *port.state;
  if (held_ != 0 || (state.lossless && fabric_.workers > 1 && !room_for(Class::kSpread))) return 0;
  const uint32_t received = state.port->receive(queue.queue, packets_, pool_);
  if (received == 0) return 0;
  count(counters_of(port).received, received);
  size_t left = received;
  const Features& features = port.features;
  if (features.check != ChecksumCheck::kOff || features.strip_vlan || features.time_stamps)
    left = take_features(port, left);
  if (state.options.side_of != 0) {
    const PortView* to = config_->find(state.options.side_of);
    const Batch batch(packets_.data(), left);
    if (to != nullptr)
      out(*to, batch);
    else
      drop(batch, counters_of(port), Drop::kNoTarget);
  } else {
    if (port.filters != nullptr || state.spread) left = classify(port, left);
    run_program(port, Batch(packets_.data(), left));
  }
  flush();
  return received;
}

// Checks, strips, stamps. Returns how many of the batch are left, in order at its beginning.
size_t Worker::take_features(const PortView& port, size_t received) {
  const Features& features = port.features;
  const uint64_t now_ns = features.time_stamps ? fabric_.clock->monotonic_ns() : 0;
  size_t kept = 0;
  for (size_t i = 0; i < received; ++i) {
    Packet& packet = packets_[i];
    if (features.time_stamps && packet.arrival_ns == 0) packet.arrival_ns = now_ns;
    if (features.check != ChecksumCheck::kOff && check_checksums(packet) == ChecksumState::kBad) {
      count(counters_of(port).bad_checksums, 1);
      if (features.check == ChecksumCheck::kDrop) {
        drop({&packet, 1}, counters_of(port), Drop::kChecksum);
        continue;
      }
    }
    if (features.strip_vlan) strip_vlan(packet, features.strip_vlan_id);
    if (kept != i) std::swap(packets_[kept], packet);
    ++kept;
  }
  return kept;
}

// Filters and the flow hash. What this worker runs stays at the beginning of the batch, in order; the rest is on its
// way elsewhere, in order too.
size_t Worker::classify(const PortView& port, size_t received) {
  size_t kept = 0;
  uint32_t aside = 0;
  for (size_t i = 0; i < received; ++i) {
    if (!steer(port, packets_[i], aside)) continue;
    if (kept != i) std::swap(packets_[kept], packets_[i]);
    ++kept;
  }
  return kept;
}

// True: the packet stays here for the program.
bool Worker::steer(const PortView& port, Packet& packet, uint32_t& aside) {
  const Headers headers = read_headers(packet);
  PortState& state = *port.state;
  WorkerCounters& counters = counters_of(port);
  uint32_t queue = packet.rx_queue;
  bool steered = false;
  if (port.filters != nullptr) {
    FilterTable::Decision decision;
    port.filters->decide(packet, headers, state.mac, decision);
    for (uint32_t i = 0; i < decision.copy_count; ++i) {
      const PortView* to = config_->find(decision.copies[i]->destination.number);
      if (to == nullptr) continue;  // its destination was removed
      if (Packet* copy = copy_of(packet, counters)) out(*to, {copy, 1});
    }
    if (decision.taken != nullptr) {
      const Destination& destination = decision.taken->destination;
      if (destination.kind == DestinationKind::kQueue) {
        queue = destination.number;
        steered = true;
      } else {
        const PortView* to = destination.kind == DestinationKind::kPort ? config_->find(destination.number) : nullptr;
        if (to == nullptr) {
          drop({&packet, 1}, counters, destination.kind == DestinationKind::kDrop ? Drop::kFilter : Drop::kNoTarget);
          return false;
        }
        Packet& moved = aside_[aside++];
        std::swap(moved, packet);
        out(*to, {&moved, 1});
        return false;
      }
    }
  }
  if (!steered && state.spread) queue = port.rss->queue(packet, headers);
  packet.rx_queue = queue;
  const uint32_t owner = (state.options.first_worker + queue) % fabric_.workers;
  if (owner == index_) return true;
  hand_over(Class::kSpread, owner, packet, {}, counters);
  return false;
}

// A batch from each other worker.
uint32_t Worker::take_rings(Class what) {
  uint32_t taken = 0;
  for (uint32_t from = 0; from < fabric_.workers; ++from) {
    if (from == index_) continue;
    HandOver& ring = fabric_.ring(what, from, index_);
    const uint32_t ready = std::min<uint32_t>(ring.available(1), kBatch);
    if (ready == 0) continue;
    if (held_ != 0) return taken;
    if (what != Class::kTransmit && !room_for(static_cast<Class>(static_cast<size_t>(what) + 1))) return taken;
    take_batch(what, ring, ready);
    flush();
    taken += ready;
  }
  return taken;
}

// Packets of one kind that stand side by side are treated together.
void Worker::take_batch(Class what, HandOver& ring, uint32_t ready) {
  for (uint32_t i = 0; i < ready; ++i) {
    errands_[i] = ring.peek(0);
    ring.take(packets_[i]);
  }
  for (uint32_t first = 0, last = 0; first < ready; first = last) {
    const Errand errand = errands_[first];
    const uint32_t ingress = packets_[first].ingress_ifindex;
    const auto alike = [&](uint32_t i) {
      if (what == Class::kTransmit) return errands_[i].target == errand.target;
      return packets_[i].ingress_ifindex == ingress && errands_[i].target == errand.target &&
             errands_[i].map_id == errand.map_id;
    };
    while (last < ready && alike(last)) ++last;
    const Batch batch(packets_.data() + first, last - first);
    const PortView* port = config_->find(what == Class::kTransmit ? errand.target : ingress);
    if (port == nullptr) {
      drop(batch, lost_, Drop::kPortGone);
    } else if (what == Class::kTransmit) {
      stage(*port, batch);
    } else if (what == Class::kCpu) {
      run_cpumap(*port, errand, batch);
    } else {
      run_program(*port, batch);
    }
  }
}

}  // namespace xnic::nic::datapath
