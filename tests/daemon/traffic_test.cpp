// SPDX-License-Identifier: Apache-2.0
// Packets through a running daemon, while its programs, maps and ports change.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <numeric>
#include <thread>

#include "daemon/daemon.hpp"
#include "nic/port/pcap.hpp"

namespace xnic::tests::daemon {
namespace {

using nlohmann::ordered_json;
using testing::AllOf;
using testing::HasSubstr;

std::vector<uint32_t> ids(uint32_t first, uint32_t count) {
  std::vector<uint32_t> list(count);
  std::iota(list.begin(), list.end(), first);
  return list;
}

uint64_t verdicts(const ordered_json& stats, const std::string& port, const char* verdict) {
  for (const ordered_json& one : stats["ports"])
    if (one["name"] == port) return one["queues"][0]["verdicts"][verdict].get<uint64_t>();
  return UINT64_MAX;
}

TEST(Traffic, RunsReplacesAndDetachesProgramsAndReadsTheirMaps) {
  Daemon daemon(memory_port("a", 2) + memory_port("b", 3));
  ASSERT_EQ(daemon.up().exit_code, 0) << daemon.log();
  const std::string fill = daemon.path("fill.json");
  cli::write_file(fill, R"([{"key": 0, "value": 3}])");
  daemon.must({"attach", "a", program("redirect_map"), "--map", "tx_port=" + fill});
  auto a = daemon.peer("a");
  auto b = daemon.peer("b");
  EXPECT_EQ(pass(a, b, 1, 10), ids(1, 10));
  EXPECT_THAT(daemon.must({"ports"}), HasSubstr("redirect_map (native)"));

  // Its maps: the counter that the program keeps, and an entry that decides where packets go.
  EXPECT_THAT(daemon.must({"map", "list"}),
              AllOf(HasSubstr("packets"), HasSubstr("percpu_array"), HasSubstr("devmap")));
  const auto counted = ordered_json::parse(daemon.must({"map", "get", "packets", "0"}));
  uint64_t packets = 0;
  for (const ordered_json& copy : counted["formatted"]["values"]) packets += copy["value"].get<uint64_t>();
  EXPECT_EQ(packets, 10u);
  daemon.must({"map", "set", "a/tx_port", "0", "2"});
  EXPECT_EQ(pass(a, a, 11, 3), ids(11, 3));
  daemon.must({"map", "delete", "tx_port", "0"});
  const auto gone = daemon.xnic({"map", "get", "tx_port", "0"});
  EXPECT_EQ(gone.exit_code, 2);
  EXPECT_THAT(gone.err, HasSubstr("no such element"));

  // Another program in its place, and none.
  daemon.must({"attach", "a", program("tx"), "--engine", "interp"});
  EXPECT_EQ(pass(a, a, 20, 5), ids(20, 5));
  EXPECT_THAT(daemon.must({"ports"}), HasSubstr("tx (interp)"));
  EXPECT_EQ(verdicts(daemon.stats(), "a", "tx"), 5u);
  EXPECT_EQ(verdicts(daemon.stats(), "a", "redirect"), 13u);
  daemon.must({"detach", "a"});
  EXPECT_EQ(daemon.xnic({"detach", "a"}).exit_code, 2);
  EXPECT_THAT(daemon.must({"map", "list"}), testing::Not(HasSubstr("tx_port")));
  EXPECT_THAT(daemon.must({"stats"}), HasSubstr("received 18 packets"));
}

// Each packet has to come back, whichever program it meets: the one that runs or the one that takes its place.
TEST(Traffic, LosesNoPacketWhileItsProgramIsReplaced) {
  Daemon daemon(memory_port("a", 2) + "program = \"" + program("tx") + "\"\n");
  ASSERT_EQ(daemon.up().exit_code, 0) << daemon.log();
  const std::string text = cli::read_file(program("tx"));
  const std::vector<uint8_t> elf(text.begin(), text.end());
  constexpr int kReplacements = 1000;
  std::atomic<int> replaced{0};
  std::thread operator_thread([&] {
    auto client = daemon.client();
    for (int i = 0; i < kReplacements; ++i) {
      const ordered_json request = {
          {"request", "attach"}, {"ports", {"a"}}, {"file", "tx.o"}, {"engine", i % 2 == 0 ? "interp" : "native"}};
      const auto reply = client.call(request, elf);
      EXPECT_TRUE(reply) << reply.error().message();
      ++replaced;
    }
  });
  auto a = daemon.peer("a");
  uint32_t sent = 0;
  uint32_t returned = 0;
  while (replaced < kReplacements) {
    returned += static_cast<uint32_t>(pass(a, a, sent, 50).size());
    sent += 50;
  }
  operator_thread.join();
  EXPECT_EQ(returned, sent);
  EXPECT_EQ(verdicts(daemon.stats(), "a", "tx"), sent);
}

TEST(Traffic, PortsOfOneObjectShareItsMaps) {
  Daemon daemon(memory_port("a", 2) + "program = \"" + program("xdp2") + "\"\n" + memory_port("b", 3) + "program = \"" +
                program("xdp2") + "\"\n");
  const auto up = daemon.up();
  ASSERT_EQ(up.exit_code, 0) << up.err;
  auto a = daemon.peer("a");
  auto b = daemon.peer("b");
  EXPECT_EQ(pass(a, a, 1, 2), ids(1, 2));
  EXPECT_EQ(pass(b, b, 3, 5), ids(3, 5));
  const auto element = ordered_json::parse(daemon.must({"map", "get", "packets_by_protocol", "17"}));
  uint64_t sum = 0;
  for (const ordered_json& copy : element["formatted"]["values"]) sum += copy["value"].get<uint64_t>();
  EXPECT_EQ(sum, 7u);
  // Loaded once more for one of them, there are two maps of the name.
  daemon.must({"attach", "b", program("xdp2")});
  const auto unclear = daemon.xnic({"map", "dump", "packets_by_protocol"});
  EXPECT_EQ(unclear.exit_code, 2);
  EXPECT_THAT(unclear.err, HasSubstr("PORT/packets_by_protocol"));
  EXPECT_EQ(ordered_json::parse(daemon.must({"map", "dump", "b/packets_by_protocol"})).size(), 256u);
  // One command for both: they share again.
  daemon.must({"attach", "a", "b", program("xdp2")});
  EXPECT_EQ(pass(a, a, 8, 1), ids(8, 1));
  EXPECT_THAT(daemon.must({"map", "list"}), HasSubstr(" a,b\n"));
}

TEST(Traffic, PortsComeAndGoWhileOthersWork) {
  Daemon daemon(memory_port("a", 2) + "program = \"" + program("tx") + "\"\n");
  ASSERT_EQ(daemon.up().exit_code, 0);
  auto a = daemon.peer("a");
  EXPECT_EQ(pass(a, a, 1, 2), ids(1, 2));
  const std::string file = daemon.path("c.toml");
  cli::write_file(file, "name = \"c\"\nkind = \"memory\"\npath = \"c.sock\"\n");
  daemon.must({"ports", "add", file});
  daemon.must({"attach", "c", program("tx")});
  {
    auto c = daemon.peer("c");
    EXPECT_EQ(pass(c, c, 10, 2), ids(10, 2));
  }
  EXPECT_EQ(daemon.xnic({"ports", "add", file}).exit_code, 2);  // the name is taken
  daemon.must({"ports", "remove", "c"});
  EXPECT_THAT(daemon.must({"ports"}), testing::Not(HasSubstr("c.sock")));
  EXPECT_FALSE(nic::port::MemoryPeer::attach(daemon.path("c.sock")));
  EXPECT_EQ(pass(a, a, 3, 2), ids(3, 2));
  daemon.must({"ports", "add", file});
  daemon.must({"attach", "c", program("tx")});
  auto c = daemon.peer("c");
  EXPECT_EQ(pass(c, c, 20, 2), ids(20, 2));
}

TEST(Traffic, AModelledCardSaysWhatItWouldHaveDone) {
  Daemon daemon(memory_port("a", 2) + "program = \"" + program("tx") + "\"\nengine = \"hxdp\"\n");
  ASSERT_EQ(daemon.up().exit_code, 0) << daemon.log();
  auto a = daemon.peer("a");
  EXPECT_EQ(pass(a, a, 1, 20), ids(1, 20));
  const ordered_json stats = daemon.stats();
  const ordered_json& model = stats["ports"][0]["program"]["modelled"][0];
  EXPECT_GT(model["cycles"].get<uint64_t>(), 20u);
  EXPECT_GT(model["mpps"].get<double>(), 0);
  EXPECT_GT(model["latency_p50_ns"].get<double>(), 0);
  EXPECT_THAT(daemon.must({"stats"}), HasSubstr("the modelled card: "));
}

TEST(Traffic, TracesPacketsWithTheirVerdicts) {
  Daemon daemon(memory_port("a", 2) + "program = \"" + program("tx") + "\"\n");
  ASSERT_EQ(daemon.up().exit_code, 0);
  auto a = daemon.peer("a");
  auto client = daemon.client();
  ASSERT_TRUE(client.call({{"request", "trace"}, {"limit", 3}, {"protocol", 17}, {"dport", 9}, {"verdicts", {"tx"}}}));
  const auto second = daemon.xnic({"trace"});
  EXPECT_EQ(second.exit_code, 3);
  EXPECT_THAT(second.err, HasSubstr("another trace"));
  ASSERT_EQ(pass(a, a, 1, 5), ids(1, 5));
  for (uint32_t id = 1; id <= 3; ++id) {
    const auto message = client.next(5000);
    ASSERT_TRUE(message && *message && !(*message)->json.empty());
    const auto record = ordered_json::parse((*message)->json);
    EXPECT_EQ(record["port"], "a");
    EXPECT_EQ(record["verdict"], "tx");
    EXPECT_EQ(record["bytes"], 60);
    ASSERT_EQ((*message)->blob.size(), 60u);
    EXPECT_EQ(base::load_be<uint32_t>((*message)->blob.data() + 42), id);
  }
  const auto end = client.next(5000);
  ASSERT_TRUE(end);
  EXPECT_FALSE(*end);
  // The filter was told to the card: nothing that goes elsewhere is seen.
  ASSERT_TRUE(client.call({{"request", "trace"}, {"protocol", 17}, {"dport", 10}}));
  ASSERT_EQ(pass(a, a, 6, 2), ids(6, 2));
  const auto none = client.next(200);
  ASSERT_TRUE(none && *none);
  EXPECT_EQ((*none)->json, "");
  for (const char* filter : {"dport=x", "dport=9", "verdict=lost", "nothing", "what=1", "src=10.0.0", "port=z"}) {
    const auto refused = daemon.xnic({"trace", "--filter", filter});
    EXPECT_NE(refused.exit_code, 0) << filter;
    EXPECT_THAT(refused.err, HasSubstr("error")) << filter;
  }
}

TEST(Traffic, ReadsOneCaptureAndWritesAnother) {
  Daemon daemon("[[port]]\nname = \"in\"\nkind = \"pcap\"\nread = \"" + cli::trace() +
                    "\"\nwrite = \"@/out.pcapng\"\nprogram = \"" + program("tx") + "\"\n",
                "engine = \"interp\"\n");
  const auto up = daemon.up();
  ASSERT_EQ(up.exit_code, 0) << up.err;
  for (int i = 0; i < 200 && daemon.must({"ports"}).find("ended") == std::string::npos; ++i) usleep(10'000);
  EXPECT_THAT(daemon.must({"ports"}), HasSubstr("ended"));
  const uint64_t sent = daemon.stats()["ports"][0]["transmitted"].get<uint64_t>();
  EXPECT_GT(sent, 0u);
  EXPECT_THAT(daemon.must({"top", "--once", "--interval", "50"}),
              AllOf(HasSubstr("RX pkt/s"), HasSubstr("tx (interp)")));
  daemon.must({"down"});
  auto reader = nic::port::PcapReader::open(daemon.path("out.pcapng"));
  ASSERT_TRUE(reader) << reader.error().message();
  uint64_t read = 0;
  for (auto next = reader->next(); next && *next; next = reader->next()) ++read;
  EXPECT_EQ(read, sent);
}

}  // namespace
}  // namespace xnic::tests::daemon
