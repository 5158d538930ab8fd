// SPDX-License-Identifier: Apache-2.0
// One session at a time reads and writes a connection. Another that claims it makes the agent ask for it back: the
// owner returns what it had not read, and the claimer gets that first. A token is a reference that belongs to nobody
// yet.
#include <sys/random.h>

#include <algorithm>
#include <cerrno>

#include "transport/agent/agent_impl.hpp"

namespace xnic::transport::agent {

using message::decode;
using message::Type;

void AgentImpl::on_claim(Session& session, TcpSocket& socket, uint32_t id) {
  const Reference self{&session, id};
  if (socket.owner == self) return;
  if (std::find(socket.claimers.begin(), socket.claimers.end(), self) != socket.claimers.end()) return;
  socket.claimers.push_back(self);
  if (socket.owner.session == nullptr) {
    lose_owner(socket);
  } else if (!socket.revoking) {
    socket.revoking = true;
    socket.owner.session->messenger->send(Type::kRevoke, socket.owner.id);
  }
}

// The owner has given the connection up, or is gone: the next that wants it gets it.
void AgentImpl::lose_owner(TcpSocket& socket) {
  socket.owner = {};
  socket.revoking = false;
  socket.host_credit += std::exchange(socket.credit_due, 0u);
  if (socket.claimers.empty()) return;
  socket.owner = socket.claimers.front();
  socket.claimers.pop_front();
  link::Messenger& messenger = *socket.owner.session->messenger;
  socket.read_credit = options_.window_bytes;
  messenger.send_body(Type::kGranted, socket.owner.id, message::GrantedBody{socket.host_credit, socket.state});
  if (socket.state == message::kStateDead) messenger.send_body(Type::kReset, socket.owner.id, message::ResetBody{0});
  if (socket.state == message::kStateConnected) {
    socket.readable = true;  // its end is told again, too
    socket.told_end = false;
    list(socket);
  }
  if (!socket.claimers.empty()) {
    socket.revoking = true;
    messenger.send(Type::kRevoke, socket.owner.id);
  }
}

void AgentImpl::on_unread(Session& session, TcpSocket& socket, uint32_t id, base::Bytes body) {
  if (socket.owner != Reference{&session, id}) return;
  if (socket.unread.size() + body.size() > options_.window_bytes)
    return violate(session, "it returned more than it was given");
  socket.unread.insert(socket.unread.end(), body.begin(), body.end());
}

void AgentImpl::on_export(Session& session, TcpSocket& socket, uint32_t id, base::Bytes body) {
  const auto tag = decode<uint32_t>(body);
  if (!tag) return violate(session, "a question without a tag");
  Token token;
  if (exported_.size() >= options_.max_sockets || getrandom(token.data(), token.size(), 0) != ssize_t{token.size()})
    return answer(session, id, *tag, ENOBUFS);
  exported_.emplace(token, Exported{&socket, &session});
  ++socket.exports;
  answer(session, id, *tag, 0, token);
}

void AgentImpl::on_import(Session& session, uint32_t id, base::Bytes body) {
  Token token;
  if (body.size() != sizeof(uint32_t) + token.size()) return violate(session, "an import without a token");
  const auto tag = base::load<uint32_t>(body.data());
  std::copy(body.begin() + sizeof tag, body.end(), token.begin());
  const auto found = exported_.find(token);
  if (found == exported_.end()) return answer(session, id, tag, ENOENT);
  TcpSocket& socket = *found->second.socket;
  if (!add_reference(session, id, socket)) return;
  exported_.erase(found);
  --socket.exports;
  message::ImportedBody imported;
  imported.state = socket.state;
  imported.domain = socket.domain;
  imported.backlog = socket.acceptor ? socket.acceptor->backlog : 0;
  imported.local = name_of(socket.fd.get(), false);
  imported.peer = name_of(socket.fd.get(), true);
  answer(session, id, tag, 0, {reinterpret_cast<const uint8_t*>(&imported), sizeof imported});
}

}  // namespace xnic::transport::agent
