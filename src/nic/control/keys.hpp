// SPDX-License-Identifier: Apache-2.0
// Reading one TOML table key by key, with errors that name file and line. Internal to this folder.
#pragma once

// The library as headers, without exceptions: errors are values here.
#define TOML_HEADER_ONLY 1
#define TOML_EXCEPTIONS 0
#define TOML_ENABLE_FORMATTERS 0
#include <toml++/toml.h>

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "nic/port/port.hpp"

namespace xnic::nic::control {

// Every getter leaves its target alone when the key is absent. The first error stays; finish() tells it, or that there
// is a key that nobody asked for.
class Keys {
 public:
  // `what` names the table in errors, `file` the file.
  Keys(const toml::table& table, std::string what, std::string file)
      : table_(table), what_(std::move(what)), file_(std::move(file)) {}

  void text(std::string_view key, std::string& target);
  void choice(std::string_view key, std::string& target, std::span<const std::string_view> allowed);
  void flag(std::string_view key, bool& target);
  void number(std::string_view key, uint32_t& target, int64_t min, int64_t max);
  void power_of_two(std::string_view key, uint32_t& target, int64_t min, int64_t max);
  void numbers(std::string_view key, std::vector<int>& target, int64_t min, int64_t max);
  // Strings out of `allowed`.
  void choices(std::string_view key, std::vector<std::string>& target, std::span<const std::string_view> allowed);
  // Either a number (then true) or one of `words`.
  bool number_or_word(std::string_view key, uint32_t& number, int64_t min, int64_t max,
                      std::span<const std::string_view> words, std::string& word);
  // "02:00:00:00:00:01"; group addresses where `group` says so.
  void mac(std::string_view key, port::MacAddress& target, bool group);
  // A path, from the root or from `folder`.
  void path(std::string_view key, std::string& target, const std::string& folder);
  // A table of strings, in the order of the file.
  void texts(std::string_view key, std::vector<std::pair<std::string, std::string>>& target);

  // Tables inside this one, to be read by Keys of their own, which within() makes.
  const toml::table* table(std::string_view key);
  std::vector<const toml::table*> tables(std::string_view key);
  Keys within(const toml::table& table, std::string what) const { return {table, std::move(what), file_}; }
  // Allows a key whose value is not looked at.
  void known(std::string_view key) { find(key); }
  // All of the table as KEY=VALUE ..., in the order of the file.
  std::string one_line() const;

  bool has(std::string_view key) const { return table_.contains(key); }
  // An error about a key's value, or about the table where the key is absent.
  void fail(std::string_view key, std::string detail);
  base::Result<void> finish();
  // "FILE:LINE" of a node.
  std::string place(const toml::node& node) const;
  std::string place() const { return place(table_); }

 private:
  const toml::node* find(std::string_view key);
  std::optional<int64_t> integer(std::string_view key, int64_t min, int64_t max);
  void wrong(std::string_view key, const std::string& allowed);

  const toml::table& table_;
  std::string what_, file_;
  std::vector<std::string> known_;
  std::optional<base::Error> error_;
};

// The table that a whole text is. Errors: kBadInput with the line.
base::Result<toml::table> parse_table(std::string_view text, const std::string& name);

}  // namespace xnic::nic::control
