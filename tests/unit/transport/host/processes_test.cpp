// SPDX-License-Identifier: Apache-2.0
// Sockets that several processes know: by fork() and by tokens. Children say how it went by their exit code.
#include <sys/wait.h>

#include <atomic>

#include "transport/host/offload.hpp"

namespace xnic::transport::testing {

class ProcessesTest : public Offload {
 protected:
  // Forks as a program with the library would. `body` runs in the child; its result is the exit code.
  template <class Body>
  static pid_t fork_with(Stack& stack, Body&& body) {
    const bool prepared = stack.before_fork().has_value();
    EXPECT_TRUE(prepared);
    const pid_t child = fork();
    if (child == 0) {
      stack.after_fork_in_child();
      _exit(body());
    }
    stack.after_fork_in_parent();
    return child;
  }
  static int exit_code(pid_t child) {
    int status = 0;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
  }
};

TEST_F(ProcessesTest, AChildReadsOnWhereTheParentStopped) {
  auto stack = attach();
  uint16_t port = 0;
  const SocketId server = listener(*stack, port);
  KernelSocket client = KernelSocket::connected(port);
  const SocketId connection = accept(*stack, server);
  ASSERT_EQ(::send(client.fd(), "abcdef", 6, 0), 6);
  ASSERT_EQ(read(*stack, connection, 2), "ab");  // the rest has come to the parent, and is not read
  const pid_t child = fork_with(*stack, [&] {
    if (read(*stack, connection, 4) != "cdef") return 1;
    if (read(*stack, connection, 3) != "ghi") return 2;
    send_all(*stack, connection, "from the child");
    stack->close(connection);
    return 0;
  });
  ASSERT_EQ(::send(client.fd(), "ghi", 3, 0), 3);
  // A parent that only serves what comes gives the connection up when it is asked.
  std::string got;
  std::atomic<bool> done{false};
  std::thread peer([&] {
    got = client.read(14);
    done = true;
  });
  for (int i = 0; i < 5000 && !done; ++i) {
    stack->pump();
    usleep(1000);
  }
  if (!done) ::shutdown(client.fd(), SHUT_RD);
  peer.join();
  EXPECT_EQ(exit_code(child), 0);
  EXPECT_EQ(got, "from the child");
  // The parent's reference still holds the connection, and the parent can take it back.
  EXPECT_EQ(send(*stack, connection, ""), -EAGAIN);
  ASSERT_NE(stack->wait(connection, POLLOUT, 5000) & POLLOUT, 0);
  send_all(*stack, connection, "!");
  EXPECT_EQ(client.read(1), "!");
  stack->close(connection);
  EXPECT_EQ(client.read(1), "");
}

TEST_F(ProcessesTest, AConnectionLivesUntilTheLastProcessClosesIt) {
  auto stack = attach();
  uint16_t port = 0;
  const SocketId server = listener(*stack, port);
  KernelSocket client = KernelSocket::connected(port);
  const SocketId connection = accept(*stack, server);
  const pid_t child = fork_with(*stack, [&] { return read(*stack, connection, 4) == "late" ? 0 : 1; });
  stack->close(connection);
  usleep(50'000);
  ASSERT_EQ(::send(client.fd(), "late", 4, 0), 4);
  EXPECT_EQ(exit_code(child), 0);
  EXPECT_EQ(client.read(1), "");  // the child's end is the connection's
}

TEST_F(ProcessesTest, ChildrenAcceptFromTheParentsListener) {
  auto stack = attach();
  uint16_t port = 0;
  const SocketId server = listener(*stack, port);
  pid_t children[2];
  for (pid_t& child : children) {
    child = fork_with(*stack, [&] {
      for (bool last = false; !last;) {
        if (stack->wait(server, POLLIN, 10'000) == 0) return 1;
        const int64_t made = stack->accept(server, nullptr, nullptr);
        if (made == -EAGAIN) continue;
        const auto id = static_cast<SocketId>(made);
        last = read(*stack, id, 1) == "q";
        send_all(*stack, id, "y");
        stack->close(id);
      }
      return 0;
    });
  }
  stack->close(server);
  auto ask = [&](const char* what) {
    KernelSocket client = KernelSocket::connected(port);
    ASSERT_EQ(::send(client.fd(), what, 1, 0), 1);
    EXPECT_EQ(client.read(1), "y") << what;
  };
  for (int i = 0; i < 6; ++i) ask("x");
  // Whoever gets it ends; the next one is for the other.
  ask("q");
  int status = 0;
  const pid_t first = waitpid(-1, &status, 0);
  EXPECT_TRUE(first == children[0] || first == children[1]);
  EXPECT_EQ(status, 0);
  ask("q");
  EXPECT_EQ(exit_code(first == children[0] ? children[1] : children[0]), 0);
}

TEST_F(ProcessesTest, ATokenPassesASocketOnceAndWithItsData) {
  auto giver = attach();
  auto taker = attach();
  uint16_t port = 0;
  const SocketId server = listener(*giver, port);
  KernelSocket client = KernelSocket::connected(port);
  const SocketId connection = accept(*giver, server);
  ASSERT_EQ(::send(client.fd(), "data", 4, 0), 4);
  ASSERT_NE(giver->wait(connection, POLLIN, 5000), 0);
  host::Token token{};
  ASSERT_EQ(giver->export_socket(connection, token), 0);
  EXPECT_EQ(giver->close(connection), 0);  // the token holds it
  const int64_t made = taker->import_socket(token);
  ASSERT_GE(made, 0);
  const auto taken = static_cast<SocketId>(made);
  EXPECT_EQ(read(*taker, taken, 4), "data");
  sockaddr_in peer{};
  socklen_t size = sizeof peer;
  EXPECT_EQ(taker->getpeername(taken, plain(peer), &size), 0);
  send_all(*taker, taken, "back");
  EXPECT_EQ(client.read(4), "back");
  EXPECT_EQ(taker->import_socket(token), -ENOENT);
}

TEST_F(ProcessesTest, ATokenOfAProcessThatIsGoneStandsForNothing) {
  auto taker = attach();
  host::Token token{};
  uint16_t port = 0;
  KernelSocket client;
  {
    auto giver = attach();
    const SocketId server = listener(*giver, port);
    client = KernelSocket::connected(port);
    const SocketId connection = accept(*giver, server);
    ASSERT_EQ(giver->export_socket(connection, token), 0);
  }
  EXPECT_EQ(client.read(1), "");
  EXPECT_EQ(taker->import_socket(token), -ENOENT);
}

}  // namespace xnic::transport::testing
