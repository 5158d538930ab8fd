// SPDX-License-Identifier: Apache-2.0
// Several threads and one socket or one set.
#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <thread>
#include <vector>

#include "case.hpp"

namespace xnic::conformance {
namespace {

void reader_and_writer(Case& c) {
  const Connection made = c.active();
  constexpr size_t kCount = 300'000;
  c.peer.later(1).send_pattern(made.slot, kCount);
  std::atomic<size_t> good = 0;
  std::thread reader([&] {
    std::vector<char> bytes(7777);
    size_t done = 0;
    while (done < kCount) {
      const ssize_t n = ::recv(made.fd, bytes.data(), std::min(bytes.size(), kCount - done), 0);
      if (n <= 0) break;
      for (ssize_t i = 0; i < n; ++i) good += static_cast<uint8_t>(bytes[i]) == pattern(done + i);
      done += static_cast<size_t>(n);
    }
  });
  std::vector<char> out(100'000);
  for (size_t i = 0; i < out.size(); ++i) out[i] = static_cast<char>(pattern(i));
  c.ret("send", ::send(made.fd, out.data(), out.size(), 0));
  reader.join();
  c.note("good %zu", good.load());
  ::shutdown(made.fd, SHUT_WR);
  c.note("peer: %s", c.peer.drain(made.slot).c_str());
}

// Writers of one socket: each write arrives whole.
void writers(Case& c) {
  const Connection made = c.active();
  std::vector<std::thread> all;
  for (int t = 0; t < 4; ++t)
    all.emplace_back([fd = made.fd, t] {
      const std::string text(100, static_cast<char>('a' + t));
      for (int i = 0; i < 50; ++i)
        if (::send(fd, text.data(), text.size(), 0) != 100) return;
    });
  for (std::thread& one : all) one.join();
  ::shutdown(made.fd, SHUT_WR);
  const std::string got = c.peer.drain(made.slot);
  c.note("peer: %s", got.substr(0, got.find(',')).c_str());
}

void acceptors(Case& c) {
  uint16_t port = 0;
  const int listener = c.listener(Family::kV4, 16, port);
  std::atomic<int> served = 0;
  std::vector<std::thread> all;
  for (int t = 0; t < 3; ++t)
    all.emplace_back([&] {
      for (;;) {
        const int fd = ::accept(listener, nullptr, nullptr);
        char byte = 0;
        if (::recv(fd, &byte, 1, 0) != 1 || byte == 'q') {
          ::close(fd);
          return;
        }
        ::send(fd, &byte, 1, 0);
        ::close(fd);
        ++served;
      }
    });
  int good = 0;
  for (int i = 0; i < 12; ++i) {
    const int slot = c.peer.connect(AF_INET, port);
    c.peer.send(slot, "x");
    good += c.peer.drain(slot) == "\"x\" end";
  }
  for (int i = 0; i < 3; ++i) c.peer.send(c.peer.connect(AF_INET, port), "q");
  for (std::thread& one : all) one.join();
  c.note("good %d served %d", good, served.load());
}

// One thread accepts and hands descriptors to another, which waits in epoll.
void handed_over(Case& c) {
  const int set = ::epoll_create1(0);
  std::atomic<int> echoes = 0;
  std::thread worker([&] {
    while (echoes < 5) {
      epoll_event found[4];
      const int n = ::epoll_wait(set, found, 4, 2000);
      if (n <= 0) return;
      for (int i = 0; i < n; ++i) {
        char bytes[8];
        const ssize_t got = ::recv(found[i].data.fd, bytes, sizeof bytes, 0);
        if (got <= 0) continue;
        ::send(found[i].data.fd, bytes, static_cast<size_t>(got), 0);
        ++echoes;
      }
    }
  });
  uint16_t port = 0;
  const int listener = c.listener(Family::kV4, 8, port);
  for (int i = 0; i < 5; ++i) {
    const int slot = c.peer.connect(AF_INET, port);
    const int fd = ::accept(listener, nullptr, nullptr);
    epoll_event event{EPOLLIN, {}};
    event.data.fd = fd;
    ::epoll_ctl(set, EPOLL_CTL_ADD, fd, &event);
    c.peer.send(slot, "echo");
    c.note("peer: %s", c.peer.receive(slot, 4).c_str());
  }
  worker.join();
  c.note("echoes %d", echoes.load());
}

void shutdown_wakes(Case& c, bool in_epoll) {
  const Connection made = c.active();
  std::atomic<long> result = -9;
  std::thread waiter([&] {
    if (!in_epoll) {
      char byte;
      result = ::recv(made.fd, &byte, 1, 0);
      return;
    }
    const int set = ::epoll_create1(0);
    epoll_event event{EPOLLIN, {}};
    ::epoll_ctl(set, EPOLL_CTL_ADD, made.fd, &event);
    result = ::epoll_wait(set, &event, 1, 2000);
  });
  c.settle(30);
  c.ret("shutdown", ::shutdown(made.fd, SHUT_RDWR));
  waiter.join();
  c.note("the waiter got %ld", result.load());
}

void shutdown_wakes_accept(Case& c) {
  uint16_t port = 0;
  const int listener = c.listener(Family::kV4, 8, port);
  std::atomic<int> error = 0;
  std::thread waiter([&] {
    if (::accept(listener, nullptr, nullptr) < 0) error = errno;
  });
  c.settle(30);
  c.ret("shutdown", ::shutdown(listener, SHUT_RDWR));
  waiter.join();
  c.note("accept fails with %s", strerrorname_np(error.load()));
}

// One event, several threads in epoll_wait: with EPOLLET or EPOLLONESHOT only one is woken.
void one_is_woken(Case& c, uint32_t mode) {
  const Connection made = c.active();
  const int set = ::epoll_create1(0);
  epoll_event event{EPOLLIN | mode, {}};
  ::epoll_ctl(set, EPOLL_CTL_ADD, made.fd, &event);
  std::atomic<int> woken = 0;
  std::vector<std::thread> all;
  for (int t = 0; t < 3; ++t)
    all.emplace_back([&] {
      epoll_event found;
      woken += ::epoll_wait(set, &found, 1, 150);
    });
  c.settle(30);
  c.peer.send(made.slot, "x");
  for (std::thread& one : all) one.join();
  c.note("woken %d", woken.load());
}

void added_while_waiting(Case& c) {
  const Connection made = c.active();
  c.peer.send(made.slot, "x");
  c.await_bytes(made.fd, 1);
  const int set = ::epoll_create1(0);
  std::atomic<int> got = -1;
  std::thread waiter([&] {
    epoll_event found;
    got = ::epoll_wait(set, &found, 1, 2000);
  });
  c.settle(30);
  epoll_event event{EPOLLIN, {}};
  c.ret("ADD", ::epoll_ctl(set, EPOLL_CTL_ADD, made.fd, &event));
  waiter.join();
  c.note("the waiter got %d", got.load());
}

void two_pollers(Case& c) {
  const Connection made = c.active();
  std::atomic<int> woken = 0;
  std::vector<std::thread> all;
  for (int t = 0; t < 2; ++t)
    all.emplace_back([&] {
      pollfd one{made.fd, POLLIN, 0};
      woken += ::poll(&one, 1, 2000);
    });
  c.settle(30);
  c.peer.send(made.slot, "x");
  for (std::thread& one : all) one.join();
  c.note("woken %d", woken.load());
}

}  // namespace

void add_threads(Suite& suite) {
  suite.add("thread.reader_and_writer", reader_and_writer);
  suite.add("thread.writers", writers);
  suite.add("thread.acceptors", acceptors);
  suite.add("thread.handed_over", handed_over);
  suite.add("thread.shutdown_wakes_recv", [](Case& c) { shutdown_wakes(c, false); });
  suite.add("thread.shutdown_wakes_epoll", [](Case& c) { shutdown_wakes(c, true); });
  suite.add("thread.shutdown_wakes_accept", shutdown_wakes_accept);
  suite.add("thread.one_is_woken.edge", [](Case& c) { one_is_woken(c, EPOLLET); });
  suite.add("thread.one_is_woken.oneshot", [](Case& c) { one_is_woken(c, EPOLLONESHOT); });
  suite.add("thread.added_while_waiting", added_while_waiting);
  suite.add("thread.two_pollers", two_pollers);
}

}  // namespace xnic::conformance
