// SPDX-License-Identifier: Apache-2.0
// The host library and the agent over XDP sockets: two ends of a veth pair in a namespace of the test's own.
#include <sched.h>

#include <cstdlib>

#include "transport/host/offload.hpp"

namespace xnic::transport::testing {

TEST(XdpStackTest, AServerEchoesOverXdpSockets) {
  if (geteuid() != 0) GTEST_SKIP() << "XDP sockets need root";
  std::string problem;
  // Everything in a thread with a namespace of its own, which ends with its last socket.
  std::thread([&] {
    const char* const commands =
        "ip link set lo up && ip link add xs0 mtu 3000 type veth peer name xs1 mtu 3000 && ip link set xs0 up && "
        "ip link set xs1 up";
    if (unshare(CLONE_NEWNET) != 0 || std::system(commands) != 0) {
      problem = "no network namespace";
      return;
    }
    const std::filesystem::path folder =
        std::filesystem::temp_directory_path() / ("xnic-xdp-offload-" + std::to_string(getpid()));
    std::filesystem::create_directories(folder);
    agent::Options options;
    options.path = folder / "agent";
    options.interface = "xs1";
    auto made = agent::Agent::make(options);
    ASSERT_TRUE(made.has_value()) << made.error().message();
    std::thread agent([&] { (*made)->run(); });
    {
      auto attached = host::Stack::attach({.path = options.path, .interface = "xs0"});
      if (attached) {
        host::Stack& stack = **attached;
        auto second = host::Stack::attach({.path = options.path, .interface = "xs0"});
        EXPECT_FALSE(second.has_value()) << "two processes on one interface";
        EXPECT_FALSE(stack.before_fork().has_value());
        stack.after_fork_in_parent();

        const auto server = static_cast<host::SocketId>(stack.socket(AF_INET, SOCK_STREAM, 0));
        sockaddr_in address = loopback(0);
        socklen_t size = sizeof address;
        EXPECT_EQ(stack.bind(server, plain(address), sizeof address), 0);
        EXPECT_EQ(stack.listen(server, 8), 0);
        EXPECT_EQ(stack.getsockname(server, plain(address), &size), 0);
        KernelSocket client = KernelSocket::connected(ntohs(address.sin_port));
        EXPECT_NE(stack.wait(server, POLLIN, 5000), 0);
        const auto connection = static_cast<host::SocketId>(stack.accept(server, nullptr, nullptr));
        const std::string text(1 << 20, 'm');
        std::thread peer([&] {
          for (size_t sent = 0; sent < text.size();)
            sent += static_cast<size_t>(::send(client.fd(), text.data() + sent, text.size() - sent, 0));
        });
        std::string got(text.size(), '\0');
        size_t have = 0;
        while (have < got.size() && stack.wait(connection, POLLIN, 5000) != 0) {
          const iovec part{got.data() + have, got.size() - have};
          const ssize_t result = stack.recv(connection, &part, 1, 0);
          if (result > 0) have += static_cast<size_t>(result);
        }
        peer.join();
        EXPECT_TRUE(got == text) << have << " bytes";
        const iovec answer{const_cast<char*>("done"), 4};
        EXPECT_EQ(stack.send(connection, &answer, 1, 0), 4);
        EXPECT_EQ(client.read(4), "done");
      } else {
        problem = attached.error().message();
      }
    }
    (*made)->stop();
    agent.join();
    made->reset();
    std::filesystem::remove_all(folder);
  }).join();
  if (!problem.empty()) GTEST_SKIP() << problem;
}

}  // namespace xnic::transport::testing
