// SPDX-License-Identifier: Apache-2.0
// What the tests of the offload have in common: an agent in a thread of the test, and stacks attached to it. TCP runs
// over the loopback of the test's own network namespace; peers are plain sockets of the kernel.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>

#include "transport/agent/agent.hpp"
#include "transport/host/stack.hpp"

namespace xnic::transport::testing {

inline sockaddr_in loopback(uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}
inline const sockaddr* plain(const sockaddr_in& address) { return reinterpret_cast<const sockaddr*>(&address); }
inline sockaddr* plain(sockaddr_in& address) { return reinterpret_cast<sockaddr*>(&address); }

// A socket of the kernel. Closes.
class KernelSocket {
 public:
  explicit KernelSocket(int fd = -1) : fd_(fd) {}
  KernelSocket(KernelSocket&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  KernelSocket& operator=(KernelSocket&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~KernelSocket() {
    if (fd_ >= 0) ::close(fd_);
  }
  int fd() const { return fd_; }
  // Ends it now, by a reset.
  void reset() {
    const linger at_once{1, 0};
    setsockopt(fd_, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    ::close(std::exchange(fd_, -1));
  }
  std::string read(size_t bytes) const {
    std::string text(bytes, '\0');
    size_t done = 0;
    while (done < bytes) {
      const ssize_t got = ::recv(fd_, text.data() + done, bytes - done, 0);
      if (got <= 0) break;
      done += static_cast<size_t>(got);
    }
    text.resize(done);
    return text;
  }
  static KernelSocket listener(uint16_t& port) {
    KernelSocket made(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address = loopback(0);
    socklen_t size = sizeof address;
    EXPECT_EQ(::bind(made.fd(), plain(address), sizeof address), 0);
    EXPECT_EQ(::listen(made.fd(), 128), 0);
    EXPECT_EQ(::getsockname(made.fd(), plain(address), &size), 0);
    port = ntohs(address.sin_port);
    return made;
  }
  static KernelSocket connected(uint16_t port) {
    KernelSocket made(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const sockaddr_in address = loopback(port);
    EXPECT_EQ(::connect(made.fd(), plain(address), sizeof address), 0) << std::strerror(errno);
    return made;
  }
  KernelSocket accept() const { return KernelSocket(::accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC)); }

 private:
  int fd_;
};

class Offload : public ::testing::Test {
 protected:
  using Stack = host::Stack;
  using SocketId = host::SocketId;

  void SetUp() override {
    folder_ = std::filesystem::temp_directory_path() / ("xnic-offload-" + std::to_string(getpid()));
    std::filesystem::create_directories(folder_);
    options_.path = folder_ / "agent";
    start_agent();
  }
  void TearDown() override {
    stop_agent();
    std::filesystem::remove_all(folder_);
  }
  void start_agent() {
    auto made = agent::Agent::make(options_);
    ASSERT_TRUE(made.has_value()) << made.error().message();
    agent_ = std::move(*made);
    thread_ = std::thread([this] { agent_->run(); });
  }
  void stop_agent() {
    if (!agent_) return;
    agent_->stop();
    thread_.join();
    agent_.reset();
  }
  std::unique_ptr<Stack> attach(host::Observer* observer = nullptr, bool defer = false) {
    auto made = Stack::attach({.path = options_.path, .spin_us = 20, .defer_sends = defer}, observer);
    EXPECT_TRUE(made.has_value()) << made.error().message();
    return made ? std::move(*made) : nullptr;
  }

  // A listener of `stack` at a port of the kernel's choice.
  static SocketId listener(Stack& stack, uint16_t& port, int backlog = 64) {
    const int64_t made = stack.socket(AF_INET, SOCK_STREAM, 0);
    EXPECT_GE(made, 0);
    const auto id = static_cast<SocketId>(made);
    sockaddr_in address = loopback(0);
    socklen_t size = sizeof address;
    EXPECT_EQ(stack.bind(id, plain(address), sizeof address), 0);
    EXPECT_EQ(stack.listen(id, backlog), 0);
    EXPECT_EQ(stack.getsockname(id, plain(address), &size), 0);
    port = ntohs(address.sin_port);
    return id;
  }
  static SocketId accept(Stack& stack, SocketId listener) {
    EXPECT_NE(stack.wait(listener, POLLIN, 5000), 0);
    const int64_t made = stack.accept(listener, nullptr, nullptr);
    EXPECT_GE(made, 0) << std::strerror(static_cast<int>(-made));
    return static_cast<SocketId>(made);
  }
  // A connection to a listener of the kernel.
  static SocketId connect(Stack& stack, uint16_t port) {
    const auto id = static_cast<SocketId>(stack.socket(AF_INET, SOCK_STREAM, 0));
    const sockaddr_in address = loopback(port);
    EXPECT_EQ(stack.connect(id, plain(address), sizeof address), -EINPROGRESS);
    EXPECT_NE(stack.wait(id, POLLOUT, 5000) & POLLOUT, 0);
    return id;
  }
  static ssize_t send(Stack& stack, SocketId id, std::string_view text, int flags = 0) {
    const iovec part{const_cast<char*>(text.data()), text.size()};
    return stack.send(id, &part, 1, flags);
  }
  // All of it, waiting for room.
  static void send_all(Stack& stack, SocketId id, std::string_view text) {
    while (!text.empty()) {
      const ssize_t sent = send(stack, id, text);
      if (sent == -EAGAIN) {
        ASSERT_NE(stack.wait(id, POLLOUT, 5000), 0);
        continue;
      }
      ASSERT_GT(sent, 0) << std::strerror(static_cast<int>(-sent));
      text.remove_prefix(static_cast<size_t>(sent));
    }
  }
  static ssize_t recv_into(Stack& stack, SocketId id, std::string& text, size_t bytes, int flags = 0) {
    text.assign(bytes, '\0');
    const iovec part{text.data(), bytes};
    const ssize_t got = stack.recv(id, &part, 1, flags);
    text.resize(got > 0 ? static_cast<size_t>(got) : 0);
    return got;
  }
  // Until so many bytes, the end, or five seconds without any.
  static std::string read(Stack& stack, SocketId id, size_t bytes) {
    std::string all, part;
    while (all.size() < bytes) {
      if (stack.wait(id, POLLIN, 5000) == 0) break;
      const ssize_t got = recv_into(stack, id, part, bytes - all.size());
      if (got == -EAGAIN) continue;
      if (got <= 0) break;
      all += part;
    }
    return all;
  }
  static int error_of(Stack& stack, SocketId id) {
    int error = -1;
    socklen_t size = sizeof error;
    EXPECT_EQ(stack.getsockopt(id, SOL_SOCKET, SO_ERROR, &error, &size), 0);
    return error;
  }

  agent::Options options_;
  std::filesystem::path folder_;
  std::unique_ptr<agent::Agent> agent_;
  std::thread thread_;
};

}  // namespace xnic::transport::testing
