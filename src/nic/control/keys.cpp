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
