// SPDX-License-Identifier: Apache-2.0
// Readiness follows tcp_poll() (net/ipv4/tcp.c). Sleeping follows the ring's protocol: say that we sleep, look once
// more, then sleep.
#include <poll.h>

#include <algorithm>
#include <cerrno>

#include "transport/host/stack_impl.hpp"

namespace xnic::transport::host {

using message::Type;

uint32_t StackImpl::ready_of(SocketId id, Socket& socket) {
  constexpr uint32_t kRead = POLLIN | POLLRDNORM, kWrite = POLLOUT | POLLWRNORM;
  switch (socket.state) {
    case State::kFree:
    case State::kReserved:
      return POLLNVAL;
    case State::kFresh:
      return kWrite | POLLHUP | (socket.error != 0 ? POLLERR : 0) | (socket.receive_shut ? kRead | POLLRDHUP : 0);
    case State::kListening: {
      Extra& queue = socket.more();
      if (queue.reserved == 0) reserve(id, socket);
      return queue.accepted.empty() ? 0 : kRead;
    }
    case State::kConnecting:
      owned(id, socket);
      return 0;
    case State::kDead:
      return kRead | kWrite | POLLHUP | POLLRDHUP | (socket.error != 0 ? POLLERR : 0);
    case State::kConnected:
      break;
  }
  if (!owned(id, socket)) return 0;
  uint32_t events = 0;
  const bool end = socket.end || socket.receive_shut;
  if (end) events |= kRead | POLLRDHUP;
  if (socket.end && socket.send_shut) events |= POLLHUP;
  if (socket.receive_shut && socket.send_shut) events |= POLLHUP;
  if (socket.received.size() >= std::max(socket.low_water, 1u)) events |= kRead;
  if (socket.send_shut || (socket.send_credit >= window_ / 3 && !socket.wants_link))
    events |= kWrite;
  else
    socket.wants_credit = true;
  if (socket.urgent_pending && (socket.has_urgent || socket.inline_urgent)) events |= POLLPRI;
  return events;
}

uint32_t StackImpl::ready_locked(SocketId id) {
  Socket* socket = sockets_.find(id);
  return socket == nullptr ? POLLNVAL : ready_of(id, *socket);
}

uint32_t StackImpl::ready(SocketId id) {
  Lock lock(mutex_);
  uint32_t events = ready_locked(id);
  constexpr uint32_t kOnlyWrite = POLLOUT | POLLWRNORM;
  if ((events & ~kOnlyWrite) == 0 && pump_locked()) events = ready_locked(id);
  return events;
}

void StackImpl::flush_locked() {
  if (channel_.messenger) channel_.messenger->flush();
}

bool StackImpl::pump() {
  Lock lock(mutex_);
  const bool came = pump_locked();
  flush_locked();
  return came;
}

void StackImpl::flush() {
  Lock lock(mutex_);
  flush_locked();
}

// Sockets whose send found no room may have some now.
void StackImpl::room_in_link() {
  if (channel_.messenger->room(1024, 1024) == 0) return;
  std::vector<SocketId> waiting;
  waiting.swap(waiting_for_link_);
  for (const SocketId id : waiting) {
    Socket* socket = sockets_.find(id);
    if (socket == nullptr || !socket->wants_link) continue;
    socket->wants_link = false;
    if (socket->send_credit >= window_ / 3) event(id, *socket, POLLOUT | POLLWRNORM);
  }
}

bool StackImpl::prepare_sleep_locked() {
  if (!channel_.messenger) return true;
  // No bell tells of room in the link; it comes soon, since the agent always takes what was sent.
  if (!waiting_for_link_.empty()) {
    flush_locked();
    return false;
  }
  return channel_.messenger->prepare_sleep();
}

bool StackImpl::prepare_sleep() {
  Lock lock(mutex_);
  return prepare_sleep_locked();
}

void StackImpl::woken() {
  Lock lock(mutex_);
  if (channel_.messenger) channel_.messenger->woken();
  if (channel_.messenger && link::has_left(channel_.connection)) {
    pump_locked();
    if (channel_.messenger) lose_agent();
  }
}

int StackImpl::sleep_limit_ms() {
  Lock lock(mutex_);
  if (channel_.messenger) return channel_.messenger->sleep_limit_ms();
  const uint64_t now_ns = clock_.monotonic_ns();
  return now_ns >= next_look_ns_ ? 0 : static_cast<int>((next_look_ns_ - now_ns) / 1'000'000 + 1);
}

void StackImpl::sleep_locked(Lock& lock, int timeout_ms) {
  if (!prepare_sleep_locked()) return;
  lock.unlock();
  pollfd bell{epoll_.get(), POLLIN, 0};
  const bool rang = ::poll(&bell, 1, timeout_ms) > 0;
  if (rang) woken();
  lock.lock();
}

int StackImpl::ask(Lock& lock, Type type, SocketId id, std::vector<uint8_t> body, std::vector<uint8_t>* answer) {
  if (!channel_.messenger) {
    look_for_agent();
    if (!channel_.messenger) return -ENETDOWN;
  }
  Asked asked;
  asked.tag = next_tag_;
  next_tag_ = next_tag_ == 0xffffffff ? 1 : next_tag_ + 1;
  base::store(body.data(), asked.tag);
  asked_.push_back(&asked);
  channel_.messenger->send(type, id, body);
  channel_.messenger->flush();
  const uint64_t spin_until_ns = clock_.monotonic_ns() + uint64_t{options_.spin_us} * 1000;
  while (!asked.done) {
    if (pump_locked()) continue;
    // Another thread may take our answer while we sleep: so never for long.
    if (clock_.monotonic_ns() >= spin_until_ns) sleep_locked(lock, 1);
  }
  if (answer != nullptr) *answer = std::move(asked.answer);
  return -asked.error;
}

int64_t StackImpl::wait(SocketId id, uint32_t events, int timeout_ms) {
  const uint32_t wanted = events | POLLERR | POLLHUP | POLLNVAL;
  const uint64_t start_ns = clock_.monotonic_ns();
  const uint64_t spin_until_ns = start_ns + uint64_t{options_.spin_us} * 1000;
  Lock lock(mutex_);
  for (;;) {
    flush_locked();
    const uint32_t now = ready_locked(id);
    if ((now & wanted) != 0) return now;
    if (pump_locked()) continue;
    const uint64_t now_ns = clock_.monotonic_ns();
    const uint64_t passed_ms = (now_ns - start_ns) / 1'000'000;
    if (timeout_ms >= 0 && passed_ms >= static_cast<uint64_t>(timeout_ms)) return 0;
    if (now_ns < spin_until_ns) continue;
    // Another thread may take what we wait for: so never for long.
    constexpr int kLongestMs = 10;
    const int left_ms =
        timeout_ms < 0 ? kLongestMs : std::min<int>(kLongestMs, timeout_ms - static_cast<int>(passed_ms));
    sleep_locked(lock, std::max(left_ms, 1));
  }
}

}  // namespace xnic::transport::host
