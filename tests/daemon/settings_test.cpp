// SPDX-License-Identifier: Apache-2.0
// Features, RSS, filters and bad links of a running card, from its configuration and changed while packets flow.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "daemon/daemon.hpp"

namespace xnic::tests::daemon {
namespace {

using nlohmann::ordered_json;
using testing::AllOf;
using testing::HasSubstr;

using Ids = std::vector<uint32_t>;

// Frames are UDP to port 9; the program sends them back.
std::string returning_port(const std::string& more) {
  return memory_port("a", 2) + "program = \"" + program("tx") + "\"\n" + more;
}

TEST(Settings, FiltersComeFromTheFileAndChangeWhilePacketsFlow) {
  Daemon daemon(returning_port("[[port.filter]]\nprotocol = \"udp\"\ndport = 9\nto_port = \"b\"\n") +
                memory_port("b", 3));
  ASSERT_EQ(daemon.up().exit_code, 0) << daemon.log();
  auto a = daemon.peer("a");
  auto b = daemon.peer("b");
  EXPECT_EQ(pass(a, b, 1, 3), (Ids{1, 2, 3}));
  EXPECT_THAT(daemon.must({"filter", "list", "a"}), "   0  protocol=udp dport=9 to_port=b\n");
  daemon.must({"filter", "add", "a", "protocol=udp", "dport=10", "drop=true"});
  daemon.must({"filter", "del", "a", "0"});
  EXPECT_THAT(daemon.must({"filter", "list", "a"}), "   0  protocol=udp dport=10 drop=true\n");
  EXPECT_EQ(pass(a, a, 4, 3), (Ids{4, 5, 6}));
  daemon.must({"filter", "add", "a", "mode=sniff", "to_port=b"});
  EXPECT_EQ(pass(a, a, 7, 2), (Ids{7, 8}));
  EXPECT_EQ(b.available(0, 2), 2u);
  daemon.must({"filter", "add", "a", "src=10.0.0.1", "drop=true"});
  const auto dropped = [&] { return daemon.stats()["card"]["drops"]["filter"].get<uint64_t>(); };
  const std::vector<uint8_t> bytes = frame(9);
  const base::Bytes one = bytes;
  EXPECT_EQ(a.send(0, {&one, 1}), 1u);
  for (int i = 0; i < 500 && dropped() == 0; ++i) usleep(10'000);
  EXPECT_EQ(dropped(), 1u);

  const auto refused = [&](std::vector<std::string> command) {
    const cli::Finished finished = daemon.xnic(std::move(command));
    EXPECT_EQ(finished.exit_code, 2) << finished.err;
    return finished.err;
  };
  EXPECT_THAT(refused({"filter", "add", "a", "dport=9", "drop=true"}), HasSubstr("protocol"));
  EXPECT_THAT(refused({"filter", "add", "a", "protocol=udp", "dport=80000", "drop=true"}),
              HasSubstr("filter:2: dport"));
  EXPECT_THAT(refused({"filter", "add", "a", "to_port=z"}), AllOf(HasSubstr("z"), HasSubstr("there are: a, b")));
  EXPECT_THAT(refused({"filter", "add", "a", "src=10.0.0.1", "to_queue=0"}), HasSubstr("steal"));
  EXPECT_THAT(refused({"filter", "del", "a", "3"}), HasSubstr("the port has 3"));
  EXPECT_THAT(refused({"filter", "add", "a", "udp"}), HasSubstr("KEY=VALUE"));
}

TEST(Settings, FeaturesAreSwitchedWhilePacketsFlow) {
  Daemon daemon(returning_port("[port.features]\ninsert_vlan = 5\n"));
  ASSERT_EQ(daemon.up().exit_code, 0) << daemon.log();
  auto a = daemon.peer("a");
  const std::vector<uint8_t> bytes = frame(1);
  const auto reply = [&] {
    const base::Bytes one = bytes;
    EXPECT_EQ(a.send(0, {&one, 1}), 1u);
    EXPECT_TRUE(a.wait(0, 5000));
    const base::Bytes got = a.available(0, 1) != 0 ? a.frame(0, 0) : base::Bytes();
    std::vector<uint8_t> copy(got.begin(), got.end());
    if (!copy.empty()) a.release(0, 1);
    return copy;
  };
  const auto tagged = reply();
  ASSERT_EQ(tagged.size(), bytes.size() + 4);
  EXPECT_EQ(base::load_be<uint32_t>(tagged.data() + 12), 0x81000005u);
  const std::string file = daemon.path("settings.toml");
  cli::write_file(file, "[features]\nfill_checksums = true\n");
  daemon.must({"ports", "change", "a", file});
  const auto summed = reply();
  ASSERT_EQ(summed.size(), bytes.size());
  EXPECT_NE(base::load_be<uint16_t>(summed.data() + 24), 0u);  // of the IPv4 header
  cli::write_file(file, "[features]\ncheck_checksums = \"drop\"\n");
  daemon.must({"ports", "change", "a", file});
  EXPECT_EQ(pass(a, a, 1, 0), Ids());
  const base::Bytes one = bytes;
  EXPECT_EQ(a.send(0, {&one, 1}), 1u);
  const auto dropped = [&] { return daemon.stats()["card"]["drops"]["checksum"].get<uint64_t>(); };
  for (int i = 0; i < 500 && dropped() == 0; ++i) usleep(10'000);
  EXPECT_EQ(dropped(), 1u);
  cli::write_file(file, "\n[features]\ncheck_checksums = 1\n");
  const cli::Finished refused = daemon.xnic({"ports", "change", "a", file});
  EXPECT_EQ(refused.exit_code, 2);
  EXPECT_THAT(refused.err, HasSubstr("settings.toml:3: check_checksums"));
}

TEST(Settings, TheTableOfRssSaysWhichQueueAFlowGoesTo) {
  Daemon daemon(returning_port("rx_queues = 4\n[port.rss]\ntable = [2]\n"));
  ASSERT_EQ(daemon.up().exit_code, 0) << daemon.log();
  auto a = daemon.peer("a");
  const auto queues = [&] {
    Ids counts;
    const ordered_json stats = daemon.stats();
    for (const ordered_json& queue : stats["ports"][0]["queues"]) counts.push_back(queue["packets"]);
    return counts;
  };
  EXPECT_EQ(pass(a, a, 1, 3), (Ids{1, 2, 3}));
  EXPECT_EQ(queues(), (Ids{0, 0, 3, 0}));
  const std::string file = daemon.path("settings.toml");
  cli::write_file(file, "[rss]\ntable = [1]\n[[filter]]\nprotocol = \"udp\"\ndport = 10\nto_queue = 3\n");
  daemon.must({"ports", "change", "a", file});
  EXPECT_EQ(pass(a, a, 4, 2), (Ids{4, 5}));
  EXPECT_EQ(queues(), (Ids{0, 2, 3, 0}));
  EXPECT_THAT(daemon.must({"filter", "list", "a"}), HasSubstr("to_queue=3"));
}

TEST(Settings, ABadLinkIsCountedInTheStatistics) {
  Daemon daemon(returning_port("[port.faults]\nseed = 3\ntransmit = { duplicate_ppm = 1000000 }\n"));
  ASSERT_EQ(daemon.up().exit_code, 0) << daemon.log();
  auto a = daemon.peer("a");
  const std::vector<uint8_t> bytes = frame(1);
  const base::Bytes one = bytes;
  EXPECT_EQ(a.send(0, {&one, 1}), 1u);
  for (int i = 0; i < 500 && a.available(0, 2) < 2; ++i) usleep(10'000);
  EXPECT_EQ(a.available(0, 2), 2u);
  const ordered_json faults = daemon.stats()["ports"][0]["faults"];
  EXPECT_EQ(faults["transmit"]["duplicated"], 1u);
  EXPECT_EQ(faults["receive"]["duplicated"], 0u);
  EXPECT_THAT(daemon.must({"stats"}), HasSubstr("bad link, transmit: duplicated 1"));
}

}  // namespace
}  // namespace xnic::tests::daemon
