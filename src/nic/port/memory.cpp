// SPDX-License-Identifier: Apache-2.0
// A thread of the port accepts peers and notices their end; workers never wait for it. Each peer is a generation, with
// a region of its own, so that an earlier peer, which may keep its region mapped, can disturb nobody. The thread
// leaves a generation with each queue and changes a number; a worker that finds the number changed receives what the
// last peer sent before its end, takes the new generation over under a lock, and drops the old one, whose memory goes
// when all queues have. At most one generation waits.
//
// Doorbells: the peer's ring the worker through an epoll descriptor of the queue, which stays the same over the
// generations. A worker may sleep when a peer attaches, so the rings of a new region say from the start that it does.
#include "nic/port/memory.hpp"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <mutex>
#include <thread>
#include <vector>

#include "nic/port/memory_listener.hpp"
#include "nic/port/memory_region.hpp"

namespace xnic::nic::port {

using base::ErrorKind;
using base::make_error;
using exec::packet::Packet;
using memory::Channel;
using memory::Fd;

namespace {

// A peer's time at the port.
struct Generation {
  explicit Generation(memory::Region region) : region(std::move(region)) {}
  memory::Region region;
  std::atomic<bool> ended{false};  // the peer is gone
  // What a worker has found out, for the port's thread. Here and not in the port: the next peer may be attached already
  // when the worker says so.
  std::atomic<bool> broken{false}, hung_up{false};
  std::vector<Channel> channels;  // each used by the worker of its queue only
};

// What the worker of a queue has. Written by it alone, but for `next`.
struct alignas(64) Queue {
  uint32_t generation = 0;  // the port's number when the worker last looked
  bool draining = false;    // the peer of `held` is gone: the last `left` frames it sent are still to be received
  uint32_t left = 0;
  Channel* channel = nullptr;  // of `held`; null: there is no peer
  std::shared_ptr<Generation> held;
  std::shared_ptr<Generation> next;  // not yet taken over; guarded by the port's lock, as `closed` is
  bool closed = false;
  Fd epoll;
  Counters counters;
};

class MemoryPort final : public Port {
 public:
  MemoryPort(Info info, const MemoryOptions& options, memory::Listener listener);
  ~MemoryPort() override;
  base::Result<void> start();

  const Info& info() const override { return info_; }
  const Counters& counters(uint32_t queue) const override { return queues_[queue].counters; }
  uint32_t receive(uint32_t queue, std::span<Packet> packets, frame::Pool& pool) override;
  uint32_t transmit(uint32_t queue, std::span<Packet* const> packets, frame::Pool& pool) override;
  void flush(uint32_t queue) override;
  void reap(uint32_t, frame::Pool&) override {}  // frames are copied: none is ever outstanding
  int wait_fd(uint32_t queue) const override { return queues_[queue].epoll.get(); }
  bool prepare_sleep(uint32_t queue) override;
  void woken(uint32_t queue) override;
  void close(uint32_t queue, frame::Pool&) override;
  base::Result<void> status() const override;

 private:
  enum class State : uint8_t { kWaiting, kAttached, kGone, kBroken };

  // The queue's channel to the present peer, or null.
  Channel* channel_of(Queue& queue) {
    if (queue.generation != generation_.load(std::memory_order_acquire)) [[unlikely]]
      take_over(queue);
    return queue.channel;
  }
  void take_over(Queue& queue);
  void drop(std::span<Packet* const> packets, Queue& queue, frame::Pool& pool);
  void broken(Queue& queue);
  bool receive_one(const Channel& channel, uint32_t i, Packet& packet, Queue& queue, frame::Pool& pool,
                   uint64_t& bytes);

  void serve();
  void attach();
  bool publish(const std::shared_ptr<Generation>& generation);
  void detach(State why);

  const Info info_;
  const uint32_t entries_, buffer_bytes_, stride_bytes_;
  memory::Listener listener_;
  std::vector<Queue> queues_;
  std::atomic<uint32_t> generation_{0};
  std::atomic<State> state_{State::kWaiting};
  std::atomic<bool> stop_{false};
  std::mutex mutex_;
  std::shared_ptr<Generation> current_;  // the attached peer's; the thread's own
  Fd alarm_;                             // an eventfd: stop_ or something of a generation has been set
  Fd connection_;                        // the peer's; the thread's own
  uint32_t peers_ = 0;                   // so far
  std::thread thread_;
};

memory::Header header_for(const Info& info, uint32_t entries, uint32_t generation) {
  memory::Header header;
  header.generation = generation;
  header.queues = info.queues;
  header.entries = entries;
  header.mtu = info.mtu;
  header.lossless = info.lossless ? 1 : 0;
  std::copy(info.mac.begin(), info.mac.end(), header.mac);
  return header;
}

MemoryPort::MemoryPort(Info info, const MemoryOptions& options, memory::Listener listener)
    : info_(std::move(info)),
      entries_(options.entries),
      buffer_bytes_(info_.mtu + memory::kLinkBytes),
      stride_bytes_(memory::stride_for(info_.mtu)),
      listener_(std::move(listener)),
      queues_(info_.queues) {}

base::Result<void> MemoryPort::start() {
  alarm_ = Fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  bool made = alarm_.get() >= 0;
  for (Queue& queue : queues_) {
    queue.epoll = Fd(epoll_create1(EPOLL_CLOEXEC));
    made = made && queue.epoll.get() >= 0;
  }
  if (!made) return make_error(ErrorKind::kIo, info_.name, "cannot make event descriptors: {}", std::strerror(errno));
  thread_ = std::thread([this] { serve(); });
  return {};
}

MemoryPort::~MemoryPort() {
  if (!thread_.joinable()) return;
  stop_ = true;
  eventfd_write(alarm_.get(), 1);
  thread_.join();
}

// ---- the port's thread

void MemoryPort::serve() {
  while (!stop_) {
    pollfd events[3] = {{alarm_.get(), POLLIN, 0}, {listener_.fd(), POLLIN, 0}, {connection_.get(), POLLIN, 0}};
    if (poll(events, 3, -1) < 0) continue;
    eventfd_t ignored;
    if (events[0].revents != 0) eventfd_read(alarm_.get(), &ignored);
    // The peer has nothing to say: a message is the end as much as the end is.
    if (current_ && current_->broken)
      detach(State::kBroken);
    else if (current_ && (current_->hung_up || memory::has_spoken_or_left(connection_)))
      detach(State::kGone);
    if (events[1].revents != 0) attach();
  }
  detach(State::kGone);
}

void MemoryPort::attach() {
  Fd connection = listener_.accept();
  if (connection.get() < 0) return;
  if (connection_.get() >= 0) return memory::refuse(connection, "the memory port has a peer already");
  auto made = memory::Region::create(header_for(info_, entries_, peers_ + 1));
  if (!made) return memory::refuse(connection, made.error().message());
  auto generation = std::make_shared<Generation>(std::move(made->first));
  std::vector<Fd> theirs;
  theirs.push_back(std::move(made->second));
  for (uint32_t queue = 0; queue < info_.queues; ++queue) {
    auto [ours, peers_end] = memory::make_bell();
    if (ours.get() < 0) return memory::refuse(connection, "the card cannot make a doorbell");
    generation->region.counters_to_card(queue).consumer_sleeps = 1;
    generation->channels.push_back(generation->region.channel(queue, memory::Side::kCard, std::move(ours)));
    theirs.push_back(std::move(peers_end));
  }
  if (!publish(generation)) return memory::refuse(connection, "the card has not yet finished with its last peer");
  connection_ = std::move(connection);
  ++peers_;
  // The peer hears of it when the workers already have it: from its first frame on nothing is lost.
  if (!memory::greet(connection_, theirs)) detach(State::kGone);
}

// False: a queue has not even taken over the last peer.
bool MemoryPort::publish(const std::shared_ptr<Generation>& generation) {
  std::lock_guard lock(mutex_);
  for (const Queue& queue : queues_)
    if (queue.next) return false;
  current_ = generation;
  for (uint32_t index = 0; index < info_.queues; ++index) {
    Queue& queue = queues_[index];
    if (queue.closed) continue;
    queue.next = generation;
    epoll_event event{EPOLLIN, {}};
    epoll_ctl(queue.epoll.get(), EPOLL_CTL_ADD, generation->channels[index].bell.get(), &event);
  }
  state_ = State::kAttached;
  generation_.fetch_add(1, std::memory_order_release);
  return true;
}

void MemoryPort::detach(State why) {
  connection_ = Fd();
  if (!current_) return;
  // A doorbell at its end would ring for ever.
  for (uint32_t queue = 0; queue < info_.queues; ++queue)
    epoll_ctl(queues_[queue].epoll.get(), EPOLL_CTL_DEL, current_->channels[queue].bell.get(), nullptr);
  current_->ended.store(true, std::memory_order_relaxed);
  current_.reset();
  state_ = why;
  generation_.fetch_add(1, std::memory_order_release);
}

// ---- the workers

void MemoryPort::take_over(Queue& queue) {
  const uint32_t now = generation_.load(std::memory_order_acquire);
  if (queue.channel != nullptr) {
    if (!queue.held->ended.load(std::memory_order_relaxed)) {
      queue.generation = now;
      return;
    }
    if (!queue.draining) queue.left = queue.channel->in.available(entries_);
    queue.draining = true;
    if (queue.left != 0) return;
  }
  queue.draining = false;
  {
    std::lock_guard lock(mutex_);
    queue.held = std::exchange(queue.next, nullptr);
  }
  queue.channel = queue.held ? &queue.held->channels[static_cast<size_t>(&queue - queues_.data())] : nullptr;
  // A peer that has been taken over may have left already: the next call looks.
  if (!queue.held) queue.generation = now;
}

// The peer's counters lie: no more of it. The thread ends the connection.
void MemoryPort::broken(Queue& queue) {
  queue.channel = nullptr;
  queue.draining = false;
  queue.held->broken = true;
  eventfd_write(alarm_.get(), 1);
}

bool MemoryPort::receive_one(const Channel& channel, uint32_t i, Packet& packet, Queue& queue, frame::Pool& pool,
                             uint64_t& bytes) {
  const memory::Descriptor descriptor = channel.in.peek(i);
  if (descriptor.size < exec::packet::kMinFrameBytes || descriptor.size > buffer_bytes_ || descriptor.reserved != 0) {
    count(queue.counters.drop_bad, 1);
    return false;
  }
  const uint8_t* from = channel.in_buffers + size_t{channel.in.slot(i)} * stride_bytes_;
  uint8_t* frame = pool.get();
  CHECK(frame != nullptr);  // receive() has made sure of it
  if (descriptor.size <= exec::packet::kMaxLinearBytes) [[likely]] {
    std::memcpy(frame + exec::packet::kHeadroomBytes, from, descriptor.size);
    packet.bind(frame, exec::packet::kHeadroomBytes, descriptor.size);
  } else {
    packet.bind(frame, exec::packet::kHeadroomBytes, 0);
    packet.fill({from, descriptor.size});
  }
  bytes += descriptor.size;
  return true;
}

uint32_t MemoryPort::receive(uint32_t index, std::span<Packet> packets, frame::Pool& pool) {
  Queue& queue = queues_[index];
  Channel* channel = channel_of(queue);
  if (channel == nullptr) return 0;
  const auto wanted = std::min(static_cast<uint32_t>(packets.size()), queue.draining ? queue.left : entries_);
  const uint32_t available = std::min(channel->in.available(wanted), wanted);
  if (available == 0) {
    if (channel->in.broken()) broken(queue);
    return 0;
  }
  uint32_t done = 0, taken = 0;
  uint64_t bytes = 0;
  // Without a free frame the rest stays in the ring: the peer is held back, and nothing lost.
  for (; taken < available && !pool.empty(); ++taken) {
    constexpr uint32_t kAhead = 4;
    if (taken + kAhead < available)
      __builtin_prefetch(channel->in_buffers + size_t{channel->in.slot(taken + kAhead)} * stride_bytes_);
    Packet& packet = packets[done];
    if (!receive_one(*channel, taken, packet, queue, pool, bytes)) continue;
    packet.ingress_ifindex = info_.ifindex;
    packet.rx_queue = index;
    packet.egress_ifindex = 0;
    packet.arrival_ns = 0;
    ++done;
  }
  channel->in.release(taken);
  if (queue.draining) queue.left -= taken;
  count(queue.counters.received, done);
  count(queue.counters.received_bytes, bytes);
  return done;
}

void MemoryPort::drop(std::span<Packet* const> packets, Queue& queue, frame::Pool& pool) {
  for (Packet* packet : packets) pool.put(packet->unbind());
  count(queue.counters.drop_down, packets.size());
}

uint32_t MemoryPort::transmit(uint32_t index, std::span<Packet* const> packets, frame::Pool& pool) {
  Queue& queue = queues_[index];
  Channel* channel = channel_of(queue);
  const auto all = static_cast<uint32_t>(packets.size());
  if (channel == nullptr || queue.draining) {
    drop(packets, queue, pool);
    return all;
  }
  uint32_t room = channel->out.room(all);
  uint32_t done = 0, sent = 0;
  uint64_t bytes = 0;
  for (; done < all; ++done) {
    Packet& packet = *packets[done];
    const uint32_t size = packet.size();
    if (size > buffer_bytes_) {
      count(queue.counters.drop_too_long, 1);
    } else {
      if (room == 0) break;
      --room;
      uint8_t* to = channel->out_buffers + size_t{channel->out.next_slot()} * stride_bytes_;
      const auto linear = static_cast<size_t>(packet.data_end - packet.data);
      std::memcpy(to, packet.data, linear);
      to += linear;
      for (const Packet::Fragment& fragment : packet.fragments) {
        std::memcpy(to, fragment.buffer.get() + fragment.offset, fragment.size);
        to += fragment.size;
      }
      channel->out.put({size, 0});
      ++sent;
      bytes += size;
    }
    pool.put(packet.unbind());
  }
  count(queue.counters.transmitted, sent);
  count(queue.counters.transmitted_bytes, bytes);
  if (done < all) {
    if (channel->out.broken()) broken(queue);
    flush(index);  // or the peer would never make room
  }
  return done;
}

void MemoryPort::flush(uint32_t index) {
  Queue& queue = queues_[index];
  if (Channel* channel = queue.channel) {
    channel->out.publish();
    if (channel->out.must_wake()) channel->ring_bell();
  }
}

bool MemoryPort::prepare_sleep(uint32_t index) {
  Channel* channel = channel_of(queues_[index]);
  if (channel == nullptr) return true;
  return !queues_[index].draining && channel->in.prepare_sleep();
}

void MemoryPort::woken(uint32_t index) {
  Queue& queue = queues_[index];
  Channel* channel = channel_of(queue);
  if (channel == nullptr) return;
  channel->in.wake();
  if (!channel->quiet_bell() && !queue.draining) {  // the thread takes the doorbell out of the epoll descriptor
    queue.held->hung_up = true;
    eventfd_write(alarm_.get(), 1);
  }
}

void MemoryPort::close(uint32_t index, frame::Pool&) {
  Queue& queue = queues_[index];
  queue.channel = nullptr;
  queue.draining = false;
  std::lock_guard lock(mutex_);
  queue.closed = true;
  queue.next.reset();
  queue.held.reset();
}

base::Result<void> MemoryPort::status() const {
  switch (state_.load()) {
    case State::kWaiting:
    case State::kAttached:
      return {};
    case State::kGone:
      return make_error(ErrorKind::kIo, info_.name, "the peer is gone; another one can attach at {}", listener_.path());
    case State::kBroken:
      return make_error(ErrorKind::kIo, info_.name,
                        "the peer wrote nonsense into a ring and was cut off; another one can attach at {}",
                        listener_.path());
  }
  return {};
}

}  // namespace

base::Result<std::unique_ptr<Port>> open_memory(Info info, const MemoryOptions& options) {
  if (info.queues < 1 || info.queues > memory::kMaxQueues)
    return make_error(ErrorKind::kBadInput, info.name, "{} queues: a memory port has 1 to {}", info.queues,
                      memory::kMaxQueues);
  if (!std::has_single_bit(options.entries) || options.entries > memory::kMaxEntries)
    return make_error(ErrorKind::kBadInput, info.name, "{} entries: a ring has a power of two, at most {}",
                      options.entries, memory::kMaxEntries);
  if (info.mtu < 64 || info.mtu > memory::kMaxMtu)
    return make_error(ErrorKind::kBadInput, info.name, "MTU {}: a memory port has 64 to {}", info.mtu, memory::kMaxMtu);
  XNIC_ASSIGN(memory::Listener listener, memory::Listener::listen(options.path, options.socket_mode));
  info.kind = "memory";
  auto port = std::make_unique<MemoryPort>(std::move(info), options, std::move(listener));
  XNIC_TRY(port->start());
  return port;
}

}  // namespace xnic::nic::port
