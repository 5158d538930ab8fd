// SPDX-License-Identifier: Apache-2.0
// What a port does beside its program, and what may be changed while it runs: features, spreading over queues, filters.
// In TOML the tables [features], [rss] and [[filter]] of a port (docs/operations.md lists every key).
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "nic/datapath/config.hpp"

namespace xnic::nic::control {

// A filter with its destination as it is written; ports have names here and indexes on the card.
struct FilterRule {
  std::string where;  // "FILE:LINE"
  std::string text;   // as KEY=VALUE ..., for people
  datapath::Filter filter;
  std::string to_port;   // of a filter to another port; its index is not in `filter` yet
  bool to_host = false;  // to the host side of its own port
};

// A table that is absent is not in it, and leaves the port as it is.
struct PortSettings {
  std::optional<datapath::Features> features;
  std::optional<datapath::RssOptions> rss;
  std::optional<std::vector<FilterRule>> filters;
};

// Queues of the port that is meant, which tables of queues are checked against.
struct QueueCounts {
  uint32_t seen = 1;    // by programs
  bool spread = false;  // by the card
};

// The three tables without their port. Errors: kBadInput ("NAME:LINE: what is wrong, what is allowed").
base::Result<PortSettings> parse_settings(std::string_view text, const std::string& name, const QueueCounts& queues);
// The keys of one filter. Errors: the same.
base::Result<FilterRule> parse_filter(std::string_view text, const std::string& name, const QueueCounts& queues);

}  // namespace xnic::nic::control
