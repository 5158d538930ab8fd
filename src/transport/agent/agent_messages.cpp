// SPDX-License-Identifier: Apache-2.0
// What a session says. A body that is too short, an id in use twice or a message that only agents send is a violation;
// an id that is not there is not: the session may have closed it from another thread, and questions about it get EBADF.
#include <linux/sockios.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "transport/agent/agent_impl.hpp"

namespace xnic::transport::agent {

using message::decode;
using message::Type;

void AgentImpl::answer(Session& session, uint32_t id, uint32_t tag, int error, base::Bytes rest) {
  if (tag == 0) return;
  std::vector<uint8_t> body(sizeof(message::ReplyBody) + rest.size());
  const message::ReplyBody head{tag, error};
  std::memcpy(body.data(), &head, sizeof head);
  if (!rest.empty()) std::memcpy(body.data() + sizeof head, rest.data(), rest.size());
  session.messenger->send(Type::kReply, id, body);
}

bool AgentImpl::on_message(Session& session, const message::MessageHeader& header, base::Bytes body) {
  if (session.violation != nullptr) return true;  // nothing that follows counts
  if (header.type == Type::kData) {
    TcpSocket* socket = session.find(header.id);
    if (socket != nullptr && socket->owner == Reference{&session, header.id}) {
      if (body.size() > socket->host_credit)
        violate(session, "it sent more than its credit");
      else
        gather(*socket, body, (header.flags & message::kMore) != 0);
    }
    return true;
  }
  flush_gathered();
  switch (header.type) {
    case Type::kHello:
      session.messenger->send_body(Type::kWelcome, 0,
                                   message::WelcomeBody{0, options_.max_sockets, options_.window_bytes});
      return true;
    case Type::kSocket:
      on_socket(session, header.id, body);
      return true;
    case Type::kImport:
      on_import(session, header.id, body);
      return true;
    case Type::kKeepAlive:
      return true;
    default:
      break;
  }
  TcpSocket* socket = session.find(header.id);
  if (socket != nullptr) {
    on_socket_message(session, *socket, header, body);
    return true;
  }
  switch (header.type) {
    case Type::kBind:
    case Type::kListen:
    case Type::kConnect:
    case Type::kSetOption:
    case Type::kGetOption:
    case Type::kName:
    case Type::kUnsent:
    case Type::kExport:
    case Type::kShutdown:
    case Type::kClose:
      if (const auto tag = decode<uint32_t>(body))
        answer(session, header.id, *tag, EBADF);
      else
        violate(session, "a question without a tag");
      return true;
    default:
      return true;
  }
}

void AgentImpl::on_socket_message(Session& session, TcpSocket& socket, const message::MessageHeader& header,
                                  base::Bytes body) {
  const uint32_t id = header.id;
  switch (header.type) {
    case Type::kBind:
      return on_bind(session, socket, id, body);
    case Type::kListen:
      return on_listen(session, socket, id, body);
    case Type::kConnect:
      return on_connect(session, socket, id, body);
    case Type::kSetOption:
      return on_set_option(session, socket, id, body);
    case Type::kGetOption:
      return on_get_option(session, socket, id, body);
    case Type::kName:
      return on_name(session, socket, id, body);
    case Type::kUnsent:
      return on_unsent(session, socket, id, body);
    case Type::kAcceptCredit:
      return on_accept_credit(session, socket, id, body);
    case Type::kTaken:
      socket.queued_for = {};
      socket.listener = nullptr;
      return;
    case Type::kShutdown:
      return on_shutdown(session, socket, id, body);
    case Type::kClose:
      return on_close(session, socket, id, body);
    case Type::kClaim:
      return on_claim(session, socket, id);
    case Type::kUnread:
      return on_unread(session, socket, id, body);
    case Type::kRevoked:
      if (socket.owner == Reference{&session, id} && socket.revoking) lose_owner(socket);
      return;
    case Type::kExport:
      return on_export(session, socket, id, body);
    case Type::kUrgent:
      if (socket.owner == Reference{&session, id} && !body.empty()) {
        if (body.size() > socket.host_credit) return violate(session, "it sent more than its credit");
        const iovec part{const_cast<uint8_t*>(body.data()), body.size()};
        socket.host_credit -= static_cast<uint32_t>(body.size());
        send_to_peer(socket, &part, 1, body.size(), MSG_OOB);
      }
      return;
    case Type::kCredit: {
      const auto credit = decode<message::CreditBody>(body);
      if (!credit) return violate(session, "a credit without a number");
      if (socket.owner != Reference{&session, id}) return;
      // What was given back was once lent; a lie only fills the liar's own link.
      socket.read_credit =
          std::min(socket.read_credit + std::min(credit->bytes, options_.window_bytes), options_.window_bytes);
      list(socket);
      return;
    }
    default:
      violate(session, "a message that a host does not send");
  }
}

void AgentImpl::on_socket(Session& session, uint32_t id, base::Bytes body) {
  const auto wanted = decode<message::SocketBody>(body);
  if (!wanted || (wanted->domain != AF_INET && wanted->domain != AF_INET6))
    return violate(session, "a socket of no family that there is");
  auto made = std::make_unique<TcpSocket>();
  // Without a descriptor the socket stands all the same; what is asked of it then says ENFILE.
  made->fd = Fd(::socket(wanted->domain, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP));
  made->domain = wanted->domain;
  TcpSocket& socket = *made;
  sockets_.emplace(&socket, std::move(made));
  if (!add_reference(session, id, socket)) {
    sockets_.erase(&socket);
    return;
  }
}

void AgentImpl::on_bind(Session& session, TcpSocket& socket, uint32_t id, base::Bytes body) {
  const auto tag = decode<uint32_t>(body);
  if (!tag || body.size() - 4 > sizeof(sockaddr_storage)) return violate(session, "a bind that is none");
  sockaddr_storage address{};
  const auto size = static_cast<socklen_t>(body.size() - 4);
  std::memcpy(&address, body.data() + 4, size);
  // sockaddr_in and sockaddr_in6 have the port at the same place.
  const uint16_t port = base::load_be<uint16_t>(reinterpret_cast<const uint8_t*>(&address) + 2);
  if (size >= 4 && port != 0 && port < 1024 && session.uid != 0 && !options_.any_port)
    return answer(session, id, *tag, EACCES);
  const int error = socket.fd.get() < 0                                                               ? ENFILE
                    : ::bind(socket.fd.get(), reinterpret_cast<const sockaddr*>(&address), size) != 0 ? errno
                                                                                                      : 0;
  const message::Address name = name_of(socket.fd.get(), false);
  answer(session, id, *tag, error, {name.bytes, name.size});
}

void AgentImpl::on_listen(Session& session, TcpSocket& socket, uint32_t id, base::Bytes body) {
  const auto wanted = decode<message::ListenBody>(body);
  if (!wanted) return violate(session, "a listen that is none");
  if (socket.fd.get() < 0) return answer(session, id, wanted->tag, ENFILE);
  if (::listen(socket.fd.get(), wanted->backlog) != 0) return answer(session, id, wanted->tag, errno);
  socket.state = message::kStateListening;
  if (!socket.acceptor) socket.acceptor = std::make_unique<Acceptor>();
  socket.acceptor->backlog = wanted->backlog;
  watch(socket, EPOLLIN);
  const message::Address name = name_of(socket.fd.get(), false);
  answer(session, id, wanted->tag, 0, {name.bytes, name.size});
}

void AgentImpl::on_connect(Session& session, TcpSocket& socket, uint32_t id, base::Bytes body) {
  const auto tag = decode<uint32_t>(body);
  if (!tag || body.size() - 4 > sizeof(sockaddr_storage)) return violate(session, "a connect that is none");
  if (socket.fd.get() < 0) return answer(session, id, *tag, ENFILE);
  sockaddr_storage address{};
  const auto size = static_cast<socklen_t>(body.size() - 4);
  std::memcpy(&address, body.data() + 4, size);
  const bool disconnect = size >= 2 && address.ss_family == AF_UNSPEC;
  const int error = ::connect(socket.fd.get(), reinterpret_cast<const sockaddr*>(&address), size) != 0 ? errno : 0;
  if (disconnect && error == 0) {
    unwatch(socket);
    socket.state = message::kStateFresh;
  } else if (error == 0 || error == EINPROGRESS) {
    socket.state = message::kStateConnecting;
    socket.owner = {&session, id};
    socket.told_end = socket.hung_up = false;
    watch(socket, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI);
  } else if (socket.state == message::kStateDead) {
    socket.state = message::kStateFresh;  // ECONNABORTED: the failed attempt is over
  }
  const message::Address name = name_of(socket.fd.get(), false);
  // That it stands comes as an event, which tells both addresses.
  answer(session, id, *tag, error == 0 && !disconnect ? EINPROGRESS : error, {name.bytes, name.size});
}

void AgentImpl::on_name(Session& session, TcpSocket& socket, uint32_t id, base::Bytes body) {
  const auto wanted = decode<message::NameBody>(body);
  if (!wanted) return violate(session, "a question for a name that is none");
  int error = 0;
  const message::Address name = name_of(socket.fd.get(), wanted->peer != 0, &error);
  answer(session, id, wanted->tag, error, {name.bytes, name.size});
}

void AgentImpl::on_unsent(Session& session, TcpSocket& socket, uint32_t id, base::Bytes body) {
  const auto tag = decode<uint32_t>(body);
  if (!tag) return violate(session, "a question without a tag");
  int in_kernel = 0;
  const int error = ioctl(socket.fd.get(), SIOCOUTQ, &in_kernel) != 0 ? errno : 0;
  const auto bytes = static_cast<uint32_t>(in_kernel) + static_cast<uint32_t>(socket.waiting_bytes());
  answer(session, id, *tag, error, {reinterpret_cast<const uint8_t*>(&bytes), sizeof bytes});
}

void AgentImpl::on_accept_credit(Session& session, TcpSocket& socket, uint32_t id, base::Bytes body) {
  if (body.size() % 4 != 0) return violate(session, "accept credit in pieces of ids");
  if (socket.state != message::kStateListening) return;
  std::vector<Acceptor::Member>& members = socket.acceptor->members;
  auto member = std::find_if(members.begin(), members.end(),
                             [&](const auto& each) { return each.session == &session && each.id == id; });
  if (member == members.end()) member = members.insert(members.end(), {&session, id, {}});
  for (size_t at = 0; at < body.size(); at += 4) {
    if (member->free.size() >= options_.max_sockets) return violate(session, "more accept credit than it may have");
    member->free.push_back(base::load<uint32_t>(body.data() + at));
  }
  accept_from(socket);
}

void AgentImpl::on_shutdown(Session& session, TcpSocket& socket, uint32_t id, base::Bytes body) {
  const auto wanted = decode<message::ShutdownBody>(body);
  if (!wanted || wanted->how > SHUT_RDWR) return violate(session, "a shutdown that is none");
  if (socket.state == message::kStateConnected) {
    // The reading half is the host's own business: the kernel, too, only stops giving what comes.
    if (wanted->how != SHUT_RD) {
      if (socket.waiting_bytes() == 0)
        ::shutdown(socket.fd.get(), SHUT_WR);
      else
        socket.shut_write_due = true;
    }
    return answer(session, id, wanted->tag, 0);
  }
  const int error = ::shutdown(socket.fd.get(), static_cast<int>(wanted->how)) != 0 ? errno : 0;
  const bool ends =
      socket.state == message::kStateConnecting || (socket.state == message::kStateListening && wanted->how != SHUT_WR);
  if (ends) {
    unwatch(socket);
    socket.state = message::kStateFresh;
    socket.owner = {};
    if (socket.acceptor) socket.acceptor->members.clear();
  }
  answer(session, id, wanted->tag, ends ? 0 : error);
}

void AgentImpl::on_close(Session& session, TcpSocket& socket, uint32_t id, base::Bytes body) {
  const auto wanted = decode<message::CloseBody>(body);
  if (!wanted) return violate(session, "a close that is none");
  const bool last = socket.references.size() == 1 && socket.exports == 0;
  if (wanted->tag != 0) {
    if (last && socket.linger_s > 0 && socket.state == message::kStateConnected && wanted->unread == 0) {
      socket.closer = {&session, id};
      socket.close_tag = wanted->tag;
    } else {
      answer(session, id, wanted->tag, 0);
    }
  }
  drop_reference(session, id, socket, wanted->unread != 0);
}

}  // namespace xnic::transport::agent
