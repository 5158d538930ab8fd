// SPDX-License-Identifier: Apache-2.0
// A table's keys. The names that were asked for are remembered, so the list of allowed keys in an error is never out of
// date.
#include "nic/control/keys.hpp"

#include <fmt/ranges.h>

#include <algorithm>
#include <bit>

namespace xnic::nic::control {

using base::ErrorKind;

const toml::node* Keys::find(std::string_view key) {
  known_.emplace_back(key);
  return table_.get(key);
}

std::string Keys::place(const toml::node& node) const { return fmt::format("{}:{}", file_, node.source().begin.line); }

void Keys::fail(std::string_view key, std::string detail) {
  if (error_) return;
  const toml::node* node = table_.get(key);
  error_ = {ErrorKind::kBadInput, place(node != nullptr ? *node : table_), fmt::format("{}: {}", key, detail)};
}

void Keys::wrong(std::string_view key, const std::string& allowed) { fail(key, "allowed is " + allowed); }

void Keys::text(std::string_view key, std::string& target) {
  const toml::node* node = find(key);
  if (node == nullptr) return;
  const auto value = node->value_exact<std::string>();
  if (!value || value->empty() || value->find('\0') != std::string::npos)
    return wrong(key, "a string in quotes that is not empty");
  target = *value;
}

void Keys::choice(std::string_view key, std::string& target, std::span<const std::string_view> allowed) {
  const toml::node* node = find(key);
  if (node == nullptr) return;
  const auto value = node->value_exact<std::string>();
  if (!value || std::ranges::find(allowed, *value) == allowed.end())
    return wrong(key, fmt::format("one of \"{}\"", fmt::join(allowed, "\", \"")));
  target = *value;
}

void Keys::flag(std::string_view key, bool& target) {
  const toml::node* node = find(key);
  if (node == nullptr) return;
  const auto value = node->value_exact<bool>();
  if (!value) return wrong(key, "true or false");
  target = *value;
}

std::optional<int64_t> Keys::integer(std::string_view key, int64_t min, int64_t max) {
  const toml::node* node = find(key);
  if (node == nullptr) return std::nullopt;
  const auto value = node->value_exact<int64_t>();
  if (value && *value >= min && *value <= max) return value;
  wrong(key, fmt::format("a whole number from {} to {}", min, max));
  return std::nullopt;
}

void Keys::number(std::string_view key, uint32_t& target, int64_t min, int64_t max) {
  if (const auto value = integer(key, min, max)) target = static_cast<uint32_t>(*value);
}

void Keys::power_of_two(std::string_view key, uint32_t& target, int64_t min, int64_t max) {
  const auto value = integer(key, min, max);
  if (!value) return;
  if (!std::has_single_bit(static_cast<uint64_t>(*value)))
    return fail(key, fmt::format("allowed is a power of two from {} to {}", min, max));
  target = static_cast<uint32_t>(*value);
}

void Keys::numbers(std::string_view key, std::vector<int>& target, int64_t min, int64_t max) {
  const toml::node* node = find(key);
  if (node == nullptr) return;
  const std::string allowed = fmt::format("a list of whole numbers from {} to {}", min, max);
  const toml::array* list = node->as_array();
  if (list == nullptr) return wrong(key, allowed);
  std::vector<int> values;
  for (const toml::node& element : *list) {
    const auto value = element.value_exact<int64_t>();
    if (!value || *value < min || *value > max) return wrong(key, allowed);
    values.push_back(static_cast<int>(*value));
  }
  target = std::move(values);
}

void Keys::choices(std::string_view key, std::vector<std::string>& target, std::span<const std::string_view> allowed) {
  const toml::node* node = find(key);
  if (node == nullptr) return;
  const std::string list = fmt::format("a list of \"{}\"", fmt::join(allowed, "\", \""));
  if (!node->is_array()) return wrong(key, list);
  for (const toml::node& element : *node->as_array()) {
    const auto value = element.value_exact<std::string>();
    if (!value || std::ranges::find(allowed, *value) == allowed.end()) return wrong(key, list);
    target.push_back(*value);
  }
}

bool Keys::number_or_word(std::string_view key, uint32_t& number, int64_t min, int64_t max,
                          std::span<const std::string_view> words, std::string& word) {
  const toml::node* node = find(key);
  if (node == nullptr) return false;
  const auto value = node->value_exact<int64_t>();
  if (value && *value >= min && *value <= max) {
    number = static_cast<uint32_t>(*value);
    return true;
  }
  const auto text = node->value_exact<std::string>();
  if (text && std::ranges::find(words, *text) != words.end())
    word = *text;
  else
    wrong(key, fmt::format("a whole number from {} to {}, or one of \"{}\"", min, max, fmt::join(words, "\", \"")));
  return false;
}

void Keys::mac(std::string_view key, port::MacAddress& target, bool group) {
  std::string given;
  text(key, given);
  if (given.empty()) return;
  unsigned bytes[6] = {};
  char end = 0;
  const bool good = given.size() == 17 && std::sscanf(given.c_str(), "%2x:%2x:%2x:%2x:%2x:%2x%c", &bytes[0], &bytes[1],
                                                      &bytes[2], &bytes[3], &bytes[4], &bytes[5], &end) == 6;
  if (!good || (!group && (bytes[0] & 1) != 0))
    return fail(key, group ? "allowed is a MAC address, such as \"02:00:00:00:00:01\""
                           : "allowed is the address of one station, such as \"02:00:00:00:00:01\"");
  std::copy_n(bytes, 6, target.begin());
}

const toml::table* Keys::table(std::string_view key) {
  const toml::node* node = find(key);
  if (node != nullptr && !node->is_table()) wrong(key, "a table");
  return node == nullptr ? nullptr : node->as_table();
}

std::vector<const toml::table*> Keys::tables(std::string_view key) {
  std::vector<const toml::table*> list;
  const toml::node* node = find(key);
  if (node == nullptr) return list;
  const toml::array* const all = node->as_array();
  if (all == nullptr || !(all->empty() || all->is_array_of_tables())) {
    wrong(key, "a list of tables");
    return list;
  }
  for (const toml::node& element : *all) list.push_back(element.as_table());
  return list;
}

std::string Keys::one_line() const {
  std::vector<std::pair<toml::source_position, std::string>> parts;
  for (const auto& [key, node] : table_) {
    std::string value;
    if (const auto text = node.value_exact<std::string>()) value = *text;
    if (const auto number = node.value_exact<int64_t>()) value = std::to_string(*number);
    if (const auto flag = node.value_exact<bool>()) value = *flag ? "true" : "false";
    parts.emplace_back(node.source().begin, fmt::format("{}={}", key.str(), value));
  }
  std::ranges::sort(parts, {}, [](const auto& part) { return std::pair(part.first.line, part.first.column); });
  std::string line;
  for (const auto& [where, text] : parts) line += (line.empty() ? "" : " ") + text;
  return line;
}

base::Result<toml::table> parse_table(std::string_view text, const std::string& name) {
  toml::parse_result parsed = toml::parse(text);
  if (parsed) return std::move(parsed).table();
  return base::make_error(ErrorKind::kBadInput, fmt::format("{}:{}", name, parsed.error().source().begin.line),
                          "is no TOML: {}", parsed.error().description());
}

void Keys::path(std::string_view key, std::string& target, const std::string& folder) {
  std::string given;
  text(key, given);
  if (!given.empty()) target = given.starts_with('/') || folder.empty() ? given : folder + "/" + given;
}

void Keys::texts(std::string_view key, std::vector<std::pair<std::string, std::string>>& target) {
  const toml::node* node = find(key);
  if (node == nullptr) return;
  const toml::table* table = node->as_table();
  if (table == nullptr) return wrong(key, "a table of NAME = \"string\"");
  for (const auto& [name, element] : *table) {
    const auto value = element.value_exact<std::string>();
    if (!value || value->empty()) return wrong(key, "a table of NAME = \"string\"");
    target.emplace_back(std::string(name.str()), *value);
  }
}

base::Result<void> Keys::finish() {
  for (const auto& [key, node] : table_) {
    if (std::ranges::find(known_, key.str()) != known_.end()) continue;
    const std::string unknown =
        fmt::format("{} has no key \"{}\"; allowed are {}", what_, key.str(), fmt::join(known_, ", "));
    // Of several errors, an unknown key counts first: a value may be missing because its name has a typing error.
    return base::Unexpected(base::Error{ErrorKind::kBadInput, place(node), unknown});
  }
  if (error_) return base::Unexpected(std::move(*error_));
  return {};
}

}  // namespace xnic::nic::control
