// SPDX-License-Identifier: Apache-2.0
// To the peer: consecutive messages of one connection become one sendmsg(2) straight from the link's memory; what TCP
// does not take is copied and waits, at most a window of it. From the peer: recv(2) straight into the link's open
// frame, at most what the owner has credit for.
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include "transport/agent/agent_impl.hpp"

namespace xnic::transport::agent {

using message::Type;

namespace {

constexpr uint32_t kReadATurn = 64 * 1024;  // of one connection, while others wait
constexpr uint32_t kLeastRead = 1024;

}  // namespace

void AgentImpl::gather(TcpSocket& socket, base::Bytes body, bool more) {
  if (gathered_for_ != &socket || gathered_count_ == gathered_.size()) {
    flush_gathered();
    gathered_for_ = &socket;
  }
  socket.host_credit -= static_cast<uint32_t>(body.size());
  gathered_[gathered_count_++] = {const_cast<uint8_t*>(body.data()), body.size()};
  gathered_bytes_ += body.size();
  gathered_more_ = more;
}

void AgentImpl::flush_gathered() {
  if (gathered_for_ != nullptr)
    send_to_peer(*gathered_for_, gathered_.data(), gathered_count_, gathered_bytes_, gathered_more_ ? MSG_MORE : 0);
  gathered_for_ = nullptr;
  gathered_count_ = gathered_bytes_ = 0;
}

void AgentImpl::send_to_peer(TcpSocket& socket, const iovec* parts, size_t count, size_t bytes, int flags) {
  if (socket.owner.session != nullptr) socket.owner.session->bytes_to_peers += bytes;
  size_t sent = 0;
  if (socket.state != message::kStateConnected || socket.send_error != 0) return;  // nobody is there any more
  if (socket.waiting_bytes() == 0) {
    msghdr message{};
    message.msg_iov = const_cast<iovec*>(parts);
    message.msg_iovlen = count;
    const ssize_t result = sendmsg(socket.fd.get(), &message, MSG_DONTWAIT | MSG_NOSIGNAL | flags);
    if (result >= 0) {
      sent = static_cast<size_t>(result);
      gone_to_peer(socket, static_cast<uint32_t>(sent));
    } else if (errno != EAGAIN && errno != EINTR) {
      socket.send_error = errno;
      socket.readable = socket.hung_up = true;  // what came before the error is read first
      list(socket);
      return;
    }
  }
  for (size_t i = 0; i < count; ++i) {
    const auto* from = static_cast<const uint8_t*>(parts[i].iov_base);
    const size_t skip = std::min(sent, parts[i].iov_len);
    sent -= skip;
    socket.to_peer.insert(socket.to_peer.end(), from + skip, from + parts[i].iov_len);
  }
}

void AgentImpl::send_waiting(TcpSocket& socket) {
  while (socket.waiting_bytes() != 0) {
    const ssize_t result = send(socket.fd.get(), socket.to_peer.data() + socket.to_peer_begin, socket.waiting_bytes(),
                                MSG_DONTWAIT | MSG_NOSIGNAL);
    if (result < 0 && errno == EINTR) continue;
    if (result < 0) {
      if (errno == EAGAIN) return;
      socket.send_error = errno;
      socket.readable = socket.hung_up = true;
      list(socket);
      break;
    }
    socket.to_peer_begin += static_cast<size_t>(result);
    gone_to_peer(socket, static_cast<uint32_t>(result));
  }
  socket.to_peer = {};
  socket.to_peer_begin = 0;
  if (socket.shut_write_due) ::shutdown(socket.fd.get(), SHUT_WR);
  socket.shut_write_due = false;
}

// Credit goes back by quarters of a window, in whatever frame goes next.
void AgentImpl::gone_to_peer(TcpSocket& socket, uint32_t bytes) {
  socket.credit_due += bytes;
  if (socket.credit_due < options_.window_bytes / 4 || socket.owner.session == nullptr || socket.revoking) return;
  socket.owner.session->messenger->send_body(Type::kCredit, socket.owner.id, message::CreditBody{socket.credit_due});
  socket.host_credit += socket.credit_due;
  socket.credit_due = 0;
}

void AgentImpl::fail(TcpSocket& socket, int error) {
  unwatch(socket);
  socket.state = message::kStateDead;
  socket.to_peer = {};
  socket.to_peer_begin = 0;
  if (Session* session = socket.owner.session)
    session->messenger->send_body(Type::kReset, socket.owner.id, message::ResetBody{error});
}

// What the last owner had not read; false: there is no room, or no credit, for all of it.
bool AgentImpl::give_unread(TcpSocket& socket) {
  Session& session = *socket.owner.session;
  size_t given = 0;
  while (given < socket.unread.size() && socket.read_credit != 0) {
    const auto left = static_cast<uint32_t>(std::min<size_t>(socket.unread.size() - given, socket.read_credit));
    const uint32_t size = session.messenger->room(left, std::min(left, kLeastRead));
    if (size == 0) break;
    std::memcpy(session.messenger->body(), socket.unread.data() + given, size);
    session.messenger->put(Type::kData, socket.owner.id, size);
    socket.read_credit -= size;
    given += size;
  }
  socket.unread.erase(socket.unread.begin(), socket.unread.begin() + static_cast<ptrdiff_t>(given));
  return socket.unread.empty();
}

// True: something was read.
bool AgentImpl::read_from_peer(TcpSocket& socket) {
  if (socket.owner.session == nullptr || socket.revoking || socket.state != message::kStateConnected) return false;
  Session& session = *socket.owner.session;
  if (!socket.unread.empty() && !give_unread(socket)) {
    list(socket);
    return false;
  }
  uint32_t total = 0;
  while (socket.readable && socket.read_credit != 0 && total < kReadATurn) {
    if (socket.mark_due) {
      int at_mark = 0;
      if (ioctl(socket.fd.get(), SIOCATMARK, &at_mark) == 0 && at_mark != 0) {
        session.messenger->send(Type::kUrgentMark, socket.owner.id);
        socket.mark_due = false;
      }
    }
    const uint32_t least = std::min(kLeastRead, socket.read_credit);
    const uint32_t room = session.messenger->room(std::min(socket.read_credit, 0xffffu), least);
    if (room == 0) break;  // the host is behind
    const ssize_t got = recv(socket.fd.get(), session.messenger->body(), room, MSG_DONTWAIT);
    if (got > 0) {
      const auto bytes = static_cast<uint32_t>(got);
      session.messenger->put(Type::kData, socket.owner.id, bytes);
      socket.read_credit -= bytes;
      session.bytes_to_host += bytes;
      total += bytes;
      // Less than was asked for: there is no more, and what comes will be an event. At a mark it is not so.
      if (bytes < room && !socket.hung_up && !socket.mark_due) socket.readable = false;
    } else if (got == 0) {
      socket.readable = false;
      if (socket.send_error != 0) {
        fail(socket, socket.send_error);
      } else if (!socket.told_end) {
        socket.told_end = true;
        session.messenger->send(Type::kPeerShutdown, socket.owner.id);
      }
    } else if (errno == EAGAIN) {
      socket.readable = false;
      if (socket.send_error != 0) fail(socket, socket.send_error);
    } else if (errno != EINTR) {
      fail(socket, errno);
    }
  }
  list(socket);
  return total != 0;
}

void AgentImpl::take_urgent(TcpSocket& socket) {
  Session* session = socket.owner.session;
  if (session == nullptr || socket.revoking) return;
  uint8_t byte = 0;
  const ssize_t got = recv(socket.fd.get(), &byte, 1, MSG_OOB | MSG_DONTWAIT);
  // EINVAL: SO_OOBINLINE, the byte comes in the stream (or it was read before, and this is another event).
  if (got < 0 && errno != EINVAL) return;
  if (got < 0) {
    int in_line = 0;
    socklen_t size = sizeof in_line;
    getsockopt(socket.fd.get(), SOL_SOCKET, SO_OOBINLINE, &in_line, &size);
    if (in_line == 0 || socket.mark_due) return;
  }
  session->messenger->send(Type::kUrgent, socket.owner.id, {&byte, got == 1 ? size_t{1} : size_t{0}});
  socket.mark_due = true;
  socket.readable = true;
  list(socket);
}

}  // namespace xnic::transport::agent
