// SPDX-License-Identifier: Apache-2.0
// A guest has two seconds to say what it wants. A session ends when its connection does, or when it breaks the
// protocol; what it had sent before its end still counts, unless it broke the protocol.
#include <fmt/format.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>

#include <algorithm>

#include "transport/agent/agent_impl.hpp"
#include "transport/link/xdp.hpp"

namespace xnic::transport::agent {

using message::Type;

namespace {

constexpr uint64_t kGuestNs = 2'000'000'000;
constexpr size_t kMostGuests = 64;

template <class T>
std::unique_ptr<T> take_out(std::vector<std::unique_ptr<T>>& from, const T& what) {
  const auto at = std::find_if(from.begin(), from.end(), [&](const auto& each) { return each.get() == &what; });
  std::unique_ptr<T> taken = std::move(*at);
  *at = std::move(from.back());
  from.pop_back();
  return taken;
}

}  // namespace

void AgentImpl::welcome_guest() {
  Fd connection = listener_.accept();
  if (connection.get() < 0) return;
  if (guests_.size() >= kMostGuests) {
    link::refuse(connection, "too many processes attach at once");
    return;
  }
  auto guest = std::make_unique<Guest>(std::move(connection));
  guest->until_ns = clock_.monotonic_ns() + kGuestNs;
  epoll_event event{EPOLLIN, {}};
  event.data.ptr = static_cast<Source*>(guest.get());
  epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, guest->connection.get(), &event);
  guests_.push_back(std::move(guest));
}

void AgentImpl::forget_guest(Guest& guest) {
  if (guest.connection.get() >= 0) epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, guest.connection.get(), nullptr);
  dead_guests_.push_back(take_out(guests_, guest));
}

void AgentImpl::on_guest(Guest& guest) {
  link::Request request;
  const auto come = link::receive_request(guest.connection, request);
  if (come && !*come) return;
  if (!come) {
    link::refuse(guest.connection, come.error().detail);
  } else if (request.purpose == link::Purpose::kStatistics) {
    if (link::send_answer(guest.connection, {}, {})) {
      const std::string text = statistics();
      (void)send(guest.connection.get(), text.data(), text.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    }
  } else if (request.purpose == link::Purpose::kMemory || request.purpose == link::Purpose::kXdp) {
    begin_session(guest, request);
  } else {
    link::refuse(guest.connection, "this agent has no such link");
  }
  forget_guest(guest);
}

base::Result<AgentImpl::MadeLink> AgentImpl::make_link(link::Purpose purpose, Session& session) const {
  if (purpose == link::Purpose::kMemory) {
    XNIC_ASSIGN(link::MemoryLink::Made memory, link::MemoryLink::make(options_.memory));
    return MadeLink{std::move(memory.link), std::move(memory.memfd), std::move(memory.bell)};
  }
  using base::ErrorKind;
  if (options_.interface.empty())
    return base::make_error(ErrorKind::kUnsupported, "", "this agent has no interface for links (--interface)");
  for (const auto& each : sessions_)
    if (each->over_xdp) return base::make_error(ErrorKind::kLimit, options_.interface, "another process has it");
  XNIC_ASSIGN(auto xdp, link::XdpLink::open({.interface = options_.interface}, clock_));
  session.over_xdp = true;
  return MadeLink{std::move(xdp), {}, {}};
}

void AgentImpl::begin_session(Guest& guest, const link::Request& request) {
  if (sessions_.size() >= options_.max_sessions) {
    link::refuse(guest.connection, "the agent has as many sessions as it may have");
    return;
  }
  const Session* parent = nullptr;
  if (request.inherit_session != 0) {
    for (const auto& session : sessions_)
      if (session->number == request.inherit_session && session->secret == request.inherit_secret)
        parent = session.get();
    if (parent == nullptr) {
      link::refuse(guest.connection, "there is no such session to inherit from");
      return;
    }
    serve(*const_cast<Session*>(parent));  // what it said before
  }
  auto session = std::make_unique<Session>();
  auto made = make_link(request.purpose, *session);
  if (!made || getrandom(&session->secret, sizeof session->secret, 0) != sizeof session->secret) {
    link::refuse(guest.connection, made ? "no random numbers" : made.error().message());
    return;
  }
  if (++next_session_ == 0) ++next_session_;
  session->number = next_session_;
  ucred who{};
  socklen_t size = sizeof who;
  if (getsockopt(guest.connection.get(), SOL_SOCKET, SO_PEERCRED, &who, &size) == 0) {
    session->uid = who.uid;
    session->pid = static_cast<uint32_t>(who.pid);
  }
  link::Answer answer;
  answer.session = session->number;
  answer.secret = session->secret;
  session->messenger = std::make_unique<link::Messenger>(std::move(made->link), session->number, clock_);
  std::vector<int> fds;
  for (const Fd* fd : {&made->memfd, &made->bell})
    if (fd->get() >= 0) fds.push_back(fd->get());
  if (!link::send_answer(guest.connection, answer, fds)) return;
  epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, guest.connection.get(), nullptr);
  session->connection = std::move(guest.connection);
  epoll_event event{EPOLLIN, {}};
  event.data.ptr = static_cast<Source*>(session.get());
  epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, session->connection.get(), &event);
  event.data.ptr = static_cast<Source*>(&session->bell);
  epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, session->messenger->wait_fd(), &event);
  if (parent != nullptr) inherit(*session, *parent);
  sessions_.push_back(std::move(session));
}

// The child knows every socket by the parent's id. What the agent gave the parent and its program did not take stays
// the parent's.
void AgentImpl::inherit(Session& session, const Session& from) {
  for (const Session::Entry& entry : from.table) {
    if (entry.socket != nullptr && entry.socket->queued_for.session == nullptr)
      add_reference(session, entry.id, *entry.socket);
  }
}

// Takes what the session says; true: something. At most so much a turn that others have theirs.
bool AgentImpl::serve(Session& session) {
  constexpr uint32_t kMessagesATurn = 4096;
  uint32_t left = kMessagesATurn;
  link::Messenger& messenger = *session.messenger;
  const uint32_t taken = messenger.poll([&](const message::MessageHeader& header, base::Bytes body) {
    // Answers wait: the session has to take them before it asks more.
    if (left == 0 || messenger.backed_up()) return false;
    --left;
    return on_message(session, header, body);
  });
  flush_gathered();
  messenger.release();
  if (messenger.down() && !session.left) {
    if (link::has_left(session.connection))
      session.left = true;
    else if (session.violation == nullptr)
      violate(session, "it broke the rules of the link");
  }
  return taken != 0;
}

void AgentImpl::end_session(Session& session) {
  if (session.violation != nullptr) {
    ++cut_off_;
  } else {
    while (serve(session) && session.violation == nullptr) {
    }
  }
  epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, session.connection.get(), nullptr);
  epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, session.messenger->wait_fd(), nullptr);
  for (auto at = exported_.begin(); at != exported_.end();) {
    if (at->second.session != &session) {
      ++at;
      continue;
    }
    TcpSocket* socket = at->second.socket;
    at = exported_.erase(at);
    --socket->exports;
    if (socket->references.empty() && socket->exports == 0) begin_close(*socket, false);
  }
  for (const Session::Entry& entry : std::vector<Session::Entry>(session.table))
    if (entry.socket != nullptr) drop_reference(session, entry.id, *entry.socket, false);
  for (TcpSocket* socket : closing_)
    if (socket->closer.session == &session) socket->closer = {};
  session.connection = Fd();
  session.messenger.reset();  // its doorbell's end tells the host
  dead_sessions_.push_back(take_out(sessions_, session));
}

std::string AgentImpl::statistics() const {
  std::string sessions;
  for (const auto& session : sessions_) {
    const link::MessengerCounters& counters = session->messenger->counters();
    sessions += fmt::format(
        R"({}{{"pid": {}, "uid": {}, "sockets": {}, "accepted": {}, "connected": {}, "bytes_to_peers": {}, )"
        R"("bytes_to_host": {}, "frames_in": {}, "frames_out": {}, "messages_in": {}, "messages_out": {}, )"
        R"("doorbells": {}, "frames_resent": {}}})",
        sessions.empty() ? "" : ", ", session->pid, session->uid, session->sockets, session->accepted,
        session->connected, session->bytes_to_peers, session->bytes_to_host, counters.frames_received,
        counters.frames_sent, counters.messages_received, counters.messages_sent, counters.doorbells,
        counters.frames_resent);
  }
  return fmt::format(R"({{"sockets": {}, "closing": {}, "cut_off": {}, "sessions": [{}]}})", sockets_.size(),
                     closing_.size(), cut_off_, sessions);
}

base::Result<std::string> ask_statistics(const std::string& path) {
  link::Request request;
  request.purpose = link::Purpose::kStatistics;
  XNIC_ASSIGN(const link::Attachment attachment, link::attach(path, request));
  std::string text(1 << 18, '\0');
  const ssize_t got = recv(attachment.connection.get(), text.data(), text.size(), 0);
  if (got <= 0) return base::make_error(base::ErrorKind::kIo, path, "the agent sent no statistics");
  text.resize(static_cast<size_t>(got));
  return text;
}

}  // namespace xnic::transport::agent
