// SPDX-License-Identifier: Apache-2.0
// Processes that break the protocol, or their link, or die: the agent lets go of them and serves the others.
#include <signal.h>
#include <sys/wait.h>

#include "base/rng.hpp"
#include "transport/host/offload.hpp"
#include "transport/link/attach.hpp"
#include "transport/link/memory.hpp"
#include "transport/link/messenger.hpp"

namespace xnic::transport::testing {

using message::Type;

class HostileTest : public Offload {
 protected:
  struct Raw {
    link::Fd connection;
    std::unique_ptr<link::Messenger> messenger;
    bool cut_off() const { return link::has_left(connection); }
  };
  // A process that speaks the protocol by hand.
  Raw attach_raw() {
    auto attachment = link::attach(options_.path, {});
    EXPECT_TRUE(attachment.has_value()) << attachment.error().message();
    auto memory = link::MemoryLink::map(attachment->fds[0], std::move(attachment->fds[1]));
    EXPECT_TRUE(memory.has_value());
    return {std::move(attachment->connection),
            std::make_unique<link::Messenger>(std::move(*memory), attachment->answer.session, clock_)};
  }
  bool is_cut_off(Raw& raw) {
    for (int i = 0; i < 2000 && !raw.cut_off(); ++i) {
      raw.messenger->poll([](const message::MessageHeader&, base::Bytes) { return true; });
      raw.messenger->release();
      usleep(1000);
    }
    return raw.cut_off();
  }
  // Another process's echo still works.
  void expect_service() {
    auto stack = attach();
    ASSERT_NE(stack, nullptr);
    uint16_t port = 0;
    const SocketId server = listener(*stack, port);
    KernelSocket client = KernelSocket::connected(port);
    const SocketId connection = accept(*stack, server);
    ASSERT_EQ(::send(client.fd(), "ping", 4, 0), 4);
    EXPECT_EQ(read(*stack, connection, 4), "ping");
  }
  base::SystemClock clock_;
};

TEST_F(HostileTest, MessagesThatBreakARuleEndTheSession) {
  const message::SocketBody plain{AF_INET, 0};
  struct Case {
    const char* what;
    void (*say)(link::Messenger&);
  };
  const Case cases[] = {
      {"a message that agents send", [](auto& m) { m.send(Type::kAccepted, 1); }},
      {"a socket without a body", [](auto& m) { m.send(Type::kSocket, 1); }},
      {"an id twice", [](auto& m) { m.send_body(Type::kSocket, 1, message::SocketBody{AF_INET, 0}); }},
      {"a bind without a tag", [](auto& m) { m.send(Type::kBind, 1); }},
      {"an address that is too long",
       [](auto& m) { m.send(Type::kConnect, 1, std::vector<uint8_t>(sizeof(sockaddr_storage) + 5)); }},
      {"half an id", [](auto& m) { m.send(Type::kAcceptCredit, 1, std::vector<uint8_t>(6)); }},
      {"an import without a token", [](auto& m) { m.send(Type::kImport, 2, std::vector<uint8_t>(8)); }},
      {"a family that is none", [](auto& m) { m.send_body(Type::kSocket, 2, message::SocketBody{77, 0}); }},
  };
  for (const Case& each : cases) {
    Raw raw = attach_raw();
    if (std::string_view(each.what) != "a socket without a body") raw.messenger->send_body(Type::kSocket, 1, plain);
    each.say(*raw.messenger);
    raw.messenger->flush();
    EXPECT_TRUE(is_cut_off(raw)) << each.what;
  }
  expect_service();
}

TEST_F(HostileTest, MoreDataThanCreditEndsTheSession) {
  uint16_t port = 0;
  KernelSocket server = KernelSocket::listener(port);
  Raw raw = attach_raw();
  raw.messenger->send_body(Type::kSocket, 1, message::SocketBody{AF_INET, 0});
  const sockaddr_in address = loopback(port);
  std::vector<uint8_t> body(4 + sizeof address);
  std::memcpy(body.data() + 4, &address, sizeof address);
  raw.messenger->send(Type::kConnect, 1, body);
  raw.messenger->flush();
  KernelSocket connection = server.accept();
  bool connected = false;
  while (!connected && !raw.messenger->down()) {
    raw.messenger->poll([&](const message::MessageHeader& header, base::Bytes) {
      connected |= header.type == Type::kConnected;
      return true;
    });
    raw.messenger->release();
  }
  const std::vector<uint8_t> block(8000, 'x');
  for (uint32_t sent = 0; sent < 40u << 20 && !raw.cut_off(); sent += 8000) {
    raw.messenger->send(Type::kData, 1, block);  // nothing was given back: the peer does not read
    raw.messenger->flush();
    if (raw.messenger->backed_up()) usleep(1000);
  }
  EXPECT_TRUE(is_cut_off(raw));
  expect_service();
}

TEST_F(HostileTest, AQuestionAboutAnIdThatIsNotThereIsAnswered) {
  Raw raw = attach_raw();
  raw.messenger->send_body(Type::kListen, 12345, message::ListenBody{7, 1});
  raw.messenger->flush();
  int error = 0;
  for (int i = 0; i < 2000 && error == 0; ++i) {
    raw.messenger->poll([&](const message::MessageHeader&, base::Bytes body) {
      if (const auto reply = message::decode<message::ReplyBody>(body)) error = reply->error;
      return true;
    });
    raw.messenger->release();
    usleep(1000);
  }
  EXPECT_EQ(error, EBADF);
}

TEST_F(HostileTest, RandomMessagesHarmNobodyElse) {
  base::Rng rng(20261122);
  auto neighbour = attach();
  uint16_t port = 0;
  const SocketId server = listener(*neighbour, port);
  KernelSocket client = KernelSocket::connected(port);
  const SocketId connection = accept(*neighbour, server);
  for (int session = 0; session < 60; ++session) {
    Raw raw = attach_raw();
    for (uint32_t id = 1; id < 6; ++id)
      raw.messenger->send_body(Type::kSocket, id, message::SocketBody{rng.chance(1, 2) ? AF_INET : AF_INET6, 0});
    for (int i = 0; i < 200; ++i) {
      std::vector<uint8_t> body(rng.chance(1, 20) ? rng.below(5000) : rng.below(48));
      for (uint8_t& byte : body) byte = static_cast<uint8_t>(rng.chance(1, 2) ? rng.below(4) : rng.next());
      // Types of a host mostly, so that a session lives for some messages.
      const auto type = static_cast<Type>(rng.chance(1, 100) ? rng.below(256) : rng.range(1, 18));
      raw.messenger->send(type, static_cast<uint32_t>(rng.range(1, 8)), body);
    }
    raw.messenger->flush();
    if (rng.chance(1, 2)) is_cut_off(raw);
    ASSERT_EQ(::send(client.fd(), "still", 5, 0), 5);
    ASSERT_EQ(read(*neighbour, connection, 5), "still") << "after session " << session;
  }
  expect_service();
}

TEST_F(HostileTest, AKilledProcessEndsItsConnectionsAndNoOthers) {
  auto neighbour = attach();
  uint16_t port = 0;
  const SocketId server = listener(*neighbour, port);
  KernelSocket client = KernelSocket::connected(port);
  const SocketId connection = accept(*neighbour, server);
  uint16_t peers_port = 0;
  KernelSocket peer = KernelSocket::listener(peers_port);
  const pid_t child = fork();
  if (child == 0) {
    auto made = Stack::attach({.path = options_.path});
    if (!made) _exit(1);
    const auto id = static_cast<SocketId>((*made)->socket(AF_INET, SOCK_STREAM, 0));
    const sockaddr_in address = loopback(peers_port);
    (*made)->connect(id, plain(address), sizeof address);
    for (;;) (*made)->wait(id, POLLIN, 1000);
  }
  KernelSocket accepted = peer.accept();
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  EXPECT_EQ(accepted.read(1), "");  // its end, not silence
  ASSERT_EQ(::send(client.fd(), "other", 5, 0), 5);
  EXPECT_EQ(read(*neighbour, connection, 5), "other");
}

TEST_F(HostileTest, TheAgentsEndResetsConnectionsAndListenersComeBack) {
  auto stack = attach();
  uint16_t port = 0;
  const auto server = static_cast<SocketId>(stack->socket(AF_INET, SOCK_STREAM, 0));
  const int on = 1;
  ASSERT_EQ(stack->setsockopt(server, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on), 0);
  sockaddr_in address = loopback(0);
  socklen_t size = sizeof address;
  ASSERT_EQ(stack->bind(server, plain(address), sizeof address), 0);
  ASSERT_EQ(stack->listen(server, 16), 0);
  ASSERT_EQ(stack->getsockname(server, plain(address), &size), 0);
  port = ntohs(address.sin_port);
  KernelSocket client = KernelSocket::connected(port);
  const SocketId connection = accept(*stack, server);
  stop_agent();
  EXPECT_NE(stack->wait(connection, POLLIN, 1000) & POLLERR, 0);
  std::string text;
  EXPECT_EQ(recv_into(*stack, connection, text, 1), -ECONNRESET);
  EXPECT_EQ(stack->socket(AF_INET, SOCK_STREAM, 0), -ENETDOWN);
  EXPECT_FALSE(stack->attached());
  start_agent();
  for (int i = 0; i < 2000 && !stack->attached(); ++i) {
    stack->pump();
    usleep(1000);
  }
  ASSERT_TRUE(stack->attached());
  stack->ready(server);
  client = KernelSocket::connected(port);
  const SocketId again = accept(*stack, server);
  ASSERT_EQ(::send(client.fd(), "new", 3, 0), 3);
  EXPECT_EQ(read(*stack, again, 3), "new");
  EXPECT_EQ(stack->counters().reattached, 1u);
}

}  // namespace xnic::transport::testing
