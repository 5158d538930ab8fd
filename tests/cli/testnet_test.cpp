// SPDX-License-Identifier: Apache-2.0
// `xnic testnet`: what it makes is there, once; what it removes is what it made.
#include <gtest/gtest.h>
#include <sched.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <thread>

#include "process.hpp"

namespace xnic::tests::cli {
namespace {

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

class Testnet : public testing::Test {
 protected:
  std::string net_ = "t" + std::to_string(getpid());
  void SetUp() override {
    bool may = geteuid() == 0;
    std::thread([&] { may = may && unshare(CLONE_NEWNET) == 0; }).join();  // root in a container may not
    if (!may) GTEST_SKIP() << "needs root and the right to make network namespaces";
  }
  void TearDown() override {
    if (!IsSkipped()) (void)testnet("down", {});
  }
  Finished testnet(const std::string& action, std::vector<std::string> more) const {
    more.insert(more.begin(), {"testnet", action, "--net", net_});
    return run(more);
  }
  bool exists(const std::string& host) const { return std::filesystem::exists("/run/netns/" + net_ + "-" + host); }
};

TEST_F(Testnet, MakesHostsWithAddressesAndInterfacesOfTheCard) {
  const Finished up = testnet("up", {"--mtu", "9000", "--queues", "2"});
  ASSERT_EQ(up.exit_code, 0) << up.err;
  EXPECT_TRUE(has(up.out, "10.77.0.2/24 fd77::2/64")) << up.out;
  const std::string host = testnet("exec", {"h2", "ip", "-d", "addr", "show", "eth0"}).out;
  EXPECT_TRUE(has(host, "mtu 9000")) << host;
  EXPECT_TRUE(has(host, "10.77.0.2/24")) << host;
  EXPECT_TRUE(has(host, "fd77::2/64")) << host;
  EXPECT_TRUE(has(host, "02:77:00:00:00:02")) << host;
  EXPECT_TRUE(has(host, "numtxqueues 2 numrxqueues 2")) << host;
  EXPECT_TRUE(has(host, "LOWER_UP")) << host;
  const std::string card = testnet("exec", {"card", "ip", "-d", "addr"}).out;
  EXPECT_TRUE(has(card, " h1@")) << card;
  EXPECT_TRUE(has(card, "02:77:00:00:01:02")) << card;
  EXPECT_FALSE(has(card, "10.77.")) << card;
}

TEST_F(Testnet, UpAndDownCanBeRepeated) {
  ASSERT_EQ(testnet("up", {"--host", "a=192.168.5.1/24"}).exit_code, 0);
  EXPECT_EQ(testnet("up", {"--host", "a=192.168.5.1/24"}).exit_code, 0);
  const Finished other = testnet("up", {"--host", "b"});
  EXPECT_EQ(other.exit_code, 2);
  EXPECT_TRUE(has(other.err, "is up with other options")) << other.err;
  EXPECT_TRUE(exists("a"));
  EXPECT_EQ(testnet("down", {}).out, "removed\n");
  EXPECT_FALSE(exists("a") || exists("card"));
  const Finished again = testnet("down", {});
  EXPECT_EQ(again.exit_code, 0);
  EXPECT_EQ(again.out, "nothing to remove\n");
}

TEST_F(Testnet, LeavesNamespacesOfOthersAlone) {
  const std::string theirs = "netns add " + net_ + "-h2";
  ASSERT_EQ(std::system(("ip " + theirs).c_str()), 0);
  const Finished up = testnet("up", {});
  EXPECT_EQ(up.exit_code, 2);
  EXPECT_TRUE(has(up.err, "is not of `xnic testnet`")) << up.err;
  EXPECT_EQ(testnet("down", {}).exit_code, 0);
  EXPECT_TRUE(exists("h2"));
  EXPECT_FALSE(exists("h1") || exists("card"));
  // Nor one that took the place of a namespace that is its own.
  ASSERT_EQ(std::system(("ip netns del " + net_ + "-h2").c_str()), 0);
  ASSERT_EQ(testnet("up", {}).exit_code, 0);
  ASSERT_EQ(std::system(("ip netns del " + net_ + "-h2 && ip " + theirs).c_str()), 0);
  EXPECT_EQ(testnet("down", {}).exit_code, 0);
  EXPECT_TRUE(exists("h2"));
  EXPECT_FALSE(exists("h1") || exists("card"));
  EXPECT_EQ(std::system(("ip netns del " + net_ + "-h2").c_str()), 0);
}

TEST_F(Testnet, GivesTheCommandItsOptionsAndItsExitCode) {
  ASSERT_EQ(testnet("up", {}).exit_code, 0);
  const Finished ran = testnet("exec", {"h1", "sh", "-c", "echo $0; exit 7", "--net"});
  EXPECT_EQ(ran.exit_code, 7);
  EXPECT_EQ(ran.out, "--net\n");
  EXPECT_TRUE(has(testnet("exec", {"h7", "true"}).err, "is no host of the network"));
  EXPECT_TRUE(has(testnet("exec", {"h1", "no-such-command"}).err, "cannot run"));
  EXPECT_EQ(testnet("exec", {"h1"}).exit_code, 2);
}

TEST_F(Testnet, RefusesBadNamesAndAddresses) {
  for (const std::string host :
       {"card", "UPPER", "a-name-of-16-chars", "h;id", "h=10.0.0.1", "h=10.0.0.1/33", "h=x/8"}) {
    const Finished up = testnet("up", {"--host", host});
    EXPECT_EQ(up.exit_code, 2) << host << up.err;
  }
  EXPECT_EQ(run({"testnet", "down", "--net", "../x"}).exit_code, 2);
  EXPECT_EQ(testnet("up", {"--host", "a", "--host", "a"}).exit_code, 2);
}

TEST(TestnetWithoutRoot, SaysWhatItNeeds) {
  const Finished up = run(Command{.arguments = {"testnet", "up"}, .as_nobody = true});
  EXPECT_EQ(up.exit_code, 4);
  EXPECT_TRUE(has(up.err, "need root")) << up.err;
}

}  // namespace
}  // namespace xnic::tests::cli
