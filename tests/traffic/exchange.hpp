// SPDX-License-Identifier: Apache-2.0
// Hosts that talk with real programs, and what must hold of what they said.
#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "daemon/network.hpp"

namespace xnic::tests::traffic {

using Json = nlohmann::ordered_json;

// How a run of the tests is sized, and which ways of the card it goes through: one way and little by default,
// XNIC_TRAFFIC=long for all.
struct Setting {
  std::string name;
  std::string engine, mode;
};
inline void PrintTo(const Setting& setting, std::ostream* out) { *out << setting.name; }
std::vector<Setting> settings();
bool is_long();
// How much a connection carries, as iperf3 has it.
inline const char* amount() { return is_long() ? "2G" : "8M"; }

class Exchange : public daemon::Network, public testing::WithParamInterface<Setting> {
 protected:
  explicit Exchange(std::vector<std::string> options = {}) : Network(std::move(options)) {}

  // Keys of an af_xdp port in this setting.
  static std::string port_keys();
  // Starts the daemon with the setting's engine; its programs' files are there. `card`: keys of [card] in place of
  // frames.
  void start(const std::string& ports, const std::string& card = "");

  // `iperf3 -c` from one host to an address of another, which runs the server. The client's report; `server`, when
  // given, gets the server's.
  Json iperf(const std::string& from, const std::string& to, const std::string& address,
             const std::vector<std::string>& options, Json* server = nullptr) const;
  void expect_tcp(const Json& report) const;
  // Of a hundred datagrams one may be lost by hosts that get no time; what the card loses is counted (see below).
  void expect_udp(const Json& report) const;
  // A host that serves `file()` on port 8080; `vip`: behind a load balancer.
  std::unique_ptr<daemon::Running> serve(const std::string& host, const std::string& vip = "") const;
  // Large, and of random bytes.
  const std::string& file();
  // Fetches the file with curl and compares it.
  void expect_same_file(const std::string& from, const std::string& address);
  // True when somebody answers there within half a second.
  bool answers(const std::string& from, const std::string& address) const;
  // Nothing was lost inside the card but what programs drop: no ring was full, no frame missing.
  void expect_nothing_lost() const;

  std::unique_ptr<daemon::Daemon> daemon_;

 private:
  std::string file_;
};

}  // namespace xnic::tests::traffic
