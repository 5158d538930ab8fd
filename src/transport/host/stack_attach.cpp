// SPDX-License-Identifier: Apache-2.0
// A channel begins with kHello, answered by kWelcome with the agent's limits. When it ends, connections are reset, and
// what has no connection is told to the next agent, in the order in which the program had said it.
#include <poll.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "transport/host/stack_impl.hpp"
#include "transport/link/memory.hpp"
#include "transport/link/xdp.hpp"

namespace xnic::transport::host {

using base::ErrorKind;
using base::make_error;
using message::Type;

namespace {

constexpr uint64_t kBetweenLooksNs = 50'000'000;
constexpr uint64_t kWelcomeNs = 2'000'000'000;

}  // namespace

base::Result<std::unique_ptr<Stack>> Stack::attach(const Options& options, Observer* observer) {
  auto stack = std::make_unique<StackImpl>(options, observer);
  XNIC_TRY(stack->start());
  return stack;
}

base::Result<void> StackImpl::start() {
  epoll_ = Fd(epoll_create1(EPOLL_CLOEXEC));
  if (epoll_.get() < 0) return make_error(ErrorKind::kIo, options_.path, "epoll_create1: {}", std::strerror(errno));
  XNIC_ASSIGN(Channel channel, open_channel({}));
  Lock lock(mutex_);
  take_channel(std::move(channel));
  const uint64_t until_ns = clock_.monotonic_ns() + kWelcomeNs;
  while (window_ == 0 && channel_.messenger && clock_.monotonic_ns() < until_ns)
    if (!pump_locked()) sleep_locked(lock, 1);
  if (window_ == 0)
    return make_error(ErrorKind::kIo, options_.path, "the agent accepted the session and then was silent");
  return {};
}

base::Result<StackImpl::Channel> StackImpl::open_channel(const link::Request& request) const {
  link::Request wanted = request;
  if (!options_.interface.empty()) wanted.purpose = link::Purpose::kXdp;
  XNIC_ASSIGN(link::Attachment attachment, link::attach(options_.path, wanted));
  std::unique_ptr<link::Link> link;
  if (wanted.purpose == link::Purpose::kXdp) {
    XNIC_ASSIGN(link, link::XdpLink::open({.interface = options_.interface}, clock_));
  } else {
    if (attachment.fds.size() != 2)
      return make_error(ErrorKind::kBadInput, options_.path, "the agent sent {} descriptors for a memory link",
                        attachment.fds.size());
    XNIC_ASSIGN(link, link::MemoryLink::map(attachment.fds[0], std::move(attachment.fds[1])));
  }
  Channel channel;
  channel.messenger = std::make_unique<link::Messenger>(std::move(link), attachment.answer.session, clock_);
  channel.connection = std::move(attachment.connection);
  channel.answer = attachment.answer;
  return channel;
}

// Pre: the last channel, if any, is lost.
void StackImpl::take_channel(Channel channel) {
  channel_ = std::move(channel);
  epoll_event readable{EPOLLIN, {}};
  epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, channel_.messenger->wait_fd(), &readable);
  epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, channel_.connection.get(), &readable);
  channel_.messenger->send_body(Type::kHello, 0, message::HelloBody{});
  channel_.messenger->flush();
}

void StackImpl::lose_agent() {
  const link::MessengerCounters& last = channel_.messenger->counters();
  counters_.frames_sent += last.frames_sent;
  counters_.frames_received += last.frames_received;
  counters_.messages_sent += last.messages_sent;
  counters_.messages_received += last.messages_received;
  counters_.doorbells += last.doorbells;
  epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, channel_.messenger->wait_fd(), nullptr);
  epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, channel_.connection.get(), nullptr);
  channel_ = Channel();
  waiting_for_link_.clear();
  for (Asked* asked : asked_) {
    asked->done = true;
    asked->error = ENETDOWN;
  }
  asked_.clear();
  sockets_.for_each([&](SocketId id, Socket& socket) {
    if (socket.state == State::kReserved || socket.queued) {
      sockets_.free(id, pool_);
      return;
    }
    if (socket.state == State::kListening) {
      socket.more().accepted.clear();
      socket.more().reserved = 0;
    } else if (socket.state == State::kConnected || socket.state == State::kConnecting) {
      on_reset(id, socket, ECONNRESET);
    }
  });
  next_look_ns_ = clock_.monotonic_ns() + kBetweenLooksNs;
}

void StackImpl::look_for_agent() {
  const uint64_t now_ns = clock_.monotonic_ns();
  if (now_ns < next_look_ns_) return;
  next_look_ns_ = now_ns + kBetweenLooksNs;
  auto channel = open_channel({});
  if (!channel) return;
  take_channel(std::move(*channel));
  ++counters_.reattached;
  sockets_.for_each([&](SocketId id, Socket& socket) {
    if (socket.state == State::kFresh || socket.state == State::kListening) tell_again(id, socket);
  });
  channel_.messenger->flush();
}

void StackImpl::tell_again(SocketId id, Socket& socket) {
  channel_.messenger->send_body(Type::kSocket, id, message::SocketBody{socket.domain, 0});
  if (!socket.extra) return;
  for (const Extra::Told& told : socket.extra->told) channel_.messenger->send(told.type, id, told.body);
}

bool StackImpl::attached() {
  Lock lock(mutex_);
  return channel_.messenger != nullptr;
}

Counters StackImpl::counters() {
  Lock lock(mutex_);
  Counters now = counters_;
  if (channel_.messenger) {
    const link::MessengerCounters& present = channel_.messenger->counters();
    now.frames_sent += present.frames_sent;
    now.frames_received += present.frames_received;
    now.messages_sent += present.messages_sent;
    now.messages_received += present.messages_received;
    now.doorbells += present.doorbells;
  }
  return now;
}

}  // namespace xnic::transport::host
