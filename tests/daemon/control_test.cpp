// SPDX-License-Identifier: Apache-2.0
// Requests that are wrong, by accident or on purpose: each is answered with an error, and the daemon goes on.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "base/rng.hpp"
#include "daemon/daemon.hpp"

namespace xnic::tests::daemon {
namespace {

using nlohmann::ordered_json;
using testing::HasSubstr;

ordered_json random_value(base::Rng& rng, int depth) {
  static const std::vector<std::string> kWords = {"a",
                                                  "b",
                                                  "packets_by_protocol",
                                                  "a/packets_by_protocol",
                                                  "",
                                                  "tx",
                                                  "native",
                                                  "hxdp",
                                                  "kernel",
                                                  "10.0.0.1",
                                                  "../x",
                                                  "\xe2\x82\xac",
                                                  "name = \"z\"\nkind = \"memory\"\npath = \"\"\n",
                                                  "0x00"};
  switch (rng.below(depth > 2 ? 5 : 7)) {
    case 0:
      return rng.next();
    case 1:
      return static_cast<int64_t>(rng.below(300)) - 10;
    case 2:
      return kWords[rng.below(kWords.size())];
    case 3:
      return rng.chance(1, 2);
    case 4:
      return nullptr;
    case 5: {
      ordered_json list = ordered_json::array();
      for (uint64_t i = rng.below(4); i > 0; --i) list.push_back(random_value(rng, depth + 1));
      return list;
    }
    default: {
      ordered_json object = ordered_json::object();
      for (const char* key : {"key", "value", "values", "cpu", "a"})
        if (rng.chance(1, 3)) object[key] = random_value(rng, depth + 1);
      return object;
    }
  }
}

TEST(Control, AnswersAnyRequestAndLivesOn) {
  Daemon daemon(memory_port("a", 2) + "program = \"" + program("xdp2") + "\"\n" + memory_port("b", 3),
                "engine = \"interp\"\n");
  ASSERT_EQ(daemon.up().exit_code, 0) << daemon.log();
  const pid_t pid = daemon.pid();
  const std::vector<std::string> requests = {
      "info", "ports",    "add_port", "remove_port", "attach",     "detach",    "stats", "trace",
      "maps", "map_dump", "map_get",  "map_set",     "map_delete", "map_watch", "map_",  "x"};
  const std::vector<uint8_t> elf = [] {
    const std::string bytes = cli::read_file(program("tx"));
    return std::vector<uint8_t>(bytes.begin(), bytes.end());
  }();
  base::Rng rng(7);
  auto client = daemon.client();
  for (int round = 0; round < 1500; ++round) {
    const std::string& name = requests[rng.below(requests.size())];
    ordered_json request = {{"request", name}};
    for (const char* key : {"port", "ports", "map", "key", "value", "elements", "toml", "folder", "file", "program",
                            "engine", "maps", "limit", "verdicts", "dport", "src", "interval_ms"})
      if (rng.chance(1, 2)) request[key] = random_value(rng, 0);
    // Ports and their program stay, so that later rounds find them.
    if ((name == "remove_port" || name == "detach") && request.contains("port")) request["port"] = "none";
    std::vector<uint8_t> blob;
    if (name == "attach") {
      blob = elf;
      for (uint64_t i = rng.below(4); i > 0; --i) blob[rng.below(blob.size())] = static_cast<uint8_t>(rng.next());
      blob.resize(rng.chance(1, 2) ? blob.size() : rng.below(blob.size()));
    }
    const auto reply = client.call(request, blob);
    if (!reply) {
      ASSERT_FALSE(reply.error().detail.empty()) << request.dump();
      ASSERT_THAT(reply.error().message(), testing::Not(HasSubstr("closed the connection"))) << request.dump();
    }
    const bool streams = name == "trace" || name == "map_dump" || name == "map_watch";
    if (streams && reply) client = daemon.client();  // leaves the stream
  }
  EXPECT_EQ(daemon.pid(), pid);
  auto peer = daemon.peer("a");
  daemon.must({"attach", "a", program("tx")});
  EXPECT_EQ(pass(peer, peer, 1, 2), (std::vector<uint32_t>{1, 2}));
}

TEST(Control, NeedsTheRightToTheSocket) {
  Daemon daemon("", "control_mode = 0o600\n");
  ASSERT_EQ(daemon.up().exit_code, 0);
  struct stat status{};
  ASSERT_EQ(stat(daemon.socket().c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
  if (geteuid() != 0) GTEST_SKIP() << "needs root to be somebody else";
  const cli::Finished refused = cli::run({.arguments = {"ports", "--socket", daemon.socket()}, .as_nobody = true});
  EXPECT_EQ(refused.exit_code, 4);
  EXPECT_THAT(refused.err, HasSubstr("you may not use this socket"));
}

TEST(Control, SaysWhatThereIsWhenANameIsWrong) {
  Daemon daemon(memory_port("lan", 2));
  ASSERT_EQ(daemon.up().exit_code, 0);
  EXPECT_THAT(daemon.xnic({"ports", "remove", "wan"}).err, HasSubstr("there are: lan"));
  EXPECT_THAT(daemon.xnic({"attach", "wan", program("tx")}).err, HasSubstr("there are: lan"));
  EXPECT_THAT(daemon.xnic({"attach", "lan", program("tx"), "--engine", "kernel"}).err, HasSubstr("no engine"));
  EXPECT_THAT(daemon.xnic({"attach", "lan", daemon.config()}).err, HasSubstr("ELF"));
  EXPECT_THAT(daemon.xnic({"map", "dump", "x"}).err, HasSubstr("there are: none"));
  const cli::Finished port = daemon.xnic({"ports", "add", daemon.config()});
  EXPECT_EQ(port.exit_code, 2);
  EXPECT_THAT(port.err, HasSubstr("card.toml:1"));
  auto reply = daemon.client().call({{"request", "fly"}});
  ASSERT_FALSE(reply);
  EXPECT_THAT(reply.error().message(), HasSubstr("there are: info, ports"));
}

}  // namespace
}  // namespace xnic::tests::daemon
