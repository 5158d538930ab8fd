// SPDX-License-Identifier: Apache-2.0
// A socket lives as long as a reference or a token of it. Its close is begun with the last: by a reset when received
// data was not read, else once TCP has taken what waits (and, lingering, once the peer has it).
#include <linux/sockios.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include "transport/agent/agent_impl.hpp"

namespace xnic::transport::agent {

using message::Type;

namespace {

constexpr uint64_t kMostClosingNs = 60'000'000'000;  // for data that a peer does not take

}  // namespace

message::Address name_of(int fd, bool peer, int* error) {
  sockaddr_storage storage{};
  socklen_t size = sizeof storage;
  auto* at = reinterpret_cast<sockaddr*>(&storage);
  message::Address address;
  if ((peer ? getpeername(fd, at, &size) : getsockname(fd, at, &size)) != 0) {
    if (error != nullptr) *error = errno;
    return address;
  }
  address.size = static_cast<uint16_t>(std::min<socklen_t>(size, message::kMaxAddressBytes));
  std::memcpy(address.bytes, &storage, address.size);
  return address;
}

// False: the session broke a rule.
bool AgentImpl::add_reference(Session& session, uint32_t id, TcpSocket& socket) {
  const uint32_t index = id & 0xfffff;
  if (session.sockets >= options_.max_sockets) {
    violate(session, "more sockets than it may have");
    return false;
  }
  if (index >= session.table.size()) session.table.resize(std::max<size_t>(index + 1, session.table.size() * 2));
  Session::Entry& entry = session.table[index];
  if (entry.socket != nullptr) {
    violate(session, "an id that is in use");
    return false;
  }
  entry = {id, &socket};
  ++session.sockets;
  socket.references.push_back({&session, id});
  return true;
}

void AgentImpl::drop_reference(Session& session, uint32_t id, TcpSocket& socket, bool unread) {
  const Reference self{&session, id};
  session.table[id & 0xfffff] = {};
  --session.sockets;
  std::erase(socket.references, self);
  std::erase(socket.claimers, self);
  if (socket.acceptor)
    std::erase_if(socket.acceptor->members,
                  [&](const auto& each) { return each.session == &session && each.id == id; });
  // A connection that the process's program has never seen, and that another process of the listener can have.
  if (socket.queued_for.session == &session && session.left && socket.listener != nullptr &&
      socket.references.empty() && !socket.listener->references.empty() &&
      socket.read_credit == options_.window_bytes && socket.state == message::kStateConnected) {
    socket.owner = socket.queued_for = {};
    socket.listener->acceptor->returned.push_back(&socket);
    accept_from(*socket.listener);
    return;
  }
  if (socket.references.empty() && socket.exports == 0) {
    // A listener's untaken connections end by a reset, as the kernel's do.
    begin_close(socket, unread || !socket.unread.empty() || socket.queued_for.session != nullptr);
    return;
  }
  if (socket.owner == self) lose_owner(socket);
}

void AgentImpl::watch(TcpSocket& socket, uint32_t events) {
  epoll_event event{events | EPOLLET, {}};
  event.data.ptr = static_cast<Source*>(&socket);
  epoll_ctl(epoll_.get(), socket.watched ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, socket.fd.get(), &event);
  socket.watched = true;
}

void AgentImpl::unwatch(TcpSocket& socket) {
  if (socket.watched) epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, socket.fd.get(), nullptr);
  socket.watched = false;
  socket.readable = false;
}

// Puts the socket on the list of those to read from, when there is anything to do.
void AgentImpl::list(TcpSocket& socket) {
  if (socket.listed || socket.owner.session == nullptr || socket.revoking || socket.read_credit == 0) return;
  if (!socket.readable && socket.unread.empty()) return;
  socket.listed = true;
  work_.push_back(&socket);
}

void AgentImpl::on_socket_event(TcpSocket& socket, uint32_t events) {
  if (socket.state == message::kStateListening) return accept_from(socket);
  if (socket.state == message::kStateConnecting) {
    if ((events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) == 0) return;
    finish_connect(socket);
  }
  if (socket.state != message::kStateConnected) return;
  if (socket.end_by_ns != 0 && (events & (EPOLLERR | EPOLLHUP)) != 0) socket.send_error = ECONNRESET;
  if ((events & EPOLLOUT) != 0 && socket.waiting_bytes() != 0) send_waiting(socket);
  if ((events & EPOLLPRI) != 0) take_urgent(socket);
  if ((events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) {
    socket.readable = true;
    if ((events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) socket.hung_up = true;
    list(socket);
  }
}

void AgentImpl::finish_connect(TcpSocket& socket) {
  message::ConnectedBody body;
  socklen_t size = sizeof body.error;
  if (getsockopt(socket.fd.get(), SOL_SOCKET, SO_ERROR, &body.error, &size) != 0) body.error = errno;
  if (body.error == 0) {
    body.local = name_of(socket.fd.get(), false);
    body.peer = name_of(socket.fd.get(), true);
    socket.state = message::kStateConnected;
    socket.host_credit = socket.read_credit = options_.window_bytes;
  } else {
    unwatch(socket);
    socket.state = message::kStateDead;
  }
  if (Session* session = socket.owner.session) {
    session->messenger->send_body(Type::kConnected, socket.owner.id, body);
    if (body.error == 0) ++session->connected;
  }
}

// Gives connections to the sessions that have ids for them, each in its turn.
void AgentImpl::accept_from(TcpSocket& listener) {
  Acceptor& acceptor = *listener.acceptor;
  for (;;) {
    Acceptor::Member* member = nullptr;
    for (size_t i = 0; i < acceptor.members.size() && member == nullptr; ++i) {
      Acceptor::Member& each = acceptor.members[acceptor.next++ % acceptor.members.size()];
      if (!each.free.empty()) member = &each;
    }
    if (member == nullptr) return;
    if (!acceptor.returned.empty()) {
      TcpSocket* socket = acceptor.returned.back();
      acceptor.returned.pop_back();
      hand_to(listener, *member, *socket);
      continue;
    }
    Fd fd(accept4(listener.fd.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (fd.get() < 0) {
      if (errno == ECONNABORTED || errno == EINTR) continue;
      if (errno != EAGAIN && errno != EINVAL) starved_.push_back(&listener);  // no descriptor, no memory: later
      return;
    }
    auto made = std::make_unique<TcpSocket>();
    TcpSocket& socket = *made;
    socket.fd = std::move(fd);
    socket.domain = listener.domain;
    socket.state = message::kStateConnected;
    socket.linger_s = listener.linger_s;
    socket.host_credit = socket.read_credit = options_.window_bytes;
    sockets_.emplace(&socket, std::move(made));
    hand_to(listener, *member, socket);
    watch(socket, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI);
  }
}

void AgentImpl::hand_to(TcpSocket& listener, Acceptor::Member& member, TcpSocket& socket) {
  Session& session = *member.session;
  const uint32_t id = member.free.front();
  member.free.pop_front();
  if (!add_reference(session, id, socket)) {
    begin_close(socket, true);
    return;
  }
  socket.owner = {&session, id};
  socket.queued_for = {&session, member.id};
  socket.listener = &listener;
  ++session.accepted;
  session.messenger->send_body(Type::kAccepted, id,
                               message::AcceptedBody{member.id, listener.domain, name_of(socket.fd.get(), false),
                                                     name_of(socket.fd.get(), true)});
  list(socket);
}

void AgentImpl::begin_close(TcpSocket& socket, bool reset) {
  if (socket.acceptor) {
    for (TcpSocket* returned : std::exchange(socket.acceptor->returned, {})) begin_close(*returned, true);
    for (auto& [at, other] : sockets_)
      if (at->listener == &socket) at->listener = nullptr;
  }
  if (reset && socket.state == message::kStateConnected) {
    const linger at_once{1, 0};
    setsockopt(socket.fd.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    socket.linger_s = 0;
  }
  socket.owner = {};
  const bool waits = !reset && socket.linger_s != 0 && socket.state == message::kStateConnected &&
                     (socket.waiting_bytes() != 0 || socket.close_tag != 0);
  if (!waits) return end_close(socket);
  const bool lingers = socket.close_tag != 0;
  socket.end_by_ns =
      clock_.monotonic_ns() + (lingers ? static_cast<uint64_t>(socket.linger_s) * 1'000'000'000 : kMostClosingNs);
  if (lingers) {
    if (socket.waiting_bytes() == 0)
      ::shutdown(socket.fd.get(), SHUT_WR);
    else
      socket.shut_write_due = true;
  }
  closing_.push_back(&socket);
  next_sweep_ns_ = 0;
}

void AgentImpl::end_close(TcpSocket& socket) {
  if (socket.close_tag != 0 && socket.closer.session != nullptr)
    answer(*socket.closer.session, socket.closer.id, socket.close_tag, 0);
  // close(2) of a lingering socket would wait, and with it everybody.
  const linger off{0, 0};
  if (socket.linger_s > 0) setsockopt(socket.fd.get(), SOL_SOCKET, SO_LINGER, &off, sizeof off);
  unwatch(socket);
  socket.fd = Fd();
  socket.state = message::kStateDead;
  if (gathered_for_ == &socket) gathered_for_ = nullptr;
  std::erase(work_, &socket);
  for (TcpSocket*& each : work_now_)
    if (each == &socket) each = nullptr;
  std::erase(starved_, &socket);
  const auto at = sockets_.find(&socket);
  dead_sockets_.push_back(std::move(at->second));
  sockets_.erase(at);
}

void AgentImpl::look_at_closing(uint64_t now_ns) {
  for (size_t i = 0; i < closing_.size();) {
    TcpSocket& socket = *closing_[i];
    int in_kernel = 0;
    const bool lingers = socket.close_tag != 0;
    if (lingers && ioctl(socket.fd.get(), SIOCOUTQ, &in_kernel) != 0) in_kernel = 0;
    const bool done = socket.send_error != 0 || (socket.waiting_bytes() == 0 && in_kernel == 0);
    if (!done && now_ns < socket.end_by_ns) {
      ++i;
      continue;
    }
    closing_[i] = closing_.back();
    closing_.pop_back();
    end_close(socket);
  }
}

}  // namespace xnic::transport::agent
