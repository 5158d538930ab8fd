// SPDX-License-Identifier: Apache-2.0
// send() writes into the link's open frame, as far as the connection's credit and the link's room go. recv() reads what
// has come; once a quarter of the window was read, the agent is told.
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include "transport/host/stack_impl.hpp"

namespace xnic::transport::host {

using message::Type;

namespace {

constexpr int kSendFlags = MSG_OOB | MSG_MORE | MSG_DONTWAIT | MSG_NOSIGNAL | MSG_EOR | MSG_CONFIRM | MSG_DONTROUTE;
constexpr int kReceiveFlags =
    MSG_PEEK | MSG_OOB | MSG_TRUNC | MSG_DONTWAIT | MSG_WAITALL | MSG_CMSG_CLOEXEC | MSG_ERRQUEUE | MSG_NOSIGNAL;

size_t total_bytes(const iovec* parts, int count) {
  size_t total = 0;
  for (int i = 0; i < count; ++i) total += parts[i].iov_len;
  return total;
}

// Walks over the bytes of an iovec.
class Cursor {
 public:
  Cursor(const iovec* parts, int count) : part_(parts), left_(count) {}
  // Calls each(pointer, offset, size) for the next `bytes` bytes.
  template <class Each>
  void advance(uint32_t bytes, Each&& each) {
    for (uint32_t offset = 0; bytes > 0 && left_ > 0;) {
      const auto size = static_cast<uint32_t>(std::min<size_t>(bytes, part_->iov_len - within_));
      if (size > 0) each(static_cast<uint8_t*>(part_->iov_base) + within_, offset, size);
      offset += size;
      bytes -= size;
      within_ += size;
      if (within_ == part_->iov_len) {
        ++part_;
        --left_;
        within_ = 0;
      }
    }
  }

 private:
  const iovec* part_;
  int left_;
  size_t within_ = 0;
};

int take_error(Socket& socket) { return -std::exchange(socket.error, 0); }

}  // namespace

uint32_t StackImpl::put_data(SocketId id, Socket& socket, const iovec* parts, int count, int flags) {
  link::Messenger& messenger = *channel_.messenger;
  const auto wanted = static_cast<uint32_t>(std::min<size_t>(total_bytes(parts, count), socket.send_credit));
  Cursor cursor(parts, count);
  uint32_t done = 0;
  while (done < wanted) {
    const uint32_t left = wanted - done;
    const uint32_t size = messenger.room(left, std::min(left, 512u));
    if (size == 0) {
      if (!socket.wants_link) waiting_for_link_.push_back(id);
      socket.wants_link = true;
      break;
    }
    uint8_t* body = messenger.body();
    cursor.advance(
        size, [&](const uint8_t* from, uint32_t offset, uint32_t bytes) { std::memcpy(body + offset, from, bytes); });
    done += size;
    const bool urgent = (flags & MSG_OOB) != 0 && done == wanted;
    messenger.put(urgent ? Type::kUrgent : Type::kData, id, size,
                  (flags & MSG_MORE) != 0 && done == wanted ? message::kMore : 0);
  }
  socket.send_credit -= done;
  counters_.bytes_sent += done;
  return done;
}

ssize_t StackImpl::send(SocketId id, const iovec* parts, int count, int flags) {
  Lock lock(mutex_);
  Socket* found = sockets_.find(id);
  if (found == nullptr) return -EBADF;
  Socket& socket = *found;
  if ((flags & ~kSendFlags) != 0) return -EOPNOTSUPP;
  if (socket.error != 0) return take_error(socket);
  if (socket.state == State::kConnecting) return -EAGAIN;
  if (socket.state != State::kConnected || socket.send_shut) return -EPIPE;
  if (!owned(id, socket)) {
    pump_locked();
    if (!socket.owner) return -EAGAIN;
  }
  if (total_bytes(parts, count) == 0) return 0;
  uint32_t done = socket.send_credit == 0 ? 0 : put_data(id, socket, parts, count, flags);
  if (done == 0) {
    // Room or credit may have come, or the end of the connection.
    flush_locked();
    pump_locked();
    if (socket.error != 0) return take_error(socket);
    if (socket.state != State::kConnected) return -EPIPE;
    if (!channel_.messenger) return -EPIPE;
    if (socket.send_credit != 0) done = put_data(id, socket, parts, count, flags);
    if (done == 0) {
      socket.wants_credit = true;
      return -EAGAIN;
    }
  }
  if (!options_.defer_sends) flush_locked();
  return done;
}

void StackImpl::give_credit(SocketId id, Socket& socket, uint32_t bytes) {
  socket.read_since += bytes;
  if (socket.read_since < window_ / 4 || !channel_.messenger || socket.state != State::kConnected) return;
  channel_.messenger->send_body(Type::kCredit, id, message::CreditBody{socket.read_since});
  socket.read_since = 0;
  // A peer that waits for the window has to hear of it even if this program says nothing more.
  if (!options_.defer_sends) channel_.messenger->flush();
}

ssize_t StackImpl::receive_urgent(Socket& socket, const iovec* parts, int count, int flags) {
  if (!socket.urgent_pending || !socket.has_urgent || socket.inline_urgent) return -EINVAL;
  if (total_bytes(parts, count) != 0) {
    for (int i = 0; i < count; ++i) {
      if (parts[i].iov_len == 0) continue;
      if ((flags & MSG_TRUNC) == 0) *static_cast<uint8_t*>(parts[i].iov_base) = socket.urgent;
      break;
    }
  }
  if ((flags & MSG_PEEK) == 0) socket.has_urgent = false;
  return total_bytes(parts, count) != 0 ? 1 : 0;
}

ssize_t StackImpl::recv(SocketId id, const iovec* parts, int count, int flags) {
  Lock lock(mutex_);
  Socket* found = sockets_.find(id);
  if (found == nullptr) return -EBADF;
  Socket& socket = *found;
  if ((flags & ~kReceiveFlags) != 0) return -EOPNOTSUPP;
  if ((flags & MSG_ERRQUEUE) != 0) return -EAGAIN;
  if (socket.state == State::kFresh || socket.state == State::kListening)
    return socket.error != 0 ? take_error(socket) : socket.receive_shut ? 0 : -ENOTCONN;
  if (!owned(id, socket) || (socket.received.size() == 0 && !socket.end)) pump_locked();
  if (!socket.owner) return -EAGAIN;
  if ((flags & MSG_OOB) != 0) return receive_urgent(socket, parts, count, flags);
  const uint32_t available = socket.received.size();
  if (available == 0) {
    if (socket.error != 0) return take_error(socket);
    return socket.end || socket.receive_shut ? 0 : -EAGAIN;
  }
  if (socket.mark == 0) {  // reading on from the mark: the urgent byte is over
    socket.mark = Socket::kNoMark;
    socket.urgent_pending = socket.has_urgent = false;
  }
  const auto size =
      static_cast<uint32_t>(std::min<size_t>(total_bytes(parts, count), std::min(available, socket.mark)));
  if ((flags & MSG_TRUNC) == 0) {
    Cursor(parts, count).advance(size, [&](uint8_t* to, uint32_t offset, uint32_t bytes) {
      socket.received.peek(to, offset, bytes);
    });
  }
  if ((flags & MSG_PEEK) == 0) {
    socket.received.skip(size, pool_);
    if (socket.mark != Socket::kNoMark) socket.mark -= size;
    give_credit(id, socket, size);
  }
  return size;
}

int64_t StackImpl::readable_bytes(SocketId id) {
  Lock lock(mutex_);
  Socket* socket = sockets_.find(id);
  if (socket == nullptr) return -EBADF;
  if (socket->state == State::kListening) return -EINVAL;
  if (socket->state == State::kConnected && (!owned(id, *socket) || socket->received.size() == 0)) pump_locked();
  return std::min(socket->received.size(), socket->mark);
}

int StackImpl::at_mark(SocketId id) {
  Lock lock(mutex_);
  Socket* socket = sockets_.find(id);
  if (socket == nullptr) return -EBADF;
  if (socket->state == State::kConnected && socket->mark == Socket::kNoMark) pump_locked();
  return socket->mark == 0 ? 1 : 0;
}

}  // namespace xnic::transport::host
