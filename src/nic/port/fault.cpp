// SPDX-License-Identifier: Apache-2.0
// Each queue has a line a direction: a random sequence of its own, and up to 64 frames held back until they are due.
// Held frames follow fresh ones, which is what makes a frame that is held for no time one out of order.
#include "nic/port/fault.hpp"

#include <algorithm>
#include <deque>
#include <optional>
#include <vector>

#include "base/rng.hpp"

namespace xnic::nic::port {

using exec::packet::Packet;

namespace {

constexpr uint32_t kMillion = 1'000'000;
constexpr size_t kMostHeld = 64;

enum class Fate : uint8_t { kPass, kDrop, kDuplicate, kReorder, kCorrupt, kDelay };

// One direction of one queue.
class Line {
 public:
  Line(const FaultRates& rates, uint64_t seed) : rates_(rates), rng_(seed) { held_.reserve(kMostHeld); }

  // True while nothing passes; decides once a call, for `frames` of them, whether a stall begins.
  bool stalled(uint64_t now_ns, size_t frames) {
    if (now_ns < stalled_until_ns_) return true;
    if (rates_.stall_ppm == 0) return false;
    bool begins = false;
    for (size_t i = 0; i < frames && !begins; ++i) begins = rng_.chance(rates_.stall_ppm, kMillion);
    if (!begins) return false;
    stalled_until_ns_ = now_ns + rates_.stall_ns;
    count(counters.stalls, 1);
    return true;
  }
  // What happens to the next frame.
  Fate roll() {
    uint64_t at = rng_.below(kMillion);
    const std::pair<uint32_t, Fate> shares[] = {{rates_.drop_ppm, Fate::kDrop},
                                                {rates_.duplicate_ppm, Fate::kDuplicate},
                                                {rates_.reorder_ppm, Fate::kReorder},
                                                {rates_.corrupt_ppm, Fate::kCorrupt},
                                                {rates_.delay_ppm, Fate::kDelay}};
    for (const auto& [share, fate] : shares) {
      if (at < share) return fate;
      at -= share;
    }
    return Fate::kPass;
  }
  // Lets `fate` happen to `packet`; true when the packet passes on, false when it is unbound now.
  bool apply(Fate fate, Packet& packet, frame::Pool& pool, uint64_t now_ns);

  // Frames that may go now, the one that is due first in front; null when there is none.
  Packet* due(uint64_t now_ns) {
    return !held_.empty() && held_.front().due_ns <= now_ns ? &held_.front().packet : nullptr;
  }
  // Takes the packet that due() gave, which is unbound or has been swapped for one that is, out of the line.
  void pop() {
    spare_.push_back(std::move(held_.front().packet));
    held_.erase(held_.begin());
  }
  size_t held() const { return held_.size(); }
  // What is held back at the end is lost.
  void clear(frame::Pool& pool) {
    count(counters.dropped, held_.size());
    for (Held& held : held_) pool.put(held.packet.unbind());
    held_.clear();
  }
  FaultCounters counters;

 private:
  struct Held {
    uint64_t due_ns;
    Packet packet;
  };
  // Pre: held() < kMostHeld. Keeps what `packet` stands on; `packet` is unbound after.
  void hold(Packet& packet, uint64_t due_ns) {
    Packet mine = Packet::unbound();
    if (!spare_.empty()) {
      mine = std::move(spare_.back());
      spare_.pop_back();
    }
    std::swap(mine, packet);
    const auto later = std::ranges::upper_bound(held_, due_ns, {}, &Held::due_ns);
    held_.insert(later, Held{due_ns, std::move(mine)});
  }
  bool hold_copy(const Packet& packet, frame::Pool& pool, uint64_t due_ns);

  const FaultRates rates_;
  base::Rng rng_;
  uint64_t stalled_until_ns_ = 0;
  std::vector<Held> held_;     // in the order in which they are due
  std::vector<Packet> spare_;  // unbound ones, with their buffers for fragments
};

bool Line::hold_copy(const Packet& packet, frame::Pool& pool, uint64_t due_ns) {
  uint8_t* frame = pool.get();
  if (frame == nullptr) return false;
  Packet copy = Packet::unbound();
  copy.bind(frame, exec::packet::kHeadroomBytes, 0);
  copy.fill(packet.bytes());
  copy.ingress_ifindex = packet.ingress_ifindex;
  copy.rx_queue = packet.rx_queue;
  copy.arrival_ns = packet.arrival_ns;
  hold(copy, due_ns);
  return true;
}

bool Line::apply(Fate fate, Packet& packet, frame::Pool& pool, uint64_t now_ns) {
  switch (fate) {
    case Fate::kPass:
      return true;
    case Fate::kDrop:
      pool.put(packet.unbind());
      count(counters.dropped, 1);
      return false;
    case Fate::kCorrupt: {
      const uint64_t bit = rng_.below(static_cast<uint64_t>(packet.data_end - packet.data) * 8);
      packet.data[bit / 8] ^= static_cast<uint8_t>(1u << bit % 8);
      count(counters.corrupted, 1);
      return true;
    }
    case Fate::kDuplicate:
      if (held_.size() < kMostHeld && hold_copy(packet, pool, now_ns)) count(counters.duplicated, 1);
      return true;
    case Fate::kReorder:
    case Fate::kDelay:
      if (held_.size() == kMostHeld) return true;
      hold(packet, fate == Fate::kDelay ? now_ns + rates_.delay_ns : now_ns);
      count(fate == Fate::kDelay ? counters.delayed : counters.reordered, 1);
      return false;
  }
  return true;
}

struct alignas(64) Queue {
  Queue(const FaultOptions& options, uint64_t seed)
      : in(options.receive, seed), out(options.transmit, seed ^ 0x5bd1e995u) {}
  Line in, out;
  // The fate of a frame that found the port full: it is the same at the next attempt.
  std::optional<Fate> rolled;
  std::atomic<bool> holds_input{false};
};

class Wrapped final : public FaultPort {
 public:
  Wrapped(std::unique_ptr<Port> inner, const FaultOptions& options, const base::Clock& clock)
      : inner_(std::move(inner)), clock_(clock) {
    base::Rng seeds(options.seed);
    for (uint32_t i = 0; i < inner_->info().queues; ++i) queues_.emplace_back(options, seeds.next());
  }
  const Info& info() const override { return inner_->info(); }
  const Counters& counters(uint32_t queue) const override { return inner_->counters(queue); }
  const FaultCounters& receive_faults(uint32_t queue) const override { return queues_[queue].in.counters; }
  const FaultCounters& transmit_faults(uint32_t queue) const override { return queues_[queue].out.counters; }
  uint32_t receive(uint32_t queue, std::span<Packet> packets, frame::Pool& pool) override;
  uint32_t transmit(uint32_t queue, std::span<Packet* const> packets, frame::Pool& pool) override;
  void flush(uint32_t queue) override { inner_->flush(queue); }
  void reap(uint32_t queue, frame::Pool& pool) override;
  int wait_fd(uint32_t queue) const override { return inner_->wait_fd(queue); }
  // A worker that slept would not see when a held frame is due.
  bool prepare_sleep(uint32_t queue) override {
    return queues_[queue].in.held() == 0 && queues_[queue].out.held() == 0 && inner_->prepare_sleep(queue);
  }
  void woken(uint32_t queue) override { inner_->woken(queue); }
  void close(uint32_t queue, frame::Pool& pool) override {
    queues_[queue].in.clear(pool);
    queues_[queue].out.clear(pool);
    queues_[queue].holds_input = false;
    inner_->close(queue, pool);
  }
  base::Result<void> status() const override { return inner_->status(); }
  bool finished() const override {
    return inner_->finished() &&
           std::ranges::none_of(queues_, [](const Queue& queue) { return queue.holds_input.load(); });
  }

 private:
  void send_held(uint32_t index, frame::Pool& pool, uint64_t now_ns);

  std::unique_ptr<Port> inner_;
  const base::Clock& clock_;
  std::deque<Queue> queues_;
};

uint32_t Wrapped::receive(uint32_t index, std::span<Packet> packets, frame::Pool& pool) {
  Queue& queue = queues_[index];
  const uint64_t now_ns = clock_.monotonic_ns();
  if (queue.in.stalled(now_ns, 0)) return 0;
  // Half of the room stays for held frames, so that steady traffic does not hold them for ever.
  const size_t room = packets.size() - std::min(queue.in.held(), packets.size() / 2);
  const uint32_t fresh = inner_->receive(index, packets.first(room), pool);
  // A stall begins after these: what has left the wire is not put back.
  (void)queue.in.stalled(now_ns, fresh);
  // Held ones that are due now come after all fresh ones; those that this batch adds, with the next.
  const size_t held = queue.in.held();
  uint32_t done = 0;
  for (uint32_t i = 0; i < fresh; ++i) {
    if (!queue.in.apply(queue.in.roll(), packets[i], pool, now_ns)) continue;
    if (done != i) std::swap(packets[done], packets[i]);
    ++done;
  }
  for (size_t i = 0; i < held && done < packets.size(); ++i) {
    Packet* due = queue.in.due(now_ns);
    if (due == nullptr) break;
    std::swap(packets[done++], *due);
    queue.in.pop();
  }
  queue.holds_input = queue.in.held() != 0;
  return done;
}

void Wrapped::send_held(uint32_t index, frame::Pool& pool, uint64_t now_ns) {
  Line& line = queues_[index].out;
  while (Packet* packet = line.due(now_ns)) {
    Packet* const one[] = {packet};
    if (inner_->transmit(index, one, pool) == 0) return;
    line.pop();
  }
}

uint32_t Wrapped::transmit(uint32_t index, std::span<Packet* const> packets, frame::Pool& pool) {
  Queue& queue = queues_[index];
  const uint64_t now_ns = clock_.monotonic_ns();
  if (queue.out.stalled(now_ns, packets.size())) return 0;
  uint32_t done = 0;
  for (; done < packets.size(); ++done) {
    const Fate fate = queue.rolled ? *queue.rolled : queue.out.roll();
    queue.rolled.reset();
    if (!queue.out.apply(fate, *packets[done], pool, now_ns)) continue;
    if (inner_->transmit(index, packets.subspan(done, 1), pool) == 1) continue;
    queue.rolled = Fate::kPass;  // whatever happened to it has happened
    break;
  }
  send_held(index, pool, now_ns);
  return done;
}

void Wrapped::reap(uint32_t index, frame::Pool& pool) {
  Queue& queue = queues_[index];
  const uint64_t now_ns = clock_.monotonic_ns();
  if (queue.out.held() != 0 && !queue.out.stalled(now_ns, 0)) {
    send_held(index, pool, now_ns);
    inner_->flush(index);
  }
  inner_->reap(index, pool);
}

}  // namespace

base::Result<std::unique_ptr<FaultPort>> wrap_with_faults(std::unique_ptr<Port> inner, const FaultOptions& options,
                                                          const base::Clock& clock) {
  for (const FaultRates& rates : {options.receive, options.transmit}) {
    const uint64_t together =
        uint64_t{rates.drop_ppm} + rates.duplicate_ppm + rates.reorder_ppm + rates.corrupt_ppm + rates.delay_ppm;
    if (together > kMillion || rates.stall_ppm > kMillion)
      return base::make_error(base::ErrorKind::kBadInput, inner->info().name,
                              "faults of {} in a million frames: there can be a million at most",
                              std::max<uint64_t>(together, rates.stall_ppm));
  }
  return std::make_unique<Wrapped>(std::move(inner), options, clock);
}

}  // namespace xnic::nic::port
