// SPDX-License-Identifier: Apache-2.0
// The configuration file: what is read, and that each mistake is told with its line and what is allowed.
#include "nic/control/config.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace xnic::nic::control {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

std::string error_of(std::string_view text) {
  const auto config = parse_config(text, "f.toml", "");
  return config ? "accepted" : config.error().message();
}

constexpr std::string_view kPort = "[[port]]\nname = \"a\"\nkind = \"memory\"\npath = \"/a\"\n";

TEST(Config, ReadsEveryKey) {
  const auto config = parse_config(R"(
[card]
workers = 2
cpus = [1, 0]
frames = 1024
spin_polls = 0
engine = "interp"
control = "c.sock"
control_mode = 0o600
control_group = "staff"
metrics = "127.0.0.1:9464"
log_level = "warn"
sandbox = false
[[port]]
name = "a"
kind = "memory"
ifindex = 7
path = "a.sock"
entries = 64
socket_mode = 0o666
lossless = true
queues = 2
mtu = 9000
mac = "02:00:00:00:00:0a"
engine = "interp"
rx_queues = 4
first_worker = 1
program = "fw.o"
program_name = "xdp_fw"
maps = { rules = "rules.json", other = "/abs.json" }
)",
                                   "f.toml", "/etc/xnic");
  ASSERT_TRUE(config) << config.error().message();
  const CardConfig& card = config->card;
  EXPECT_EQ(card.workers, 2u);
  EXPECT_EQ(card.cpus, (std::vector<int>{1, 0}));
  EXPECT_EQ(card.frames, 1024u);
  EXPECT_EQ(card.spin_polls, 0u);
  EXPECT_EQ(card.engine, "interp");
  EXPECT_EQ(card.control, "/etc/xnic/c.sock");
  EXPECT_EQ(card.control_mode, 0600u);
  EXPECT_EQ(card.control_group, "staff");
  EXPECT_EQ(card.metrics, "127.0.0.1:9464");
  EXPECT_EQ(card.log_level, "warn");
  EXPECT_FALSE(card.sandbox);
  ASSERT_EQ(config->ports.size(), 1u);
  const PortConfig& port = config->ports[0];
  EXPECT_EQ(port.where, "f.toml:14");
  EXPECT_EQ(port.info.name, "a");
  EXPECT_EQ(port.info.ifindex, 7u);
  EXPECT_EQ(port.info.queues, 2u);
  EXPECT_EQ(port.info.mtu, 9000u);
  EXPECT_TRUE(port.info.lossless);
  EXPECT_EQ(port.info.mac, (port::MacAddress{2, 0, 0, 0, 0, 10}));
  const auto& memory = std::get<port::MemoryOptions>(port.options);
  EXPECT_EQ(memory.path, "/etc/xnic/a.sock");
  EXPECT_EQ(memory.entries, 64u);
  EXPECT_EQ(memory.socket_mode, 0666u);
  EXPECT_EQ(port.engine, "interp");
  EXPECT_EQ(port.rx_queues, 4u);
  EXPECT_EQ(port.first_worker, 1u);
  EXPECT_EQ(port.program, "/etc/xnic/fw.o");
  EXPECT_EQ(port.program_name, "xdp_fw");
  ASSERT_EQ(port.maps.size(), 2u);
  EXPECT_EQ(port.maps[0].map + "=" + port.maps[0].file, "other=/abs.json");
  EXPECT_EQ(port.maps[1].map + "=" + port.maps[1].file, "rules=/etc/xnic/rules.json");
}

TEST(Config, NothingGivenIsTheDefaults) {
  const auto config = parse_config("", "f.toml", "");
  ASSERT_TRUE(config);
  EXPECT_EQ(config->card.control, kDefaultSocket);
  EXPECT_EQ(config->card.engine, "native");
  EXPECT_EQ(config->card.metrics, "");
  EXPECT_TRUE(config->card.sandbox);
  EXPECT_TRUE(config->ports.empty());
}

TEST(Config, NamesLineAndWhatIsAllowed) {
  EXPECT_THAT(error_of("[card]\n\nworkers = 0\n"), AllOf(StartsWith("f.toml:3: workers"), HasSubstr("1 to 64")));
  EXPECT_THAT(error_of("[card]\nworkers = \"2\"\n"), AllOf(StartsWith("f.toml:2:"), HasSubstr("1 to 64")));
  EXPECT_THAT(error_of("[card]\nworker = 2\n"), AllOf(StartsWith("f.toml:2:"), HasSubstr("no key \"worker\""),
                                                      HasSubstr("workers"), HasSubstr("metrics")));
  EXPECT_THAT(error_of("[card]\nframes = 100\n"), AllOf(StartsWith("f.toml:2:"), HasSubstr("power of two")));
  EXPECT_THAT(error_of("[card]\nengine = \"kernel\"\n"), AllOf(StartsWith("f.toml:2:"), HasSubstr("\"native\"")));
  EXPECT_THAT(error_of("[card]\ncpus = [0, -1]\n"), AllOf(StartsWith("f.toml:2: cpus"), HasSubstr("list")));
  EXPECT_THAT(error_of("[card]\ncpus = [0, 1]\n"), AllOf(StartsWith("f.toml:2: cpus"), HasSubstr("1 workers")));
  EXPECT_THAT(error_of("[card]\nsandbox = 1\n"), AllOf(StartsWith("f.toml:2:"), HasSubstr("true or false")));
  EXPECT_THAT(error_of("[card]\nlog_level = \"loud\"\n"), AllOf(StartsWith("f.toml:2:"), HasSubstr("\"debug\"")));
  EXPECT_THAT(error_of("[card]\ncontrol = \"/" + std::string(120, 'x') + "\"\n"), HasSubstr("at most 107 bytes"));
  EXPECT_THAT(error_of("[card\n"), AllOf(StartsWith("f.toml:1:"), HasSubstr("no TOML")));
  EXPECT_THAT(error_of("[card]\nworkers = 1\nworkers = 2\n"), StartsWith("f.toml:3:"));
  EXPECT_THAT(error_of("\n[cards]\n"), AllOf(StartsWith("f.toml:2:"), HasSubstr("[[port]]")));
  EXPECT_THAT(error_of("[port]\nname = \"a\"\n"), AllOf(StartsWith("f.toml:1:"), HasSubstr("[[port]]")));
}

TEST(Config, TellsMistakesOfPorts) {
  EXPECT_EQ(error_of(kPort), "accepted");
  const auto with = [](std::string_view more) { return error_of(std::string(kPort) + std::string(more)); };
  EXPECT_THAT(error_of("[[port]]\nname = \"a\"\n"), AllOf(StartsWith("f.toml:1: kind"), HasSubstr("missing")));
  EXPECT_THAT(error_of("[[port]]\nkind = \"memory\"\npath = \"/a\"\n"), StartsWith("f.toml:1: name: is missing"));
  EXPECT_THAT(error_of("[[port]]\nname = \"a\"\nkind = \"memory\"\n"), StartsWith("f.toml:1: path: is missing"));
  EXPECT_THAT(error_of("[[port]]\nname = \"a\"\nkind = \"wire\"\n"),
              AllOf(StartsWith("f.toml:3:"), HasSubstr("memory")));
  EXPECT_THAT(error_of("[[port]]\nname = \"a/b\"\nkind = \"memory\"\npath = \"/a\"\n"), StartsWith("f.toml:2: name"));
  EXPECT_THAT(with("ifindex = 1\n"), AllOf(StartsWith("f.toml:5: ifindex"), HasSubstr("from 2")));
  EXPECT_THAT(with("mac = \"01:00:00:00:00:01\"\n"), StartsWith("f.toml:5: mac"));
  EXPECT_THAT(with("mac = \"02:00:00:00:00\"\n"), StartsWith("f.toml:5: mac"));
  EXPECT_THAT(with("entries = 3\n"), StartsWith("f.toml:5: entries"));
  EXPECT_THAT(with("maps = { a = \"a.json\" }\n"), AllOf(StartsWith("f.toml:5: maps"), HasSubstr("\"program\"")));
  EXPECT_THAT(with("maps = { a = 1 }\nprogram = \"x.o\"\n"), StartsWith("f.toml:5: maps"));
  EXPECT_THAT(with("first_worker = 1\n"), AllOf(StartsWith("f.toml:1: first_worker"), HasSubstr("1 workers")));
  EXPECT_THAT(with(kPort), AllOf(StartsWith("f.toml:5:"), HasSubstr("f.toml:1")));
  EXPECT_THAT(with("ifindex = 4\n[[port]]\nname = \"b\"\nkind = \"memory\"\npath = \"/b\"\nifindex = 4\n"),
              AllOf(StartsWith("f.toml:6: ifindex 4"), HasSubstr("f.toml:1")));
}

TEST(Config, MetricsStayOnThisMachine) {
  for (const char* good : {"127.0.0.1:9464", "127.9.9.9:1", "[::1]:9464"})
    EXPECT_EQ(error_of(fmt::format("[card]\nmetrics = \"{}\"\n", good)), "accepted") << good;
  for (const char* bad : {"0.0.0.0:9464", "192.168.0.1:9464", "127.0.0.1", "[::]:9464", "localhost:1",
                          "127.0.0.1:70000", "127.0.0.1:", "127.0.0.1:1x"})
    EXPECT_THAT(error_of(fmt::format("[card]\nmetrics = \"{}\"\n", bad)), StartsWith("f.toml:2: metrics")) << bad;
}

TEST(Config, APortAloneHasTheSameKeys) {
  const auto port = parse_port("name = \"a\"\nkind = \"memory\"\npath = \"s\"\n", "request", "/run");
  ASSERT_TRUE(port) << port.error().message();
  EXPECT_EQ(std::get<port::MemoryOptions>(port->options).path, "/run/s");
  const auto bad = parse_port("name = \"a\"\nkind = \"memory\"\npaht = \"s\"\n", "request", "/run");
  ASSERT_FALSE(bad);
  EXPECT_THAT(bad.error().message(), AllOf(StartsWith("request:3:"), HasSubstr("paht")));
}

}  // namespace
}  // namespace xnic::nic::control
