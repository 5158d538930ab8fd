// SPDX-License-Identifier: Apache-2.0
// `xnic ports`, `attach`, `detach`: the files that a request needs are read here, with the rights of who asks.
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/file.hpp"
#include "xnic/command.hpp"
#include "xnic/daemon.hpp"

namespace xnic::tools {

using base::ErrorKind;
using base::make_error;
using base::Result;
using nlohmann::ordered_json;

namespace {

std::string text_of(const ordered_json& object, const char* key) {
  const auto member = object.find(key);
  return member != object.end() && member->is_string() ? member->get<std::string>() : "";
}

Result<ordered_json> read_fills(const std::vector<std::string>& assignments) {
  ordered_json fills = ordered_json::object();
  for (const std::string& assignment : assignments) {
    const size_t equals = assignment.find('=');
    if (equals == std::string::npos)
      return make_error(ErrorKind::kBadInput, "--map " + assignment, "needs NAME=FILE.json");
    const std::string file = assignment.substr(equals + 1);
    XNIC_ASSIGN(const auto text, base::read_file(file));
    ordered_json json = ordered_json::parse(text, nullptr, false);
    if (json.is_discarded()) return make_error(ErrorKind::kBadInput, file, "is not valid JSON");
    fills[assignment.substr(0, equals)] = std::move(json);
  }
  return fills;
}

}  // namespace

int ports(const DaemonOptions& options) {
  const auto reply = ask(options, {{"request", "ports"}});
  if (!reply) return report(reply.error());
  const ordered_json& list = reply->at("ports");
  if (options.json) {
    std::printf("%s\n", list.dump(2).c_str());
    return kExitOk;
  }
  std::printf("%-16s %-7s %7s %6s %6s %-5s %s\n", "PORT", "KIND", "IFINDEX", "QUEUES", "MTU", "STATE", "PROGRAM");
  for (const ordered_json& port : list) {
    std::string program = "-";
    if (port.contains("program"))
      program = text_of(port["program"], "name") + " (" + text_of(port["program"], "engine") + ")";
    const char* state = !port["up"].get<bool>() ? "down" : port.contains("finished") ? "ended" : "up";
    std::printf("%-16s %-7s %7u %6u %6u %-5s %s\n", text_of(port, "name").c_str(), text_of(port, "kind").c_str(),
                port["ifindex"].get<uint32_t>(), port["queues"].get<uint32_t>(), port["mtu"].get<uint32_t>(), state,
                program.c_str());
    if (port.contains("error")) std::printf("  %s\n", text_of(port, "error").c_str());
  }
  return kExitOk;
}

int add_port(const DaemonOptions& options) {
  const auto text = base::read_file(options.file == "-" ? "/dev/stdin" : options.file);
  if (!text) return report(text.error());
  const std::string folder = options.file == "-" ? std::filesystem::current_path().string()
                                                 : std::filesystem::absolute(options.file).parent_path().string();
  return done(ask(options, {{"request", "add_port"},
                            {"toml", std::string(text->begin(), text->end())},
                            {"file", options.file == "-" ? "standard input" : options.file},
                            {"folder", folder}}));
}

int remove_port(const DaemonOptions& options) {
  return done(ask(options, {{"request", "remove_port"}, {"port", options.port}}));
}

int attach(const DaemonOptions& options) {
  std::vector<std::string> names = options.ports;
  const std::string file = names.back();
  names.pop_back();
  const auto fills = read_fills(options.fills);
  if (!fills) return report(fills.error());
  ordered_json request = {{"request", "attach"}, {"ports", names}, {"file", file}, {"maps", *fills}};
  if (!options.program.empty()) request["program"] = options.program;
  if (!options.engine.empty()) request["engine"] = options.engine;
  return done(ask(options, request, base::read_file(file)));
}

int detach(const DaemonOptions& options) { return done(ask(options, {{"request", "detach"}, {"port", options.port}})); }

}  // namespace xnic::tools
