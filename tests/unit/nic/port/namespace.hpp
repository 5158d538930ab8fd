// SPDX-License-Identifier: Apache-2.0
// Network namespaces without names, which go with the test that made them, and raw sockets in them.
#pragma once

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>
#include <string>
#include <thread>
#include <vector>

#include "base/bytes.hpp"
#include "exec/kernel/bpf_call.hpp"

namespace xnic::nic::port {

// Root may still lack the right, as in a container.
inline bool may_make_namespaces() {
  bool may = false;
  std::thread([&] { may = unshare(CLONE_NEWNET) == 0; }).join();
  return may;
}
// Use at the start of tests that need one.
#define SKIP_WITHOUT_ROOT() \
  if (!may_make_namespaces()) GTEST_SKIP() << "needs root and the right to make network namespaces"

class Namespace {
 public:
  Namespace() {
    std::thread([this] {
      if (unshare(CLONE_NEWNET) == 0) fd_ = exec::kernel::Fd(open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
    }).join();
    EXPECT_GE(fd_.get(), 0) << "cannot make a network namespace";
    EXPECT_TRUE(ip("link set lo up"));
  }
  // Runs `work` in a thread inside the namespace. What it opens stays there.
  template <class Work>
  void run(Work work) const {
    std::thread([&] {
      ASSERT_EQ(setns(fd_.get(), CLONE_NEWNET), 0);
      work();
    }).join();
  }
  // `ip -batch`, one command a line.
  bool ip(const std::string& commands) const {
    bool good = false;
    run([&] {
      std::FILE* tool = popen("ip -batch -", "w");
      std::fputs((commands + "\n").c_str(), tool);
      good = pclose(tool) == 0;
    });
    return good;
  }
  // As iproute2 takes it.
  std::string path() const { return "/proc/" + std::to_string(getpid()) + "/fd/" + std::to_string(fd_.get()); }

 private:
  exec::kernel::Fd fd_;
};

// Sends and receives whole frames at an interface.
class RawSocket {
 public:
  RawSocket(const Namespace& where, const std::string& interface) {
    where.run([&] {
      fd_ = exec::kernel::Fd(socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, htons(0x88b5)));
      sockaddr_ll address{};
      address.sll_family = AF_PACKET;
      address.sll_protocol = htons(0x88b5);
      address.sll_ifindex = static_cast<int>(if_nametoindex(interface.c_str()));
      EXPECT_EQ(bind(fd_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
      const int bytes = 8 << 20;
      setsockopt(fd_.get(), SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes);
    });
  }
  bool send(base::Bytes frame) const {
    return ::send(fd_.get(), frame.data(), frame.size(), 0) == static_cast<ssize_t>(frame.size());
  }
  // The next frame that was not sent by this host itself, or nothing within `timeout_ms`.
  std::vector<uint8_t> receive(int timeout_ms = 2000) const {
    for (;;) {
      pollfd ready{fd_.get(), POLLIN, 0};
      if (poll(&ready, 1, timeout_ms) != 1) return {};
      std::vector<uint8_t> frame(70'000);
      sockaddr_ll from{};
      socklen_t size = sizeof from;
      const ssize_t got = recvfrom(fd_.get(), frame.data(), frame.size(), 0, reinterpret_cast<sockaddr*>(&from), &size);
      if (got < 0 || from.sll_pkttype == PACKET_OUTGOING) continue;
      frame.resize(static_cast<size_t>(got));
      return frame;
    }
  }

 private:
  exec::kernel::Fd fd_;
};

}  // namespace xnic::nic::port
