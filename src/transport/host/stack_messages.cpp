// SPDX-License-Identifier: Apache-2.0
// What the agent says. It is believed as far as its own sockets go; ids that are no longer in use are of sockets that
// the program has closed meanwhile, and what came for them is let go.
#include <poll.h>

#include <cerrno>

#include "transport/host/stack_impl.hpp"

namespace xnic::transport::host {

using message::decode;
using message::Type;

bool StackImpl::pump_locked() {
  if (!channel_.messenger) {
    look_for_agent();
    return false;
  }
  link::Messenger& messenger = *channel_.messenger;
  const uint32_t taken = messenger.poll(
      [this](const message::MessageHeader& header, base::Bytes body) { return on_message(header, body); });
  messenger.release();
  if (!waiting_for_link_.empty()) room_in_link();
  // What came before the end counts before the end.
  // A program that never sleeps hears no bell: it has to look, but not at every turn, for that is a system call.
  constexpr uint32_t kLooksBetween = 1024;
  if (taken == 0 &&
      (messenger.down() || (++empty_pumps_ % kLooksBetween == 0 && link::has_left(channel_.connection)))) {
    lose_agent();
    return true;
  }
  return taken != 0;
}

bool StackImpl::on_message(const message::MessageHeader& header, base::Bytes body) {
  if (header.type == Type::kReply) {
    on_reply(body);
    return true;
  }
  if (header.type == Type::kWelcome) {
    if (const auto welcome = decode<message::WelcomeBody>(body)) {
      max_sockets_ = welcome->max_sockets;
      window_ = welcome->window_bytes;
    }
    return true;
  }
  Socket* found = sockets_.find(header.id);
  if (found == nullptr) {
    // Its listener was closed while it was under way.
    if (header.type == Type::kAccepted)
      channel_.messenger->send_body(Type::kClose, header.id, message::CloseBody{0, 1});
    return true;
  }
  Socket& socket = *found;
  switch (header.type) {
    case Type::kData:
      on_data(header.id, socket, body);
      break;
    case Type::kCredit:
      if (const auto credit = decode<message::CreditBody>(body)) {
        socket.send_credit += credit->bytes;
        if (socket.wants_credit && socket.send_credit >= window_ / 3) {
          socket.wants_credit = false;
          event(header.id, socket, POLLOUT | POLLWRNORM);
        }
      }
      break;
    case Type::kPeerShutdown:
      socket.end = true;
      event(header.id, socket, POLLIN | POLLRDNORM | POLLRDHUP | (socket.send_shut ? POLLHUP : 0));
      break;
    case Type::kReset:
      if (const auto reset = decode<message::ResetBody>(body)) on_reset(header.id, socket, reset->error);
      break;
    case Type::kAccepted:
      on_accepted(header.id, body);
      break;
    case Type::kConnected:
      on_connected(header.id, socket, body);
      break;
    case Type::kUrgent:
      socket.has_urgent = !body.empty();
      socket.urgent_pending = true;
      socket.mark = Socket::kNoMark;
      if (!body.empty()) socket.urgent = body[0];
      event(header.id, socket, POLLPRI);
      break;
    case Type::kUrgentMark:
      if (socket.urgent_pending) socket.mark = socket.received.size();
      break;
    case Type::kRevoke:
      on_revoke(header.id, socket);
      break;
    case Type::kGranted:
      on_granted(header.id, socket, body);
      break;
    default:
      break;  // of a later version
  }
  return true;
}

void StackImpl::on_data(SocketId id, Socket& socket, base::Bytes body) {
  counters_.bytes_received += body.size();
  if (socket.receive_shut) {  // nobody reads it: the agent may go on
    give_credit(id, socket, static_cast<uint32_t>(body.size()));
    return;
  }
  socket.received.append(body, pool_);
  event(id, socket, POLLIN | POLLRDNORM);
}

void StackImpl::on_accepted(SocketId id, base::Bytes body) {
  const auto accepted = decode<message::AcceptedBody>(body);
  Socket* socket = sockets_.find(id);
  if (!accepted || socket->state != State::kReserved) return;
  Socket* listener = sockets_.find(accepted->listener);
  if (listener == nullptr || listener->state != State::kListening) {
    channel_.messenger->send_body(Type::kClose, id, message::CloseBody{0, 1});
    sockets_.free(id, pool_);
    return;
  }
  socket->state = State::kConnected;
  socket->queued = socket->connect_told = true;
  socket->domain = static_cast<uint16_t>(accepted->domain);
  socket->send_credit = window_;
  socket->local = accepted->local;
  socket->peer = accepted->peer;
  // What an accepted connection has from its listener.
  socket->linger_s = listener->linger_s;
  socket->low_water = listener->low_water;
  socket->inline_urgent = listener->inline_urgent;
  Extra& queue = listener->more();
  if (queue.receive_timeout.tv_sec != 0 || queue.receive_timeout.tv_usec != 0 || queue.send_timeout.tv_sec != 0 ||
      queue.send_timeout.tv_usec != 0) {
    socket->more().receive_timeout = queue.receive_timeout;
    socket->more().send_timeout = queue.send_timeout;
  }
  --queue.reserved;
  queue.accepted.push_back(id);
  event(accepted->listener, *listener, POLLIN | POLLRDNORM);
}

void StackImpl::on_connected(SocketId id, Socket& socket, base::Bytes body) {
  const auto connected = decode<message::ConnectedBody>(body);
  if (!connected || socket.state != State::kConnecting) return;
  if (connected->error != 0) {
    on_reset(id, socket, connected->error);
    return;
  }
  socket.state = State::kConnected;
  socket.send_credit = window_;
  socket.local = connected->local;
  socket.peer = connected->peer;
  if (socket.extra) socket.extra->told.clear();
  event(id, socket, POLLOUT | POLLWRNORM);
}

void StackImpl::on_reset(SocketId id, Socket& socket, int error) {
  if (socket.state != State::kConnected && socket.state != State::kConnecting) return;
  if (socket.state == State::kConnected) socket.connect_told = true;
  socket.state = State::kDead;
  socket.error = error;
  socket.end = true;
  event(id, socket, POLLIN | POLLRDNORM | POLLOUT | POLLWRNORM | POLLERR | POLLHUP | POLLRDHUP);
}

// Another process wants the connection: unread data goes back, and from now on it is that one's.
void StackImpl::on_revoke(SocketId id, Socket& socket) {
  give_back_unread(id, socket);
  channel_.messenger->send(Type::kRevoked, id);
  channel_.messenger->flush();
  socket.owner = socket.claimed = false;
  socket.read_since = 0;
}

void StackImpl::on_granted(SocketId id, Socket& socket, base::Bytes body) {
  const auto granted = decode<message::GrantedBody>(body);
  if (!granted || socket.owner) return;
  socket.owner = true;
  socket.claimed = false;
  socket.send_credit = granted->send_credit;
  socket.read_since = 0;
  socket.state = granted->state == message::kStateConnecting ? State::kConnecting : State::kConnected;
  event(id, socket, POLLOUT | POLLWRNORM);
}

void StackImpl::on_reply(base::Bytes body) {
  const auto reply = decode<message::ReplyBody>(body);
  if (!reply) return;
  for (size_t i = 0; i < asked_.size(); ++i) {
    Asked& asked = *asked_[i];
    if (asked.tag != reply->tag) continue;
    asked.done = true;
    asked.error = reply->error;
    const base::Bytes rest = body.subspan(sizeof *reply);
    asked.answer.assign(rest.begin(), rest.end());
    asked_.erase(asked_.begin() + static_cast<ptrdiff_t>(i));
    return;
  }
}

}  // namespace xnic::transport::host
