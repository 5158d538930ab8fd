// SPDX-License-Identifier: Apache-2.0
// One loop over poll(2). A connection reads, or writes, or streams: a request is taken only when the reply before it is
// out, so what is kept for a connection is bounded by one message each way.
#include "nic/control/server.hpp"

#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <chrono>

namespace xnic::nic::control {

using exec::kernel::Fd;
using SteadyClock = std::chrono::steady_clock;

namespace {
constexpr auto kPatience = std::chrono::seconds(60);
constexpr auto kFarewell = std::chrono::seconds(1);
constexpr size_t kReadBytes = 64 << 10;
constexpr size_t kStreamAhead = 256 << 10;  // a stream is asked for more while less than this waits to be sent

bool would_block() { return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR; }
}  // namespace

struct Server::Connection {
  Fd fd;
  Peer peer;
  Decoder decoder{};
  std::vector<uint8_t> output{};
  size_t sent = 0;
  std::unique_ptr<Stream> stream{};
  SteadyClock::time_point heard = SteadyClock::now();

  bool writing() const { return sent < output.size(); }
  void queue(const Message& message) {
    if (!writing() || sent >= kStreamAhead) {
      output.erase(output.begin(), output.begin() + static_cast<ptrdiff_t>(sent));
      sent = 0;
    }
    const std::vector<uint8_t> bytes = encode(message);
    output.insert(output.end(), bytes.begin(), bytes.end());
  }
};

Server::Server(Endpoint& endpoint, Handler handler) : endpoint_(endpoint), handler_(std::move(handler)) {}
Server::~Server() = default;

void Server::accept_one() {
  Fd fd(accept4(endpoint_.fd(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (fd.get() < 0) return;
  ucred credentials{};
  socklen_t size = sizeof credentials;
  if (getsockopt(fd.get(), SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0) return;
  connections_.push_back(std::make_unique<Connection>(
      Connection{.fd = std::move(fd), .peer = {credentials.pid, credentials.uid, credentials.gid}}));
}

// False, here and below: the connection is to be closed.
bool Server::read_from(Connection& connection) {
  uint8_t buffer[kReadBytes];
  const ssize_t got = recv(connection.fd.get(), buffer, sizeof buffer, 0);
  if (got < 0) return would_block();
  if (got == 0) return false;
  connection.heard = SteadyClock::now();
  connection.decoder.feed({buffer, static_cast<size_t>(got)});
  return true;
}

// Answers a request that is there whole.
bool Server::answer(Connection& connection) {
  auto request = connection.decoder.next();
  if (!request) {
    connection.queue(error_message(request.error()));
    write_to(connection);
    return false;
  }
  if (!*request) return true;
  Reply reply = handler_(**request, connection.peer);
  connection.queue(reply.message);
  connection.stream = std::move(reply.stream);
  return true;
}

bool Server::pump(Connection& connection) {
  while (connection.stream != nullptr && connection.output.size() - connection.sent < kStreamAhead) {
    if (const auto message = connection.stream->next()) {
      connection.queue(*message);
    } else if (connection.stream->ended()) {
      connection.queue({R"({"end":true})"});
      connection.stream.reset();
    } else {
      break;
    }
  }
  return !connection.writing() || write_to(connection);
}

bool Server::write_to(Connection& connection) {
  const ssize_t wrote = send(connection.fd.get(), connection.output.data() + connection.sent,
                             connection.output.size() - connection.sent, MSG_NOSIGNAL);
  if (wrote < 0) return would_block();
  connection.sent += static_cast<size_t>(wrote);
  connection.heard = SteadyClock::now();
  return true;
}

bool Server::attend(Connection& connection, short events) {
  if ((events & (POLLERR | POLLNVAL)) != 0) return false;
  if ((events & POLLOUT) != 0 && !write_to(connection)) return false;
  // A client that streams has nothing more to say; what it says ends its stream.
  if ((events & (POLLIN | POLLHUP)) != 0 && (connection.stream != nullptr || !read_from(connection))) return false;
  if (connection.stream == nullptr && !connection.writing() && !answer(connection)) return false;
  if (!pump(connection)) return false;
  // Streams may be silent for long; a client that takes none of what waits for it may not.
  const bool owes = connection.stream == nullptr || connection.writing();
  return !owes || SteadyClock::now() - connection.heard < kPatience;
}

void Server::serve(int stop_fd, const std::function<void()>& on_tick) {
  std::vector<pollfd> fds;
  auto next_tick = SteadyClock::now();
  for (;;) {
    fds.assign({{stop_fd, POLLIN, 0}, {endpoint_.fd(), POLLIN, 0}});
    if (connections_.size() >= kMaxConnections) fds[1].fd = -1;  // others wait in the queue of the socket
    for (const auto& connection : connections_)
      fds.push_back({connection->fd.get(), static_cast<short>(connection->writing() ? POLLOUT : POLLIN), 0});
    const int ready = poll(fds.data(), fds.size(), kTickMs);
    if (ready < 0 && errno != EINTR) break;
    if (ready > 0 && fds[0].revents != 0) break;
    std::vector<std::unique_ptr<Connection>> kept;
    for (size_t i = 0; i < connections_.size(); ++i)
      if (attend(*connections_[i], ready > 0 ? fds[i + 2].revents : short{0}))
        kept.push_back(std::move(connections_[i]));
    connections_ = std::move(kept);
    if (ready > 0 && (fds[1].revents & POLLIN) != 0) accept_one();
    if (SteadyClock::now() >= next_tick) {
      on_tick();
      next_tick = SteadyClock::now() + std::chrono::milliseconds(kTickMs);
    }
  }
  finish();
}

void Server::finish() {
  const auto end = SteadyClock::now() + kFarewell;
  for (auto& connection : connections_) {
    connection->stream.reset();
    while (connection->writing() && SteadyClock::now() < end) {
      pollfd out{connection->fd.get(), POLLOUT, 0};
      if (poll(&out, 1, kTickMs) < 0 || (out.revents & (POLLERR | POLLHUP)) != 0) break;
      if (out.revents != 0 && !write_to(*connection)) break;
    }
  }
  connections_.clear();
}

}  // namespace xnic::nic::control
