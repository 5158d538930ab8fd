// SPDX-License-Identifier: Apache-2.0
// The child's attachment is made before the fork, while both sides still agree on every socket: the agent gives it a
// reference to each. Its end is the child's end, so references go away with a child however that ends.
#include <fcntl.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <cerrno>

#include "transport/host/stack_impl.hpp"

namespace xnic::transport::host {

using message::Type;

base::Result<void> StackImpl::before_fork() {
  mutex_.lock();  // until the fork is over
  have_childs_ = false;
  if (!channel_.messenger) return {};
  if (!options_.interface.empty())
    return base::make_error(base::ErrorKind::kUnsupported, options_.interface,
                            "one process has the interface: a child would need another");
  channel_.messenger->flush();
  link::Request request;
  request.inherit_session = channel_.answer.session;
  request.inherit_secret = channel_.answer.secret;
  XNIC_ASSIGN(childs_, open_channel(request));
  have_childs_ = true;
  return {};
}

void StackImpl::after_fork_in_parent() {
  if (have_childs_) {
    sockets_.for_each([](SocketId, Socket& socket) { socket.shared = true; });
    childs_ = Channel();
  }
  have_childs_ = false;
  mutex_.unlock();
}

void StackImpl::after_fork_in_child() {
  asked_.clear();  // of threads that are not here
  waiting_for_link_.clear();
  channel_ = Channel();  // the parent's: only this process's view of it goes
  // The old descriptor is one with the parent's.
  const Fd fresh(epoll_create1(EPOLL_CLOEXEC));
  dup3(fresh.get(), epoll_.get(), O_CLOEXEC);
  sockets_.for_each([&](SocketId id, Socket& socket) {
    if (!have_childs_ || socket.state == State::kReserved || socket.queued) {
      sockets_.free(id, pool_);
      return;
    }
    socket.shared = true;
    socket.wants_link = false;
    if (socket.state == State::kListening) {
      socket.more().accepted.clear();
      socket.more().reserved = 0;
    } else if (socket.state == State::kConnected || socket.state == State::kConnecting) {
      socket.received.clear(pool_);
      socket.owner = socket.claimed = false;
      socket.read_since = 0;
    }
  });
  if (have_childs_) take_channel(std::move(childs_));
  have_childs_ = false;
  mutex_.unlock();
}

int StackImpl::export_socket(SocketId id, Token& token) {
  Lock lock(mutex_);
  Socket* socket = sockets_.find(id);
  if (socket == nullptr || !socket->live()) return -EBADF;
  std::vector<uint8_t> answer;
  if (const int error = ask(lock, Type::kExport, id, request_body(uint32_t{0}), &answer)) return error;
  if (answer.size() != token.size()) return -EPROTO;
  std::copy(answer.begin(), answer.end(), token.begin());
  socket = sockets_.find(id);
  if (socket != nullptr) socket->shared = true;
  return 0;
}

int64_t StackImpl::import_socket(const Token& token) {
  Lock lock(mutex_);
  SocketId id;
  Socket* socket = sockets_.make(State::kReserved, id, max_sockets_);
  if (socket == nullptr) return -ENFILE;
  std::vector<uint8_t> answer;
  int error = ask(lock, Type::kImport, id, request_body(uint32_t{0}, token.data(), token.size()), &answer);
  const auto imported = message::decode<message::ImportedBody>(answer);
  if (error == 0 && !imported) error = -EPROTO;
  socket = sockets_.find(id);
  if (socket == nullptr) return error != 0 ? error : -ENETDOWN;  // the agent went meanwhile
  if (error != 0) {
    sockets_.free(id, pool_);
    return error;
  }
  switch (imported->state) {
    case message::kStateListening:
      socket->state = State::kListening;
      break;
    case message::kStateConnecting:
      socket->state = State::kConnecting;
      break;
    case message::kStateConnected:
      socket->state = State::kConnected;
      break;
    case message::kStateDead:
      socket->state = State::kDead;
      break;
    default:
      socket->state = State::kFresh;
      break;
  }
  socket->owner = socket->state != State::kConnected && socket->state != State::kConnecting;
  socket->shared = socket->connect_told = true;
  socket->domain = static_cast<uint16_t>(imported->domain);
  socket->local = imported->local;
  socket->peer = imported->peer;
  if (socket->state == State::kListening) socket->more().backlog = imported->backlog;
  return id;
}

}  // namespace xnic::transport::host
