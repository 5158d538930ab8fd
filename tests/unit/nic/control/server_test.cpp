// SPDX-License-Identifier: Apache-2.0
// Both ends of the control socket: framing, replies, streams, and peers that mean no good.
#include "nic/control/server.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/rng.hpp"
#include "nic/control/client.hpp"

namespace xnic::nic::control {
namespace {

using nlohmann::ordered_json;
using testing::HasSubstr;

std::string folder() {
  static const std::string path = [] {
    std::string pattern = (std::filesystem::temp_directory_path() / "xnic-control-XXXXXX").string();
    return std::string(mkdtemp(pattern.data()));
  }();
  return path;
}
struct RemoveFolder : testing::Environment {
  void TearDown() override { std::filesystem::remove_all(folder()); }
};
[[maybe_unused]] const auto* const kRemove = testing::AddGlobalTestEnvironment(new RemoveFolder);

// Counts to `last` and ends.
class Count final : public Stream {
 public:
  explicit Count(int last) : last_(last) {}
  std::optional<Message> next() override {
    if (ended()) return std::nullopt;
    return Message{to_text({{"n", ++now_}}), std::vector<uint8_t>(1000)};
  }
  bool ended() const override { return now_ == last_; }

 private:
  int now_ = 0, last_;
};

Reply echo(const Message& message, const Peer& peer) {
  const auto json = parse_object(message.json);
  if (!json) return {error_message(json.error())};
  if (json->contains("count")) return {{R"({"ok":true})"}, std::make_unique<Count>(json->at("count").get<int>())};
  if (json->contains("fail")) return {error_message({base::ErrorKind::kLimit, "here", "too much"})};
  return {{to_text({{"ok", true}, {"pid", peer.pid}, {"blob", message.blob.size()}}), message.blob}};
}

class ServerTest : public testing::Test {
 protected:
  ServerTest() : endpoint_(*Endpoint::open(path_, 0600, "")), stop_(eventfd(0, EFD_CLOEXEC)) {
    thread_ = std::thread([this] { Server(endpoint_, echo).serve(stop_.get(), [this] { ++ticks_; }); });
  }
  ~ServerTest() override {
    eventfd_write(stop_.get(), 1);
    thread_.join();
  }
  exec::kernel::Fd raw() {
    sockaddr_un address{AF_UNIX, {}};
    std::ranges::copy(path_, address.sun_path);
    exec::kernel::Fd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    EXPECT_EQ(connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    return fd;
  }
  void expect_alive() {
    auto client = Client::connect(path_);
    ASSERT_TRUE(client) << client.error().message();
    const auto reply = client->call({{"request", "x"}});
    ASSERT_TRUE(reply) << reply.error().message();
    EXPECT_EQ(reply->at("pid"), getpid());
  }

  const std::string path_ = folder() + "/s";
  Endpoint endpoint_;
  exec::kernel::Fd stop_;
  std::atomic<int> ticks_{0};
  std::thread thread_;
};

TEST_F(ServerTest, AnswersEachRequestWithItsBlob) {
  auto client = Client::connect(path_);
  ASSERT_TRUE(client);
  for (const size_t bytes : {size_t{0}, size_t{1}, size_t{3} << 20}) {
    const std::vector<uint8_t> blob(bytes, 7);
    const auto reply = client->call({{"request", "x"}}, blob);
    ASSERT_TRUE(reply) << reply.error().message();
    EXPECT_EQ(reply->at("blob"), bytes);
  }
  const auto refused = client->call({{"fail", 1}});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, base::ErrorKind::kLimit);
  EXPECT_EQ(refused.error().message(), "here: too much");
  EXPECT_FALSE(client->call({{"x", 1}}, std::vector<uint8_t>(kMaxBlobBytes + 1)));
}

TEST_F(ServerTest, StreamsInOrderToTheEnd) {
  auto client = Client::connect(path_);
  ASSERT_TRUE(client);
  ASSERT_TRUE(client->call({{"count", 3000}}));  // more than the socket holds
  for (int i = 1; i <= 3000; ++i) {
    const auto message = client->next();
    ASSERT_TRUE(message && *message);
    EXPECT_EQ((*message)->json, fmt::format("{{\"n\":{}}}", i));
  }
  const auto end = client->next();
  ASSERT_TRUE(end);
  EXPECT_FALSE(*end);
  ASSERT_TRUE(client->call({{"request", "x"}}));
}

TEST_F(ServerTest, AClientThatTakesNothingHoldsNobodyUp) {
  auto lazy = Client::connect(path_);
  ASSERT_TRUE(lazy->call({{"count", 1'000'000'000}}));
  expect_alive();
  expect_alive();
}

TEST_F(ServerTest, SurvivesHostilePeers) {
  base::Rng rng(1);
  for (int round = 0; round < 300; ++round) {
    const exec::kernel::Fd fd = raw();
    std::vector<uint8_t> bytes(rng.below(200));
    for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(rng.next());
    if (round % 3 == 0 && bytes.size() >= 8) {  // a header that fits what follows
      base::store_le(bytes.data(), static_cast<uint32_t>(bytes.size() - 8));
      base::store_le(bytes.data() + 4, uint32_t{0});
    }
    send(fd.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
  }
  expect_alive();
  // Half a message, for as long as the test runs, from as many as the server takes but one.
  std::vector<exec::kernel::Fd> halves;
  for (size_t i = 0; i + 1 < kMaxConnections; ++i) {
    halves.push_back(raw());
    send(halves.back().get(), "\x10\0\0\0\0\0\0\0{", 9, MSG_NOSIGNAL);
  }
  expect_alive();
}

TEST_F(ServerTest, RefusesLengthsAboveTheLimitAtOnce) {
  const exec::kernel::Fd fd = raw();
  send(fd.get(), "\xff\xff\xff\xff\0\0\0\0", 8, MSG_NOSIGNAL);
  std::string reply(4096, 0);
  size_t got = 0;
  for (ssize_t more; (more = recv(fd.get(), reply.data() + got, reply.size() - got, 0)) > 0;)
    got += static_cast<size_t>(more);
  EXPECT_THAT(reply.substr(0, got), HasSubstr("at most"));  // and then the end of the connection
}

TEST_F(ServerTest, TicksWhileNobodySpeaks) {
  const int before = ticks_;
  for (int i = 0; i < 200 && ticks_ < before + 3; ++i) usleep(10'000);
  EXPECT_GE(ticks_, before + 3);
}

TEST(Endpoint, IsForOneProcessAndReplacesADeadOnes) {
  const std::string path = folder() + "/e";
  {
    const auto first = Endpoint::open(path, 0640, "");
    ASSERT_TRUE(first) << first.error().message();
    struct stat status{};
    ASSERT_EQ(stat(path.c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777, 0640u);
    const auto second = Endpoint::open(path, 0600, "");
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().kind, base::ErrorKind::kLimit);
    EXPECT_THAT(second.error().message(), HasSubstr(fmt::format("process {}", getpid())));
  }
  EXPECT_FALSE(std::filesystem::exists(path));
  EXPECT_FALSE(std::filesystem::exists(path + ".lock"));
  const pid_t child = fork();
  if (child == 0) {  // dies with the socket in place
    const auto kept = Endpoint::open(path, 0600, "");
    _exit(kept ? 0 : 1);
  }
  int status = 0;
  waitpid(child, &status, 0);
  ASSERT_EQ(status, 0);
  ASSERT_TRUE(std::filesystem::exists(path));
  EXPECT_TRUE(Endpoint::open(path, 0600, ""));
}

TEST(Endpoint, TakesNothingAwayThatIsNoSocket) {
  const std::string path = folder() + "/file";
  std::ofstream(path) << "mine";
  const auto endpoint = Endpoint::open(path, 0600, "");
  ASSERT_FALSE(endpoint);
  EXPECT_THAT(endpoint.error().message(), HasSubstr("is no socket"));
  EXPECT_TRUE(std::filesystem::exists(path));
  EXPECT_THAT(Endpoint::open(folder() + "/g", 0600, "no-such-group").error().message(), HasSubstr("groupadd"));
  EXPECT_FALSE(Endpoint::open(folder() + "/no/folder/s", 0600, ""));
}

TEST(Client, SaysWhatToDoWithoutADaemon) {
  const auto client = Client::connect(folder() + "/nobody");
  ASSERT_FALSE(client);
  EXPECT_THAT(client.error().message(), HasSubstr("xnic up"));
}

TEST(Protocol, RefusesDeepAndWrongJson) {
  EXPECT_TRUE(parse_object("{\"a\":[1]}"));
  EXPECT_FALSE(parse_object("[1]"));
  EXPECT_FALSE(parse_object("{"));
  EXPECT_FALSE(parse_object("{\"a\":\"\xff\"}"));
  const std::string deep = "{\"a\":" + std::string(100'000, '[') + std::string(100'000, ']') + "}";
  const auto refused = parse_object(deep);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message(), HasSubstr("64 levels"));
  EXPECT_EQ(to_text({{"a", "\xff"}}), "{\"a\":\"\xef\xbf\xbd\"}");
}

}  // namespace
}  // namespace xnic::nic::control
