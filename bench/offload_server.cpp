// SPDX-License-Identifier: Apache-2.0
// An event loop as a program would write it: pump, serve what on_events() named, sleep when there is nothing.
#include "offload_server.hpp"

#include <fcntl.h>
#include <malloc.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <vector>

#include "base/clock.hpp"
#include "transport/host/stack.hpp"

namespace xnic::bench {

using transport::host::SocketId;
using transport::host::Stack;

namespace {

constexpr uint32_t kBlockBytes = 65536;

// Sockets that something has happened to since the last turn.
class Ready final : public transport::host::Observer {
 public:
  void on_events(SocketId socket, void*, uint32_t) override { sockets_.push_back(socket); }
  std::vector<SocketId>& take() {
    taken_.clear();
    taken_.swap(sockets_);
    return taken_;
  }
  bool empty() const { return sockets_.empty(); }

 private:
  std::vector<SocketId> sockets_, taken_;
};

struct Served {
  Ready ready;
  std::unique_ptr<Stack> stack;
  SocketId listener = 0;
};

bool begin(Served& served, const Way& way, uint16_t port) {
  auto stack =
      Stack::attach({.path = way.agent, .spin_us = 20, .interface = way.interface, .defer_sends = true}, &served.ready);
  if (!stack) {
    std::fprintf(stderr, "bench_offload: %s\n", stack.error().message().c_str());
    return false;
  }
  served.stack = std::move(*stack);
  served.listener = static_cast<SocketId>(served.stack->socket(AF_INET, SOCK_STREAM, 0));
  const int on = 1;
  served.stack->setsockopt(served.listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_port = htons(port);
  return served.stack->bind(served.listener, reinterpret_cast<const sockaddr*>(&at), sizeof at) == 0 &&
         served.stack->listen(served.listener, 1024) == 0 &&
         served.stack->accept(served.listener, nullptr, nullptr) == -EAGAIN;
}

void sleep_a_while(Stack& stack, int timeout_ms) {
  if (!stack.prepare_sleep()) return;
  pollfd bell{stack.wait_fd(), POLLIN, 0};
  const int limit_ms = stack.sleep_limit_ms();
  (void)::poll(&bell, 1, limit_ms < 0 ? timeout_ms : std::min(limit_ms, timeout_ms));
  stack.woken();
}

void echo(Stack& stack, SocketId id, ServerResult& result, bool counts) {
  char text[4096];
  iovec part{text, sizeof text};
  const ssize_t got = stack.recv(id, &part, 1, 0);
  if (got > 0) {
    part.iov_len = static_cast<size_t>(got);
    (void)stack.send(id, &part, 1, 0);
    if (counts) ++result.requests;
  } else if (got == 0 || got != -EAGAIN) {
    stack.close(id);
  }
}

}  // namespace

ServerResult offload_echo(const Way& way, uint16_t port, const std::atomic<bool>& measure,
                          const std::atomic<bool>& stop) {
  ServerResult result;
  Served served;
  if (!begin(served, way, port)) return result;
  Stack& stack = *served.stack;
  Work work;
  bool counts = false;
  while (!stop) {
    if (const bool now = measure.load(std::memory_order_relaxed); now != counts) {
      if (now) work.start();
      if (!now) work.stop();
      counts = now;
    }
    stack.pump();
    if (served.ready.empty()) {
      sleep_a_while(stack, 20);
      continue;
    }
    for (const SocketId id : served.ready.take()) {
      if (id != served.listener) {
        echo(stack, id, result, counts);
        continue;
      }
      for (int64_t made; (made = stack.accept(id, nullptr, nullptr)) >= 0;)
        echo(stack, static_cast<SocketId>(made), result, counts);  // what came before its accept() is no event
    }
  }
  if (counts) work.stop();
  result.instructions = work.instructions();
  result.cycles = work.cycles();
  result.cpu_ns = work.cpu_ns();
  return result;
}

ServerResult offload_send(const Way& way, uint16_t port, const std::atomic<bool>& measure,
                          const std::atomic<bool>& stop) {
  ServerResult result;
  Served served;
  if (!begin(served, way, port)) return result;
  Stack& stack = *served.stack;
  int64_t made = -EAGAIN;
  while (made < 0 && !stop) {
    if (stack.wait(served.listener, POLLIN, 20) != 0) made = stack.accept(served.listener, nullptr, nullptr);
  }
  const auto id = static_cast<SocketId>(made);
  std::vector<char> block(kBlockBytes, 'b');
  Work work;
  bool counts = false;
  while (!stop) {
    if (const bool now = measure.load(std::memory_order_relaxed); now != counts) {
      if (now) work.start();
      if (!now) work.stop();
      counts = now;
    }
    const iovec part{block.data(), block.size()};
    const ssize_t sent = stack.send(id, &part, 1, 0);
    if (sent > 0 && counts) result.bytes += static_cast<uint64_t>(sent);
    if (sent == -EAGAIN) {
      stack.pump();
      if ((stack.ready(id) & POLLOUT) == 0) sleep_a_while(stack, 20);
    } else if (sent < 0) {
      break;
    }
  }
  if (counts) work.stop();
  result.instructions = work.instructions();
  result.cycles = work.cycles();
  result.cpu_ns = work.cpu_ns();
  return result;
}

namespace {

IdleResult count_idle(const Way& way, uint16_t port, int wanted) {
  IdleResult result;
  Served served;
  if (!begin(served, way, port)) return result;
  const size_t before = mallinfo2().uordblks;
  const uint64_t until_ns = base::SystemClock().monotonic_ns() + 30'000'000'000;
  while (result.connections < wanted && base::SystemClock().monotonic_ns() < until_ns) {
    if (served.stack->wait(served.listener, POLLIN, 100) == 0) continue;
    while (served.stack->accept(served.listener, nullptr, nullptr) >= 0) ++result.connections;
  }
  result.bytes_each = static_cast<double>(mallinfo2().uordblks - before) / std::max(result.connections, 1);
  return result;
}

}  // namespace

// In a process of its own, since the agent's memory is in this one.
IdleResult offload_idle(const Way& way, uint16_t port, int wanted) {
  IdleResult result;
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return result;
  const pid_t child = fork();
  if (child == 0) {
    result = count_idle(way, port, wanted);
    _exit(write(ends[1], &result, sizeof result) == sizeof result ? 0 : 1);
  }
  close(ends[1]);
  if (read(ends[0], &result, sizeof result) != sizeof result) result = {};
  close(ends[0]);
  waitpid(child, nullptr, 0);
  return result;
}

}  // namespace xnic::bench
