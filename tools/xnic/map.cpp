// SPDX-License-Identifier: Apache-2.0
// `xnic map`: what is printed and taken has the form of `bpftool map dump --json`.
#include <cstdio>
#include <nlohmann/json.hpp>

#include "base/file.hpp"
#include "nic/control/client.hpp"
#include "xnic/command.hpp"
#include "xnic/daemon.hpp"

namespace xnic::tools {

using base::ErrorKind;
using base::make_error;
using base::Result;
using nlohmann::ordered_json;

namespace {

Result<ordered_json> parse(const std::string& what, const std::string& text) {
  ordered_json json = ordered_json::parse(text, nullptr, false);
  if (json.is_discarded())
    return make_error(ErrorKind::kBadInput, what,
                      "\"{}\" is not valid JSON: a number, a value such as '{{\"member\": 1}}', "
                      "or bytes such as '[\"0x01\", \"0x00\"]'",
                      text);
  return json;
}

Result<int> list_maps(const DaemonOptions& options) {
  XNIC_ASSIGN(const ordered_json reply, ask(options, {{"request", "maps"}}));
  if (options.json) {
    std::printf("%s\n", reply.at("maps").dump(2).c_str());
    return kExitOk;
  }
  std::printf("%5s %-24s %-20s %5s %6s %9s %9s  %s\n", "ID", "NAME", "TYPE", "KEY", "VALUE", "ENTRIES", "OF", "PORTS");
  for (const ordered_json& map : reply.at("maps")) {
    std::string ports;
    for (const ordered_json& port : map["ports"]) ports += (ports.empty() ? "" : ",") + port.get<std::string>();
    std::printf("%5u %-24s %-20s %5u %6u %9lu %9u  %s\n", map["id"].get<uint32_t>(),
                map["name"].get<std::string>().c_str(), map["type"].get<std::string>().c_str(),
                map["key_bytes"].get<uint32_t>(), map["value_bytes"].get<uint32_t>(), map["entries"].get<uint64_t>(),
                map["max_entries"].get<uint32_t>(), ports.c_str());
  }
  return kExitOk;
}

// Pages of a stream, printed as one list.
Result<int> dump(const DaemonOptions& options) {
  XNIC_ASSIGN(nic::control::Client client, nic::control::Client::connect(socket_of(options)));
  XNIC_TRY(client.call({{"request", "map_dump"}, {"map", options.map}}));
  bool first = true;
  std::printf("[");
  for (;;) {
    XNIC_ASSIGN(const auto message, client.next());
    if (!message) break;
    XNIC_ASSIGN(const ordered_json page, nic::control::parse_object(message->json));
    for (const ordered_json& element : page.at("elements")) {
      std::printf("%s\n  %s", first ? "" : ",", element.dump().c_str());
      first = false;
    }
  }
  std::printf("\n]\n");
  return kExitOk;
}

Result<int> watch(const DaemonOptions& options) {
  XNIC_ASSIGN(nic::control::Client client, nic::control::Client::connect(socket_of(options)));
  XNIC_TRY(client.call({{"request", "map_watch"}, {"map", options.map}, {"interval_ms", options.interval_ms}}));
  const volatile int& interrupted = until_interrupted();
  uint64_t shown = 0;
  while (interrupted == 0 && (options.limit == 0 || shown < options.limit)) {
    XNIC_ASSIGN(const auto message, client.next(200));
    if (!message) break;
    if (message->json.empty()) continue;
    XNIC_ASSIGN(const ordered_json change, nic::control::parse_object(message->json));
    for (const char* what : {"set", "deleted"})
      for (const ordered_json& element : change.at(what)) std::printf("%-8s%s\n", what, element.dump().c_str());
    std::fflush(stdout);
    ++shown;
  }
  return kExitOk;
}

Result<int> change(const DaemonOptions& options, const std::string& what) {
  ordered_json request = {{"request", "map_" + what}, {"map", options.map}};
  if (what == "set" && !options.file.empty()) {
    XNIC_ASSIGN(const auto text, base::read_file(options.file == "-" ? "/dev/stdin" : options.file));
    XNIC_ASSIGN(request["elements"], parse(options.file, std::string(text.begin(), text.end())));
  } else {
    if (options.key.empty()) return make_error(ErrorKind::kBadInput, "map set", "needs KEY and VALUE, or --file");
    XNIC_ASSIGN(request["key"], parse("KEY", options.key));
    if (what == "set") {
      XNIC_ASSIGN(request["value"], parse("VALUE", options.value));
    }
  }
  XNIC_ASSIGN(const ordered_json reply, ask(options, request));
  if (reply.contains("element")) std::printf("%s\n", reply["element"].dump(2).c_str());
  return kExitOk;
}

}  // namespace

int map_command(const DaemonOptions& options, const std::string& what) {
  const auto result = what == "list"    ? list_maps(options)
                      : what == "dump"  ? dump(options)
                      : what == "watch" ? watch(options)
                                        : change(options, what);
  return result ? *result : report(result.error());
}

}  // namespace xnic::tools
