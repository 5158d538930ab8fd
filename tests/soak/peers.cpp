// SPDX-License-Identifier: Apache-2.0
// All ends of a lane are served by one thread, so a lane needs no lock. Nobody sleeps: a full ring is tried again.
#include "peers.hpp"

#include <sched.h>
#include <unistd.h>

#include <algorithm>

#include "base/rng.hpp"
#include "unit/nic/port/peer_region.hpp"

namespace xnic::tests::soak {

using nic::port::MemoryPeer;

namespace {
constexpr uint32_t kSendBatch = 32, kReceiveBatch = 64;
constexpr uint64_t kNapTurns = 512;  // of as many the peer that naps looks away for half
}  // namespace

base::Result<std::unique_ptr<Peers>> Peers::start(Rig& rig, uint64_t seed) {
  std::unique_ptr<Peers> peers(new Peers);
  peers->ends_.resize(2);
  size_t lane = 0;
  for (Rig::Path& path : rig.paths()) {
    std::vector<End>& ends = peers->ends_[lane++ % 2];
    std::vector<uint32_t> ports = path.far;
    if (ports[0] != path.entry) ports.push_back(path.entry);
    for (const uint32_t ifindex : ports) {
      XNIC_ASSIGN(MemoryPeer peer, MemoryPeer::attach(rig.socket(ifindex)));
      ends.push_back({&path, ifindex == path.entry, std::move(peer)});
    }
  }
  for (std::vector<End>& ends : peers->ends_)
    peers->threads_.emplace_back([&ends, all = peers.get()] { all->serve(ends); });
  const std::string socket = rig.socket(rig.hostile_port());
  peers->attacker_ = std::thread([socket, seed, all = peers.get()] { all->attack(socket, seed); });
  return peers;
}

Peers::~Peers() {
  stop_sending();
  running_ = false;
  for (std::thread& thread : threads_) thread.join();
}

void Peers::stop_sending() {
  sending_ = attacking_ = false;
  if (attacker_.joinable()) attacker_.join();
}

void Peers::serve(std::vector<End>& ends) {
  while (running_.load(std::memory_order_relaxed)) {
    const bool sending = sending_.load(std::memory_order_relaxed);
    uint32_t moved = 0;
    for (End& end : ends) {
      if (sending && end.entry) moved += send(end);
      // Once nobody sends, nobody naps either.
      if (!end.path->naps || !sending || ++end.turn % kNapTurns < kNapTurns / 2) moved += receive(end);
    }
    if (!sending) usleep(100);
    if (moved == 0) sched_yield();  // there may be fewer processors than threads
  }
}

uint32_t Peers::send(End& end) {
  const uint32_t room = std::min(end.peer.room(0, kSendBatch), kSendBatch);
  for (uint32_t i = 0; i < room; ++i) end.peer.put(0, end.path->lane->write(end.peer.next_buffer(0)));
  if (room != 0) end.peer.flush(0);
  return room;
}

uint32_t Peers::receive(End& end) {
  const uint32_t ready = std::min(end.peer.available(0, kReceiveBatch), kReceiveBatch);
  for (uint32_t i = 0; i < ready; ++i) end.path->lane->judge(end.peer.frame(0, i));
  if (ready != 0) end.peer.release(0, ready);
  return ready;
}

// Attaches, writes random bytes all over the region (counters, sizes, frames, what the card alone should write), rings,
// and leaves; sometimes at once.
void Peers::attack(const std::string& socket, uint64_t seed) {
  base::Rng rng(seed);
  while (attacking_) {
    usleep(5000);
    auto peer = MemoryPeer::attach(socket);
    if (!peer) continue;  // the end of the last one has not been noticed yet
    ++attacks_;
    const std::span<uint8_t> region = nic::port::region_of(*peer);
    const size_t to_card = 4096 + (region.size() - 4096) / 2;  // the words of the ring to the card
    for (uint64_t writes = rng.below(2000); writes > 0; --writes) {
      const size_t at = rng.chance(1, 2) ? rng.below(region.size()) : to_card + rng.below(192);
      region[at] = static_cast<uint8_t>(rng.next());
      if (rng.chance(1, 50)) peer->flush(0);
    }
    usleep(static_cast<useconds_t>(rng.below(2000)));
  }
}

}  // namespace xnic::tests::soak
