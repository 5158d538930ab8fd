// SPDX-License-Identifier: Apache-2.0
// Servers need a moment until they listen: clients try until then.
#include "traffic/exchange.hpp"

#include <gmock/gmock.h>
#include <unistd.h>

#include <filesystem>

#include "base/rng.hpp"

namespace xnic::tests::traffic {

using daemon::Running;

bool is_long() {
  const char* const wanted = getenv("XNIC_TRAFFIC");
  return wanted != nullptr && std::string_view(wanted) == "long";
}

std::vector<Setting> settings() {
  std::vector<Setting> all = {{"Native", "native", "auto"}};
  if (is_long()) {
    all.push_back({"NativeGeneric", "native", "generic"});
    all.push_back({"Interp", "interp", "auto"});
  }
  return all;
}

std::string Exchange::port_keys() { return "entries = 1024\nmode = \"" + GetParam().mode + "\"\n"; }

void Exchange::start(const std::string& ports, const std::string& card) {
  daemon_ = std::make_unique<daemon::Daemon>(
      ports, (card.empty() ? "frames = 8192\n" : card) + "engine = \"" + GetParam().engine + "\"\n");
  write_programs(*daemon_);
  const cli::Finished started = up(*daemon_);
  ASSERT_EQ(started.exit_code, 0) << started.err;
}

Json Exchange::iperf(const std::string& from, const std::string& to, const std::string& address,
                     const std::vector<std::string>& options, Json* server) const {
  Running listener(on(to, {"iperf3", "-s", "-1", "-J"}), daemon_->path("iperf.server"));
  std::vector<std::string> command = {"iperf3", "-c", address, "-J", "--connect-timeout", "2000"};
  command.insert(command.end(), options.begin(), options.end());
  Json report;
  for (int tries = 0; tries < 100; ++tries) {
    report = Json::parse(run_on(from, command).out, nullptr, false);
    if (report.is_object() && report.value("error", "").find("refused") == std::string::npos) break;
    usleep(20'000);
  }
  EXPECT_TRUE(report.is_object() && !report.contains("error")) << report.dump(1);
  if (server != nullptr) {
    listener.wait();
    *server = Json::parse(listener.out(), nullptr, false);
    EXPECT_TRUE(server->is_object()) << listener.out();
  }
  return report.is_object() && !report.contains("error") ? report : Json();
}

void Exchange::expect_tcp(const Json& report) const {
  ASSERT_TRUE(report.is_object());
  // What the receiver has not yet read at the end is in neither sum.
  EXPECT_GT(report["end"]["sum_received"]["bytes"].get<uint64_t>(), 0u);
  std::printf("  TCP %.0f Mbit/s\n", report["end"]["sum_received"]["bits_per_second"].get<double>() / 1e6);
}

void Exchange::expect_udp(const Json& report) const {
  ASSERT_TRUE(report.is_object());
  const Json& sum = report["end"]["sum"];
  const auto packets = sum["packets"].get<uint64_t>();
  EXPECT_GT(packets, 1000u);
  EXPECT_LE(sum["lost_packets"].get<uint64_t>(), packets / 100);
}

const std::string& Exchange::file() {
  if (!file_.empty()) return file_;
  const size_t size = (is_long() ? 512u : 6u) << 20;
  base::Rng rng(1);
  while (file_.size() < size) {
    const uint64_t word = rng.next();
    file_.append(reinterpret_cast<const char*>(&word), sizeof word);
  }
  std::filesystem::create_directory(daemon_->path("files"));
  cli::write_file(daemon_->path("files/large"), file_);
  return file_;
}

std::unique_ptr<Running> Exchange::serve(const std::string& host, const std::string& vip) const {
  std::vector<std::string> command = {"/usr/bin/python3", XNIC_SERVE, daemon_->path("files"), "8080"};
  if (!vip.empty()) command.push_back(vip);
  return std::make_unique<Running>(on(host, command), daemon_->path("serve." + host));
}

bool Exchange::answers(const std::string& from, const std::string& address) const {
  return run_on(from, {"curl", "-s", "-o", "/dev/null", "--max-time", "0.5", "http://" + address + ":8080/"})
             .exit_code == 0;
}

void Exchange::expect_same_file(const std::string& from, const std::string& address) {
  for (int tries = 0; tries < 100 && !answers(from, address); ++tries) usleep(20'000);
  const std::string got = daemon_->path("got");
  const cli::Finished curl =
      run_on(from, {"curl", "-sS", "--max-time", "300", "-o", got, "http://" + address + ":8080/large"});
  EXPECT_EQ(curl.exit_code, 0) << curl.err << daemon_->must({"stats"});
  EXPECT_TRUE(cli::read_file(got) == file()) << "the file came with other contents";
}

void Exchange::expect_nothing_lost() const {
  const Json stats = daemon_->stats();
  for (const char* reason : {"no_frame", "transmit_full", "stalled", "hand_over_full", "port_gone", "aborted"})
    EXPECT_EQ(stats["card"]["drops"][reason], 0u) << reason << "\n" << daemon_->must({"stats"});
  for (const Json& port : stats["ports"])
    for (const char* reason : {"no_frame", "bad", "too_long", "down"})
      EXPECT_EQ(port["drops"][reason], 0u) << port["name"] << " " << reason;
}

}  // namespace xnic::tests::traffic
