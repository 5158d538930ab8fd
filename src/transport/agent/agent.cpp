// SPDX-License-Identifier: Apache-2.0
// One turn: take what every session says, look at the kernel's events, move data from readable connections, hand the
// frames over. A turn without work is followed by another until spin_us have passed, then by sleep. What an event of
// this turn may still name is freed at its end.
#include "transport/agent/agent.hpp"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "transport/agent/agent_impl.hpp"

namespace xnic::transport::agent {

using base::ErrorKind;
using base::make_error;

namespace {

constexpr uint64_t kSweepNs = 100'000'000;
constexpr uint64_t kLingerLookNs = 1'000'000;

}  // namespace

base::Result<std::unique_ptr<Agent>> Agent::make(const Options& options) {
  if (options.window_bytes < 4096 || options.window_bytes > 64u << 20)
    return make_error(ErrorKind::kBadInput, options.path, "a window of {} bytes: it may be 4096 to 67108864",
                      options.window_bytes);
  if (options.max_sockets < 1 || options.max_sockets > 1u << 20)
    return make_error(ErrorKind::kBadInput, options.path, "{} sockets a session: it may be 1 to 1048576",
                      options.max_sockets);
  XNIC_ASSIGN(auto listener, nic::port::memory::Listener::listen(options.path, options.socket_mode));
  auto agent = std::make_unique<AgentImpl>(options, std::move(listener));
  XNIC_TRY(agent->start());
  return agent;
}

base::Result<void> AgentImpl::start() {
  epoll_ = Fd(epoll_create1(EPOLL_CLOEXEC));
  stop_ = Fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (epoll_.get() < 0 || stop_.get() < 0)
    return make_error(ErrorKind::kIo, options_.path, "cannot make event descriptors: {}", std::strerror(errno));
  epoll_event event{EPOLLIN, {}};
  event.data.ptr = &stop_source_;
  epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, stop_.get(), &event);
  event.data.ptr = &listener_source_;
  epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, listener_.fd(), &event);
  // Another agent's sessions have other numbers: what is left of them is known by that.
  if (getrandom(&next_session_, sizeof next_session_, 0) != sizeof next_session_)
    return make_error(ErrorKind::kIo, options_.path, "no random numbers: {}", std::strerror(errno));
  return {};
}

AgentImpl::~AgentImpl() {
  for (auto& [at, socket] : sockets_) {
    // close(2) would wait for a lingering connection.
    const linger off{0, 0};
    if (socket->linger_s > 0) setsockopt(socket->fd.get(), SOL_SOCKET, SO_LINGER, &off, sizeof off);
  }
}

void AgentImpl::stop() { eventfd_write(stop_.get(), 1); }

void AgentImpl::run() {
  uint64_t idle_since_ns = 0;
  while (!stopping_) {
    if (turn()) {
      idle_since_ns = 0;
      continue;
    }
    const uint64_t now_ns = clock_.monotonic_ns();
    if (idle_since_ns == 0) idle_since_ns = now_ns;
    if (now_ns - idle_since_ns < uint64_t{options_.spin_us} * 1000) continue;
    if (prepare_sleep()) wait(sleep_limit_ms());
    idle_since_ns = 0;
  }
}

// True: there was work.
bool AgentImpl::turn() {
  bool worked = false;
  for (size_t i = 0; i < sessions_.size();) {
    Session& session = *sessions_[i];
    worked |= serve(session);
    if (session.violation != nullptr || session.left)
      end_session(session);  // removes it from sessions_
    else
      ++i;
  }
  wait(0);
  work_now_.swap(work_);
  for (TcpSocket* socket : work_now_) {
    if (socket == nullptr) continue;  // closed meanwhile
    socket->listed = false;
    worked |= read_from_peer(*socket);
  }
  work_now_.clear();
  for (const auto& session : sessions_) session->messenger->flush();
  if (!closing_.empty() || clock_.monotonic_ns() >= next_sweep_ns_) sweep(clock_.monotonic_ns());
  bury();
  return worked || !work_.empty();
}

void AgentImpl::wait(int timeout_ms) {
  epoll_event events[128];
  const int count = epoll_wait(epoll_.get(), events, static_cast<int>(std::size(events)), timeout_ms);
  for (int i = 0; i < count; ++i) on_event(events[i]);
}

void AgentImpl::on_event(const epoll_event& event) {
  auto* source = static_cast<Source*>(event.data.ptr);
  switch (source->kind) {
    case Source::Kind::kStop:
      stopping_ = true;
      break;
    case Source::Kind::kListener:
      welcome_guest();
      break;
    case Source::Kind::kGuest:
      on_guest(*static_cast<Guest*>(source));
      break;
    case Source::Kind::kSession:
      static_cast<Session*>(source)->left = true;
      break;
    case Source::Kind::kBell: {
      Session& session = *static_cast<Session::Bell*>(source)->session;
      if (session.messenger) session.messenger->woken();
      break;
    }
    case Source::Kind::kSocket:
      on_socket_event(*static_cast<TcpSocket*>(source), event.events);
      break;
  }
}

bool AgentImpl::prepare_sleep() {
  bool quiet = true;
  // All of them: each session has to ring from now on.
  for (const auto& session : sessions_) quiet &= session->messenger->prepare_sleep() && !session->left;
  return quiet && work_.empty();
}

int AgentImpl::sleep_limit_ms() const {
  int limit = guests_.empty() ? -1 : 100;
  auto at_most = [&](int other) {
    if (other >= 0 && (limit < 0 || other < limit)) limit = other;
  };
  if (!closing_.empty()) at_most(1);
  if (!starved_.empty()) at_most(100);
  for (const auto& session : sessions_) at_most(session->messenger->sleep_limit_ms());
  return limit;
}

// What is done by the clock.
void AgentImpl::sweep(uint64_t now_ns) {
  static_assert(kLingerLookNs <= kSweepNs);
  if (now_ns < next_sweep_ns_) return;
  next_sweep_ns_ = now_ns + (closing_.empty() ? kSweepNs : kLingerLookNs);
  look_at_closing(now_ns);
  for (size_t i = 0; i < guests_.size();) {
    if (guests_[i]->until_ns < now_ns)
      forget_guest(*guests_[i]);
    else
      ++i;
  }
  std::vector<TcpSocket*> starved;
  starved.swap(starved_);
  for (TcpSocket* listener : starved) {
    if (listener->acceptor) accept_from(*listener);
  }
}

void AgentImpl::bury() {
  dead_sockets_.clear();
  dead_sessions_.clear();
  dead_guests_.clear();
}

}  // namespace xnic::transport::agent
