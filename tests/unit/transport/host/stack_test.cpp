// SPDX-License-Identifier: Apache-2.0
// The host library and the agent together, against sockets of the kernel.
#include "transport/host/offload.hpp"

#include <netinet/tcp.h>

namespace xnic::transport::testing {

using host::kNoSocket;

class StackTest : public Offload {};

TEST_F(StackTest, AServerEchoesToAClientOfTheKernel) {
  auto stack = attach();
  uint16_t port = 0;
  const SocketId server = listener(*stack, port);
  KernelSocket client = KernelSocket::connected(port);
  const SocketId connection = accept(*stack, server);
  ASSERT_EQ(::send(client.fd(), "ping", 4, 0), 4);
  EXPECT_EQ(read(*stack, connection, 4), "ping");
  EXPECT_EQ(send(*stack, connection, "pong!"), 5);
  EXPECT_EQ(client.read(5), "pong!");
  EXPECT_EQ(stack->close(connection), 0);
  EXPECT_EQ(client.read(1), "");
  EXPECT_EQ(stack->close(connection), -EBADF);
}

TEST_F(StackTest, AClientReachesAServerOfTheKernel) {
  auto stack = attach();
  uint16_t port = 0;
  KernelSocket server = KernelSocket::listener(port);
  const SocketId id = connect(*stack, port);
  EXPECT_EQ(error_of(*stack, id), 0);
  KernelSocket connection = server.accept();
  EXPECT_EQ(send(*stack, id, "hello"), 5);
  EXPECT_EQ(connection.read(5), "hello");
  sockaddr_in peer{};
  socklen_t size = sizeof peer;
  EXPECT_EQ(stack->getpeername(id, plain(peer), &size), 0);
  EXPECT_EQ(ntohs(peer.sin_port), port);
  const sockaddr_in again = loopback(port);
  EXPECT_EQ(stack->connect(id, plain(again), sizeof again), 0);  // tells once that it stands
  EXPECT_EQ(stack->connect(id, plain(again), sizeof again), -EISCONN);
}

TEST_F(StackTest, ARefusedConnectGivesItsErrorOnce) {
  auto stack = attach();
  uint16_t port = 0;
  {
    KernelSocket taken = KernelSocket::listener(port);
  }
  const auto id = static_cast<SocketId>(stack->socket(AF_INET, SOCK_STREAM, 0));
  const sockaddr_in address = loopback(port);
  EXPECT_EQ(stack->connect(id, plain(address), sizeof address), -EINPROGRESS);
  const int64_t events = stack->wait(id, POLLOUT, 5000);
  EXPECT_NE(events & POLLERR, 0);
  EXPECT_NE(events & POLLHUP, 0);
  EXPECT_EQ(error_of(*stack, id), ECONNREFUSED);
  EXPECT_EQ(error_of(*stack, id), 0);
  EXPECT_EQ(stack->connect(id, plain(address), sizeof address), -ECONNABORTED);
  EXPECT_EQ(stack->connect(id, plain(address), sizeof address), -EINPROGRESS);
}

TEST_F(StackTest, MegabytesGoBothWaysUnchanged) {
  auto stack = attach();
  uint16_t port = 0;
  const SocketId server = listener(*stack, port);
  KernelSocket client = KernelSocket::connected(port);
  const SocketId connection = accept(*stack, server);
  std::string text(8 << 20, '\0');
  for (size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>(i * 2654435761u >> 13);
  std::string back;
  std::thread peer([&] {  // reads all before it says anything: both windows fill
    const std::string got = client.read(text.size());
    for (size_t done = 0; done < got.size();) {
      const ssize_t sent = ::send(client.fd(), got.data() + done, got.size() - done, MSG_NOSIGNAL);
      if (sent <= 0) break;
      done += static_cast<size_t>(sent);
    }
  });
  send_all(*stack, connection, text);
  back = read(*stack, connection, text.size());
  peer.join();
  EXPECT_TRUE(back == text) << back.size() << " bytes came back";
}

TEST_F(StackTest, APeerThatDoesNotReadStopsTheSender) {
  auto stack = attach();
  uint16_t port = 0;
  const SocketId server = listener(*stack, port);
  KernelSocket client = KernelSocket::connected(port);
  const SocketId connection = accept(*stack, server);
  const std::string block(65536, 'x');
  size_t sent = 0;
  for (;;) {
    const ssize_t result = send(*stack, connection, block);
    if (result == -EAGAIN) {
      if (stack->wait(connection, POLLOUT, 200) == 0) break;
      continue;
    }
    ASSERT_GT(result, 0);
    sent += static_cast<size_t>(result);
    ASSERT_LT(sent, 256u << 20) << "nothing holds the sender back";
  }
  EXPECT_EQ(stack->ready(connection) & POLLOUT, 0);
  EXPECT_GT(stack->unsent_bytes(connection), 0);
  const std::string got = client.read(sent);
  EXPECT_EQ(got.size(), sent);
  EXPECT_NE(stack->wait(connection, POLLOUT, 5000) & POLLOUT, 0);
}

TEST_F(StackTest, AHostThatDoesNotReadClosesTheWindowToThePeer) {
  auto stack = attach();
  uint16_t port = 0;
  const SocketId server = listener(*stack, port);
  KernelSocket client = KernelSocket::connected(port);
  const SocketId connection = accept(*stack, server);
  const std::string block(65536, 'y');
  size_t sent = 0;
  pollfd writable{client.fd(), POLLOUT, 0};
  while (::poll(&writable, 1, 200) > 0) {
    const ssize_t result = ::send(client.fd(), block.data(), block.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (result > 0) sent += static_cast<size_t>(result);
    ASSERT_LT(sent, 256u << 20) << "nothing holds the peer back";
  }
  stack->pump();
  EXPECT_LE(stack->readable_bytes(connection), options_.window_bytes);
  EXPECT_EQ(read(*stack, connection, sent).size(), sent);
}

TEST_F(StackTest, EachDirectionEndsByItself) {
  auto stack = attach();
  uint16_t port = 0;
  const SocketId server = listener(*stack, port);
  KernelSocket client = KernelSocket::connected(port);
  const SocketId connection = accept(*stack, server);
  ASSERT_EQ(::send(client.fd(), "last", 4, 0), 4);
  ASSERT_EQ(::shutdown(client.fd(), SHUT_WR), 0);
  EXPECT_NE(stack->wait(connection, POLLRDHUP, 5000) & POLLRDHUP, 0);
  EXPECT_EQ(read(*stack, connection, 10), "last");
  std::string text;
  EXPECT_EQ(recv_into(*stack, connection, text, 10), 0);
  EXPECT_EQ(send(*stack, connection, "still"), 5);
  EXPECT_EQ(client.read(5), "still");
  EXPECT_EQ(stack->shutdown(connection, SHUT_WR), 0);
  EXPECT_EQ(send(*stack, connection, "more"), -EPIPE);
  EXPECT_EQ(client.read(1), "");
  EXPECT_NE(stack->ready(connection) & POLLHUP, 0);
}

TEST_F(StackTest, APeersResetIsToldAfterItsData) {
  auto stack = attach();
  uint16_t port = 0;
  const SocketId server = listener(*stack, port);
  KernelSocket client = KernelSocket::connected(port);
  const SocketId connection = accept(*stack, server);
  ASSERT_EQ(::send(client.fd(), "bye", 3, 0), 3);
  EXPECT_NE(stack->wait(connection, POLLIN, 5000), 0);
  client.reset();
  EXPECT_NE(stack->wait(connection, POLLERR, 5000) & POLLERR, 0);
  std::string text;
  EXPECT_EQ(recv_into(*stack, connection, text, 10), 3);
  EXPECT_EQ(recv_into(*stack, connection, text, 10), -ECONNRESET);
  EXPECT_EQ(recv_into(*stack, connection, text, 10), 0);
  EXPECT_EQ(send(*stack, connection, "x"), -EPIPE);
  sockaddr_in peer{};
  socklen_t size = sizeof peer;
  EXPECT_EQ(stack->getpeername(connection, plain(peer), &size), -ENOTCONN);
}

TEST_F(StackTest, CloseWithUnreadDataResetsThePeer) {
  auto stack = attach();
  uint16_t port = 0;
  const SocketId server = listener(*stack, port);
  KernelSocket client = KernelSocket::connected(port);
  const SocketId connection = accept(*stack, server);
  ASSERT_EQ(::send(client.fd(), "unread", 6, 0), 6);
  EXPECT_NE(stack->wait(connection, POLLIN, 5000), 0);
  EXPECT_EQ(stack->close(connection), 0);
  char byte;
  EXPECT_EQ(::recv(client.fd(), &byte, 1, 0), -1);
  EXPECT_EQ(errno, ECONNRESET);
}

TEST_F(StackTest, ALingeringCloseWaitsUntilThePeerHasAll) {
  auto stack = attach();
  uint16_t port = 0;
  const SocketId server = listener(*stack, port);
  KernelSocket client = KernelSocket::connected(port);
  const SocketId connection = accept(*stack, server);
  const linger some{1, 5};
  EXPECT_EQ(stack->setsockopt(connection, SOL_SOCKET, SO_LINGER, &some, sizeof some), 0);
  const std::string block(100000, 'z');
  send_all(*stack, connection, block);
  std::string got;
  std::thread peer([&] { got = client.read(block.size()); });
  EXPECT_EQ(stack->close(connection), 0);
  peer.join();
  EXPECT_EQ(got.size(), block.size());
  EXPECT_EQ(client.read(1), "");
}

TEST_F(StackTest, PeekAndTruncLookAndDiscard) {
  auto stack = attach();
  uint16_t port = 0;
  const SocketId server = listener(*stack, port);
  KernelSocket client = KernelSocket::connected(port);
  const SocketId connection = accept(*stack, server);
  ASSERT_EQ(::send(client.fd(), "abcdef", 6, 0), 6);
  ASSERT_NE(stack->wait(connection, POLLIN, 5000), 0);
  std::string text;
  EXPECT_EQ(recv_into(*stack, connection, text, 3, MSG_PEEK), 3);
  EXPECT_EQ(text, "abc");
  EXPECT_EQ(stack->readable_bytes(connection), 6);
  EXPECT_EQ(recv_into(*stack, connection, text, 2, MSG_TRUNC), 2);
  EXPECT_EQ(text, std::string(2, '\0'));
  EXPECT_EQ(recv_into(*stack, connection, text, 10), 4);
  EXPECT_EQ(text, "cdef");
  EXPECT_EQ(recv_into(*stack, connection, text, 10), -EAGAIN);
  EXPECT_EQ(recv_into(*stack, connection, text, 10, MSG_ERRQUEUE), -EAGAIN);
}

TEST_F(StackTest, TheUrgentByteComesOutOfLineAndLeavesItsMark) {
  auto stack = attach();
  uint16_t port = 0;
  const SocketId server = listener(*stack, port);
  KernelSocket client = KernelSocket::connected(port);
  const SocketId connection = accept(*stack, server);
  ASSERT_EQ(::send(client.fd(), "abc", 3, 0), 3);
  ASSERT_EQ(::send(client.fd(), "!", 1, MSG_OOB), 1);
  ASSERT_EQ(::send(client.fd(), "def", 3, 0), 3);
  ASSERT_NE(stack->wait(connection, POLLPRI, 5000) & POLLPRI, 0);
  std::string text;
  EXPECT_EQ(recv_into(*stack, connection, text, 1, MSG_OOB), 1);
  EXPECT_EQ(text, "!");
  EXPECT_EQ(recv_into(*stack, connection, text, 1, MSG_OOB), -EINVAL);
  ASSERT_NE(stack->wait(connection, POLLIN, 5000) & POLLIN, 0);
  EXPECT_EQ(read(*stack, connection, 3), "abc");
  for (int i = 0; i < 1000 && stack->at_mark(connection) == 0; ++i) usleep(1000);
  EXPECT_EQ(stack->at_mark(connection), 1);
  EXPECT_EQ(read(*stack, connection, 3), "def");
  EXPECT_EQ(stack->at_mark(connection), 0);
}

TEST_F(StackTest, OptionsAreTheAgentsSockets) {
  auto stack = attach();
  uint16_t port = 0;
  KernelSocket server = KernelSocket::listener(port);
  const SocketId id = connect(*stack, port);
  const int on = 1;
  EXPECT_EQ(stack->setsockopt(id, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on), 0);
  int value = 0;
  socklen_t size = sizeof value;
  EXPECT_EQ(stack->getsockopt(id, IPPROTO_TCP, TCP_NODELAY, &value, &size), 0);
  EXPECT_EQ(value, 1);
  const int bytes = 20000;
  EXPECT_EQ(stack->setsockopt(id, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes), 0);
  EXPECT_EQ(stack->getsockopt(id, SOL_SOCKET, SO_RCVBUF, &value, &size), 0);
  EXPECT_EQ(value, 40000);  // the kernel doubles it
  tcp_info info{};
  size = sizeof info;
  EXPECT_EQ(stack->getsockopt(id, IPPROTO_TCP, TCP_INFO, &info, &size), 0);
  EXPECT_EQ(info.tcpi_state, TCP_ESTABLISHED);
  EXPECT_EQ(stack->setsockopt(id, SOL_SOCKET, SO_ATTACH_FILTER, &value, sizeof value), -ENOPROTOOPT);
  EXPECT_EQ(stack->setsockopt(id, SOL_SOCKET, SO_MARK, &value, sizeof value), -EPERM);
}

TEST_F(StackTest, SocketsOfOtherKindsAreRefused) {
  auto stack = attach();
  EXPECT_EQ(stack->socket(AF_UNIX, SOCK_STREAM, 0), -EAFNOSUPPORT);
  EXPECT_EQ(stack->socket(AF_INET, SOCK_DGRAM, 0), -ESOCKTNOSUPPORT);
  EXPECT_EQ(stack->socket(AF_INET, SOCK_STREAM, IPPROTO_SCTP), -EPROTONOSUPPORT);
  std::string text;
  const auto fresh =
      static_cast<SocketId>(stack->socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP));
  EXPECT_EQ(stack->ready(fresh), static_cast<uint32_t>(POLLOUT | POLLWRNORM | POLLHUP));
  EXPECT_EQ(recv_into(*stack, fresh, text, 1), -ENOTCONN);
  EXPECT_EQ(send(*stack, fresh, "x"), -EPIPE);
  EXPECT_EQ(stack->accept(fresh, nullptr, nullptr), -EINVAL);
  EXPECT_EQ(stack->shutdown(fresh, SHUT_RD), -ENOTCONN);
  EXPECT_EQ(stack->ready(kNoSocket), static_cast<uint32_t>(POLLNVAL));
}

TEST_F(StackTest, ManyConnectionsShareFrames) {
  auto stack = attach(nullptr, true);
  uint16_t port = 0;
  const SocketId server = listener(*stack, port);
  std::vector<KernelSocket> clients;
  std::vector<SocketId> connections;
  for (int i = 0; i < 50; ++i) {
    clients.push_back(KernelSocket::connected(port));
    connections.push_back(accept(*stack, server));
  }
  const uint64_t frames_before = stack->counters().frames_sent;
  const std::string text(64, 'e');
  for (int round = 0; round < 20; ++round) {
    for (const KernelSocket& client : clients) ASSERT_EQ(::send(client.fd(), text.data(), text.size(), 0), 64);
    for (const SocketId id : connections) ASSERT_EQ(read(*stack, id, 64), text);
    for (const SocketId id : connections) ASSERT_EQ(send(*stack, id, text), 64);
    stack->flush();
    for (const KernelSocket& client : clients) ASSERT_EQ(client.read(64), text);
  }
  EXPECT_LT(stack->counters().frames_sent - frames_before, 20u * 10) << "one frame a message";
}

class Recorder : public host::Observer {
 public:
  void on_events(host::SocketId socket, void* cookie, uint32_t events) override {
    seen.push_back({socket, cookie, events});
  }
  struct Seen {
    host::SocketId socket;
    void* cookie;
    uint32_t events;
  };
  std::vector<Seen> seen;
};

TEST_F(StackTest, EventsNameTheSocketAndItsCookie) {
  Recorder recorder;
  auto stack = attach(&recorder);
  uint16_t port = 0;
  const SocketId server = listener(*stack, port);
  int mine = 0;
  KernelSocket client = KernelSocket::connected(port);
  const SocketId connection = accept(*stack, server);
  ASSERT_FALSE(recorder.seen.empty());
  EXPECT_EQ(recorder.seen[0].socket, server);
  EXPECT_NE(recorder.seen[0].events & POLLIN, 0u);
  stack->set_cookie(connection, &mine);
  recorder.seen.clear();
  ASSERT_EQ(::send(client.fd(), "1", 1, 0), 1);
  ASSERT_NE(stack->wait(connection, POLLIN, 5000), 0);
  ASSERT_FALSE(recorder.seen.empty());
  EXPECT_EQ(recorder.seen[0].socket, connection);
  EXPECT_EQ(recorder.seen[0].cookie, &mine);
}

TEST_F(StackTest, SleepEndsWithTheFirstByte) {
  auto stack = attach();
  uint16_t port = 0;
  const SocketId server = listener(*stack, port);
  KernelSocket client = KernelSocket::connected(port);
  const SocketId connection = accept(*stack, server);
  for (int round = 0; round < 200; ++round) {
    while (!stack->prepare_sleep()) stack->pump();
    std::thread peer([&] { ASSERT_EQ(::send(client.fd(), "x", 1, 0), 1); });
    pollfd bell{stack->wait_fd(), POLLIN, 0};
    const int rang = ::poll(&bell, 1, 5000);
    peer.join();
    ASSERT_EQ(rang, 1) << "round " << round;
    stack->woken();
    ASSERT_EQ(read(*stack, connection, 1), "x");
  }
}

}  // namespace xnic::transport::testing
