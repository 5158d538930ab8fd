// SPDX-License-Identifier: Apache-2.0
// Making, connecting and ending sockets. What a call gives in which state is written down where it is decided; the
// source is inet_stream_connect(), inet_shutdown() and inet_accept() of net/ipv4/af_inet.c.
#include <netinet/in.h>
#include <poll.h>

#include <algorithm>
#include <cerrno>

#include "base/check.hpp"
#include "transport/host/stack_impl.hpp"

namespace xnic::transport::host {

using message::Type;

namespace {

constexpr uint32_t kMostReserved = 64;
constexpr size_t kMostTold = 64;

}  // namespace

void copy_address(const message::Address& from, sockaddr* to, socklen_t* size) {
  if (to == nullptr || size == nullptr) return;
  std::memcpy(to, from.bytes, std::min<size_t>(*size, from.size));
  *size = from.size;
}

message::Address address_from(base::Bytes bytes) {
  message::Address address;
  address.size = static_cast<uint16_t>(std::min<size_t>(bytes.size(), message::kMaxAddressBytes));
  std::memcpy(address.bytes, bytes.data(), address.size);
  return address;
}

int64_t StackImpl::socket(int domain, int type, int protocol) {
  if (domain != AF_INET && domain != AF_INET6) return -EAFNOSUPPORT;
  if ((type & ~(SOCK_NONBLOCK | SOCK_CLOEXEC)) != SOCK_STREAM) return -ESOCKTNOSUPPORT;
  if (protocol != 0 && protocol != IPPROTO_TCP) return -EPROTONOSUPPORT;
  Lock lock(mutex_);
  if (!channel_.messenger) {
    look_for_agent();
    if (!channel_.messenger) return -ENETDOWN;
  }
  SocketId id;
  Socket* made = sockets_.make(State::kFresh, id, max_sockets_);
  if (made == nullptr) return -ENFILE;
  made->domain = static_cast<uint16_t>(domain);
  channel_.messenger->send_body(Type::kSocket, id, message::SocketBody{domain, protocol});
  return id;
}

void StackImpl::set_cookie(SocketId id, void* cookie) {
  Lock lock(mutex_);
  if (Socket* socket = sockets_.find(id)) socket->cookie = cookie;
}

// Keeps what a next agent has to be told. An option set again replaces its last value.
void StackImpl::remember(Socket& socket, Type type, std::vector<uint8_t> body) {
  base::store(body.data(), uint32_t{0});
  std::vector<Extra::Told>& told = socket.more().told;
  if (type == Type::kSetOption) {
    std::erase_if(told, [&](const Extra::Told& each) {
      return each.type == type && std::memcmp(each.body.data(), body.data(), sizeof(message::OptionBody)) == 0;
    });
  }
  if (told.size() < kMostTold) told.push_back({type, std::move(body)});
}

int StackImpl::bind(SocketId id, const sockaddr* address, socklen_t size) {
  if (size > sizeof(sockaddr_storage)) return -EINVAL;
  Lock lock(mutex_);
  if (sockets_.find(id) == nullptr) return -EBADF;
  std::vector<uint8_t> answer;
  if (const int error = ask(lock, Type::kBind, id, request_body(uint32_t{0}, address, size), &answer)) return error;
  Socket* socket = sockets_.find(id);
  if (socket == nullptr) return -EBADF;
  socket->local = address_from(answer);
  // With the port that it got: a next agent has to give the same.
  remember(*socket, Type::kBind, request_body(uint32_t{0}, answer.data(), answer.size()));
  return 0;
}

int StackImpl::listen(SocketId id, int backlog) {
  Lock lock(mutex_);
  if (sockets_.find(id) == nullptr) return -EBADF;
  const auto body = request_body(message::ListenBody{0, backlog});
  std::vector<uint8_t> answer;
  if (const int error = ask(lock, Type::kListen, id, body, &answer)) return error;
  Socket* socket = sockets_.find(id);
  if (socket == nullptr) return -EBADF;
  if (socket->local.size == 0 && !answer.empty())  // an address of the kernel's choice
    remember(*socket, Type::kBind, request_body(uint32_t{0}, answer.data(), answer.size()));
  socket->local = address_from(answer);
  socket->state = State::kListening;
  socket->end = socket->receive_shut = socket->send_shut = false;
  Extra& more = socket->more();
  more.backlog = backlog;
  std::erase_if(more.told, [](const Extra::Told& each) { return each.type == Type::kListen; });
  remember(*socket, Type::kListen, body);
  return 0;
}

// Gives the agent ids for connections to come.
void StackImpl::reserve(SocketId id, Socket& socket) {
  if (!channel_.messenger) return;
  Extra& queue = socket.more();
  const auto wanted =
      std::clamp<uint32_t>(queue.backlog < 0 ? kMostReserved : static_cast<uint32_t>(queue.backlog), 1, kMostReserved);
  if (queue.reserved > wanted / 2) return;
  uint32_t ids[kMostReserved];
  uint32_t count = 0;
  while (queue.reserved + count < wanted) {
    Socket* made = sockets_.make(State::kReserved, ids[count], max_sockets_);
    if (made == nullptr) break;
    made->listener = id;
    ++count;
  }
  if (count == 0) return;
  queue.reserved += count;
  channel_.messenger->send(Type::kAcceptCredit, id, {reinterpret_cast<const uint8_t*>(ids), count * sizeof ids[0]});
  channel_.messenger->flush();
}

int64_t StackImpl::accept(SocketId id, sockaddr* address, socklen_t* size) {
  Lock lock(mutex_);
  Socket* listener = sockets_.find(id);
  if (listener == nullptr) return -EBADF;
  if (listener->state != State::kListening) return -EINVAL;
  if (listener->more().accepted.empty()) {
    reserve(id, *listener);
    pump_locked();
    if (listener->state != State::kListening) return -EINVAL;
  }
  Extra& queue = listener->more();
  if (queue.accepted.empty()) return -EAGAIN;
  const SocketId taken = queue.accepted.front();
  queue.accepted.pop_front();
  Socket* socket = sockets_.find(taken);
  CHECK(socket != nullptr);
  socket->queued = false;
  copy_address(socket->peer, address, size);
  if (channel_.messenger) channel_.messenger->send(Type::kTaken, taken);
  reserve(id, *listener);
  return taken;
}

int StackImpl::connect(SocketId id, const sockaddr* address, socklen_t size) {
  if (size > sizeof(sockaddr_storage)) return -EINVAL;
  Lock lock(mutex_);
  Socket* socket = sockets_.find(id);
  if (socket == nullptr) return -EBADF;
  const bool disconnect = size >= sizeof(sa_family_t) && address->sa_family == AF_UNSPEC;
  if (!disconnect) {
    if (socket->state == State::kConnecting) pump_locked();
    if (socket->state == State::kConnecting) return -EALREADY;
    if (socket->state == State::kListening) return -EISCONN;
    if (socket->state == State::kConnected) return std::exchange(socket->connect_told, true) ? -EISCONN : 0;
    if (socket->state == State::kDead && socket->connect_told) return -EISCONN;
  }
  const bool failed = socket->state == State::kDead;
  if (!disconnect && !failed) {
    // Set before the question: the result may come with its answer.
    socket->state = State::kConnecting;
    socket->connect_told = socket->end = false;
  }
  std::vector<uint8_t> answer;
  int result = ask(lock, Type::kConnect, id, request_body(uint32_t{0}, address, size), &answer);
  socket = sockets_.find(id);
  if (socket == nullptr) return -EBADF;
  if (!answer.empty()) socket->local = address_from(answer);
  if (disconnect || failed) {
    if (failed && socket->error != 0) result = -std::exchange(socket->error, 0);
    if (result == 0 || failed) {  // a socket as new
      socket->received.clear(pool_);
      socket->state = State::kFresh;
      socket->end = socket->receive_shut = socket->send_shut = socket->connect_told = false;
    }
  } else if (result == 0) {
    if (socket->state == State::kConnecting) {
      socket->state = State::kConnected;
      socket->send_credit = window_;
    }
    socket->connect_told = true;
  } else if (result != -EINPROGRESS && socket->state == State::kConnecting) {
    socket->state = State::kFresh;
  }
  return result;
}

int StackImpl::shutdown(SocketId id, int how) {
  if (how < SHUT_RD || how > SHUT_RDWR) return -EINVAL;
  Lock lock(mutex_);
  Socket* socket = sockets_.find(id);
  if (socket == nullptr) return -EBADF;
  const bool reads = how != SHUT_WR, writes = how != SHUT_RD;
  if (socket->state == State::kFresh || socket->state == State::kDead) {
    socket->receive_shut |= reads;
    socket->send_shut |= writes;
    return -ENOTCONN;
  }
  if (socket->state == State::kListening && !reads) return 0;
  if (socket->state == State::kListening || socket->state == State::kConnecting) {
    // Both end the attempt; the socket is then as new.
    const int error =
        ask(lock, Type::kShutdown, id, request_body(message::ShutdownBody{0, static_cast<uint32_t>(how)}));
    socket = sockets_.find(id);
    if (socket == nullptr) return -EBADF;
    if (error != 0) return error;
    if (socket->state == State::kListening) forget_accepted(id, *socket);
    socket->state = State::kFresh;
    if (socket->extra) std::erase_if(socket->extra->told, [](const auto& each) { return each.type == Type::kListen; });
    event(id, *socket, POLLIN | POLLRDNORM | POLLOUT | POLLWRNORM | POLLHUP | POLLRDHUP);
    return 0;
  }
  socket->receive_shut |= reads;
  socket->send_shut |= writes;
  channel_.messenger->send_body(Type::kShutdown, id, message::ShutdownBody{0, static_cast<uint32_t>(how)});
  flush_locked();
  event(id, *socket,
        (reads ? POLLIN | POLLRDNORM | POLLRDHUP : 0) | (writes ? POLLOUT | POLLWRNORM : 0) |
            (reads && writes ? POLLHUP : 0));
  return 0;
}

// Connections that the program did not take, and the ids for more.
void StackImpl::forget_accepted(SocketId id, Socket& listener) {
  Extra& queue = listener.more();
  for (const SocketId accepted : queue.accepted) {
    if (channel_.messenger) channel_.messenger->send_body(Type::kClose, accepted, message::CloseBody{0, 1});
    sockets_.free(accepted, pool_);
  }
  queue.accepted.clear();
  if (queue.reserved == 0) return;
  queue.reserved = 0;
  sockets_.for_each([&](SocketId each, Socket& socket) {
    if (socket.state == State::kReserved && socket.listener == id) sockets_.free(each, pool_);
  });
}

void StackImpl::give_back_unread(SocketId id, Socket& socket) {
  const uint32_t all = socket.received.size();
  std::vector<uint8_t> piece;
  for (uint32_t at = 0; at < all; at += static_cast<uint32_t>(piece.size())) {
    piece.resize(std::min(all - at, message::kMaxControlBytes));
    socket.received.peek(piece.data(), at, static_cast<uint32_t>(piece.size()));
    channel_.messenger->send(Type::kUnread, id, piece);
  }
  socket.received.clear(pool_);
}

int StackImpl::close(SocketId id) {
  Lock lock(mutex_);
  Socket* socket = sockets_.find(id);
  if (socket == nullptr) return -EBADF;
  if (socket->state == State::kListening) forget_accepted(id, *socket);
  if (channel_.messenger) {
    const bool unread = socket->received.size() != 0;
    if (socket->shared && socket->owner && unread) give_back_unread(id, *socket);
    const message::CloseBody body{0, unread ? 1u : 0u};
    if (socket->linger_s > 0 && socket->state == State::kConnected) {
      socket->received.clear(pool_);
      ask(lock, Type::kClose, id, request_body(body));
      if (sockets_.find(id) == nullptr) return 0;
    } else {
      channel_.messenger->send_body(Type::kClose, id, body);
      flush_locked();
    }
  }
  sockets_.free(id, pool_);
  return 0;
}

bool StackImpl::owned(SocketId id, Socket& socket) {
  if (socket.owner) [[likely]]
    return true;
  if (!socket.claimed && channel_.messenger) {
    socket.claimed = true;
    channel_.messenger->send(Type::kClaim, id);
    channel_.messenger->flush();
  }
  return false;
}

}  // namespace xnic::transport::host
