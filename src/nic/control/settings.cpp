// SPDX-License-Identifier: Apache-2.0
// Settings from TOML. Filters have the words of `xnic trace --filter`.
#include "nic/control/settings.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <sstream>

#include "nic/control/settings_keys.hpp"

namespace xnic::nic::control {

using base::make_error;
using base::Result;
using datapath::Match;

namespace {

constexpr int64_t kMostVlan = 4094;

void read_vlan(Keys& keys, std::string_view key, std::string_view word, uint16_t& id, uint16_t word_means,
               bool& given) {
  std::string text;
  uint32_t number = 0;
  given = keys.has(key);
  const std::string_view words[] = {word};
  if (keys.number_or_word(key, number, 0, kMostVlan, words, text))
    id = static_cast<uint16_t>(number);
  else if (!text.empty())
    id = word_means;
}

Result<datapath::Features> read_features(Keys keys) {
  datapath::Features features;
  std::string check = "off";
  constexpr std::string_view kChecks[] = {"off", "count", "drop"};
  keys.choice("check_checksums", check, kChecks);
  keys.flag("fill_checksums", features.fill_checksums);
  keys.flag("time_stamps", features.time_stamps);
  read_vlan(keys, "strip_vlan", "any", features.strip_vlan_id, datapath::kNoVlan, features.strip_vlan);
  uint32_t insert = datapath::kNoVlan;
  keys.number("insert_vlan", insert, 0, kMostVlan);
  features.insert_vlan_id = static_cast<uint16_t>(insert);
  if (check != "off")
    features.check = check == "count" ? datapath::ChecksumCheck::kCount : datapath::ChecksumCheck::kDrop;
  XNIC_TRY(keys.finish());
  return features;
}

bool parse_key(std::string_view text, datapath::RssKey& key) {
  size_t digits = 0;
  for (const char c : text) {
    if (c == ':' && digits % 2 == 0) continue;
    const char* const hex = "0123456789abcdef";
    const char* const at = std::strchr(hex, std::tolower(static_cast<unsigned char>(c)));
    if (c == 0 || at == nullptr || digits == 2 * key.size()) return false;
    uint8_t& byte = key[digits++ / 2];
    byte = static_cast<uint8_t>(byte << 4 | (at - hex));
  }
  return digits == 2 * key.size();
}

Result<datapath::RssOptions> read_rss(Keys keys, const QueueCounts& queues) {
  datapath::RssOptions rss = datapath::RssOptions::spread(queues.seen);
  std::string key;
  std::vector<std::string> types;
  std::vector<int> table;
  constexpr std::string_view kTypes[] = {"ipv4", "tcp4", "udp4", "ipv6", "tcp6", "udp6"};
  keys.text("key", key);
  keys.choices("types", types, kTypes);
  keys.numbers("table", table, 0, static_cast<int64_t>(queues.seen) - 1);
  if (!key.empty() && !parse_key(key, rss.key))
    keys.fail("key", fmt::format("allowed are {} bytes in hexadecimal, with or without colons", rss.key.size()));
  if (keys.has("types")) rss.types = 0;
  for (const std::string& type : types) rss.types |= 1u << (std::ranges::find(kTypes, type) - std::begin(kTypes));
  if (keys.has("table") && (table.empty() || rss.table.size() % table.size() != 0))
    keys.fail("table", fmt::format("allowed are 1 to {} queues, a power of two of them", rss.table.size()));
  else if (!table.empty())
    for (size_t i = 0; i < rss.table.size(); ++i) rss.table[i] = static_cast<uint16_t>(table[i % table.size()]);
  XNIC_TRY(keys.finish());
  return rss;
}

// ---- filters

void read_address(Keys& keys, std::string_view key, datapath::Field field, std::array<uint8_t, 16>& target,
                  Match& match) {
  std::string text;
  keys.text(key, text);
  if (text.empty()) return;
  const uint8_t version = text.find(':') == text.npos ? 4 : 6;
  if (inet_pton(version == 4 ? AF_INET : AF_INET6, text.c_str(), target.data()) != 1)
    return keys.fail(key, fmt::format("\"{}\" is no IP address", text));
  if ((match.fields & (datapath::kMatchSourceIp | datapath::kMatchDestinationIp)) != 0 && match.version != version)
    return keys.fail(key, "source and destination are of different IP versions");
  match.version = version;
  match.fields |= field;
}

template <class T>
void read_field(Keys& keys, std::string_view key, int64_t max, datapath::Field field, T& target, Match& match) {
  uint32_t number = 0;
  keys.number(key, number, 0, max);
  if (!keys.has(key)) return;
  target = static_cast<T>(number);
  match.fields |= field;
}

void read_protocol(Keys& keys, Match& match) {
  constexpr std::string_view kNames[] = {"icmp", "tcp", "udp", "icmp6"};
  constexpr uint8_t kNumbers[] = {IPPROTO_ICMP, IPPROTO_TCP, IPPROTO_UDP, IPPROTO_ICMPV6};
  if (!keys.has("protocol")) return keys.known("protocol");
  uint32_t number = 0;
  std::string name;
  if (keys.number_or_word("protocol", number, 0, 255, kNames, name))
    match.protocol = static_cast<uint8_t>(number);
  else if (!name.empty())
    match.protocol = kNumbers[std::ranges::find(kNames, name) - std::begin(kNames)];
  match.fields |= datapath::kMatchProtocol;
}

void read_match(Keys& keys, Match& match) {
  bool given = false;
  read_vlan(keys, "vlan", "none", match.vlan, datapath::kNoVlan, given);
  if (given) match.fields |= datapath::kMatchVlan;
  const auto flag = [&](std::string_view key, datapath::Field field, bool& target) {
    keys.flag(key, target);
    if (keys.has(key)) match.fields |= field;
  };
  flag("multicast", datapath::kMatchMulticast, match.multicast);
  flag("own_address", datapath::kMatchOwnAddress, match.own_address);
  const auto mac = [&](std::string_view key, datapath::Field field, port::MacAddress& target) {
    keys.mac(key, target, true);
    if (keys.has(key)) match.fields |= field;
  };
  mac("src_mac", datapath::kMatchSourceMac, match.source_mac);
  mac("dst_mac", datapath::kMatchDestinationMac, match.destination_mac);
  read_field(keys, "ethertype", 0xffff, datapath::kMatchEtherType, match.ether_type, match);
  read_protocol(keys, match);
  read_address(keys, "src", datapath::kMatchSourceIp, match.source_ip, match);
  read_address(keys, "dst", datapath::kMatchDestinationIp, match.destination_ip, match);
  read_field(keys, "sport", 0xffff, datapath::kMatchSourcePort, match.source_port, match);
  read_field(keys, "dport", 0xffff, datapath::kMatchDestinationPort, match.destination_port, match);
}

Result<FilterRule> read_filter(Keys keys, const QueueCounts& queues) {
  FilterRule rule;
  rule.where = keys.place();
  rule.text = keys.one_line();
  read_match(keys, rule.filter.match);
  std::string mode = "steal";
  constexpr std::string_view kModes[] = {"steal", "copy", "sniff"};
  keys.choice("mode", mode, kModes);
  rule.filter.mode = mode == "steal"  ? datapath::FilterMode::kSteal
                     : mode == "copy" ? datapath::FilterMode::kCopy
                                      : datapath::FilterMode::kSniff;
  bool drop = false;
  datapath::Destination& to = rule.filter.destination;
  keys.text("to_port", rule.to_port);
  keys.flag("to_host", rule.to_host);
  keys.number("to_queue", to.number, 0, static_cast<int64_t>(queues.seen) - 1);
  keys.flag("drop", drop);
  const bool to_queue = keys.has("to_queue");
  if (!rule.to_port.empty() + rule.to_host + to_queue + drop != 1)
    keys.fail("to_port", "a filter needs one of to_port = NAME, to_host = true, to_queue = NUMBER, drop = true");
  to.kind = to_queue ? datapath::DestinationKind::kQueue
            : drop   ? datapath::DestinationKind::kDrop
                     : datapath::DestinationKind::kPort;
  XNIC_TRY(keys.finish());
  if (auto alone = datapath::FilterTable::make({rule.filter}); !alone)
    return make_error(alone.error().kind, rule.where, "{}", alone.error().detail);
  return rule;
}

// Filters that cannot stand beside those before them; each one alone is good.
Result<void> check_together(const std::vector<FilterRule>& rules) {
  std::vector<datapath::Filter> filters;
  for (const FilterRule& rule : rules) filters.push_back(rule.filter);
  if (datapath::FilterTable::make(filters)) return {};
  for (size_t count = 1; count <= rules.size(); ++count) {
    auto some = datapath::FilterTable::make({filters.begin(), filters.begin() + static_cast<ptrdiff_t>(count)});
    if (!some) return make_error(some.error().kind, rules[count - 1].where, "{}", some.error().detail);
  }
  return {};
}

port::FaultRates read_rates(Keys& keys) {
  port::FaultRates rates;
  const auto share = [&](std::string_view key, uint32_t& target) { keys.number(key, target, 0, 1'000'000); };
  share("drop_ppm", rates.drop_ppm);
  share("duplicate_ppm", rates.duplicate_ppm);
  share("reorder_ppm", rates.reorder_ppm);
  share("corrupt_ppm", rates.corrupt_ppm);
  share("delay_ppm", rates.delay_ppm);
  share("stall_ppm", rates.stall_ppm);
  uint32_t delay_us = 1000, stall_us = 1000;
  keys.number("delay_us", delay_us, 1, 60'000'000);
  keys.number("stall_us", stall_us, 1, 60'000'000);
  rates.delay_ns = uint64_t{delay_us} * 1000;
  rates.stall_ns = uint64_t{stall_us} * 1000;
  const uint64_t together =
      uint64_t{rates.drop_ppm} + rates.duplicate_ppm + rates.reorder_ppm + rates.corrupt_ppm + rates.delay_ppm;
  if (together > 1'000'000)
    keys.fail("drop_ppm", "the faults of a frame exclude one another: a million together at most");
  return rates;
}

}  // namespace

Result<void> read_settings(Keys& keys, const QueueCounts& queues, PortSettings& settings) {
  if (const toml::table* table = keys.table("features")) {
    XNIC_ASSIGN(settings.features, read_features(keys.within(*table, "[features]")));
  }
  if (const toml::table* table = keys.table("rss")) {
    if (!queues.spread) keys.fail("rss", "needs rx_queues: without it the card spreads nothing");
    XNIC_ASSIGN(settings.rss, read_rss(keys.within(*table, "[rss]"), queues));
  }
  const std::vector<const toml::table*> tables = keys.tables("filter");
  if (!keys.has("filter")) return {};
  settings.filters.emplace();
  for (const toml::table* table : tables) {
    XNIC_ASSIGN(FilterRule rule, read_filter(keys.within(*table, "[[filter]]"), queues));
    settings.filters->push_back(std::move(rule));
  }
  return check_together(*settings.filters);
}

Result<void> read_faults(Keys& keys, std::optional<port::FaultOptions>& faults) {
  const toml::table* const table = keys.table("faults");
  if (table == nullptr) return {};
  Keys inner = keys.within(*table, "[faults]");
  faults.emplace();
  uint32_t seed = 1;
  inner.number("seed", seed, 0, UINT32_MAX);
  faults->seed = seed;
  for (const auto& [key, rates] : {std::pair{"receive", &faults->receive}, {"transmit", &faults->transmit}}) {
    const toml::table* const direction = inner.table(key);
    if (direction == nullptr) continue;
    Keys of_direction = inner.within(*direction, std::string("[faults.") + key + "]");
    *rates = read_rates(of_direction);
    XNIC_TRY(of_direction.finish());
  }
  return inner.finish();
}

Result<PortSettings> parse_settings(std::string_view text, const std::string& name, const QueueCounts& queues) {
  XNIC_ASSIGN(const toml::table table, parse_table(text, name));
  Keys keys(table, "what can be changed of a port", name);
  PortSettings settings;
  XNIC_TRY(read_settings(keys, queues, settings));
  XNIC_TRY(keys.finish());
  return settings;
}

Result<FilterRule> parse_filter(std::string_view text, const std::string& name, const QueueCounts& queues) {
  XNIC_ASSIGN(const toml::table table, parse_table(text, name));
  return read_filter(Keys(table, "a filter", name), queues);
}

}  // namespace xnic::nic::control
