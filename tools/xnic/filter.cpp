// SPDX-License-Identifier: Apache-2.0
// `xnic filter` and `xnic ports change`. The daemon reads settings in one form, that of its configuration: what stands
// on the command line is brought into it.
#include <algorithm>
#include <cstdio>
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

// KEY=VALUE as lines of TOML: numbers, true and false as they are, all else as text.
Result<std::string> as_toml(const std::vector<std::string>& assignments) {
  std::string text;
  for (const std::string& assignment : assignments) {
    const size_t equals = assignment.find('=');
    if (equals == std::string::npos || equals == 0 || assignment.find_first_of("\"\\\n") != std::string::npos)
      return make_error(ErrorKind::kBadInput, assignment, "needs to be KEY=VALUE");
    const std::string key = assignment.substr(0, equals), value = assignment.substr(equals + 1);
    const bool bare = value == "true" || value == "false" || value.starts_with("0x") ||
                      (!value.empty() && std::ranges::all_of(value, [](char c) { return c >= '0' && c <= '9'; }));
    text += key + " = " + (bare ? value : "\"" + value + "\"") + "\n";
  }
  return text;
}

}  // namespace

int change_port(const DaemonOptions& options) {
  const auto text = base::read_file(options.file == "-" ? "/dev/stdin" : options.file);
  if (!text) return report(text.error());
  return done(ask(options, {{"request", "change_port"},
                            {"port", options.port},
                            {"toml", std::string(text->begin(), text->end())},
                            {"file", options.file == "-" ? "standard input" : options.file}}));
}

int filters(const DaemonOptions& options) {
  const auto reply = ask(options, {{"request", "filters"}, {"port", options.port}});
  if (!reply) return report(reply.error());
  size_t number = 0;
  for (const ordered_json& filter : reply->at("filters"))
    std::printf("%4zu  %s\n", number++, filter.get<std::string>().c_str());
  return kExitOk;
}

int add_filter(const DaemonOptions& options) {
  const auto toml = as_toml(options.filters);
  if (!toml) return report(toml.error());
  return done(ask(options, {{"request", "add_filter"}, {"port", options.port}, {"toml", *toml}}));
}

int remove_filter(const DaemonOptions& options) {
  return done(ask(options, {{"request", "remove_filter"}, {"port", options.port}, {"number", options.number}}));
}

}  // namespace xnic::tools
