// SPDX-License-Identifier: Apache-2.0
// Addresses are compared as 16 bytes, IPv4 in its mapped form, so that an IPv6 socket that speaks IPv4 meets the same
// rules.
#include "transport/preload/policy.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <charconv>
#include <cstring>
#include <sstream>

namespace xnic::transport::preload {

using base::ErrorKind;
using base::make_error;

namespace {

using Bytes16 = std::array<uint8_t, 16>;
constexpr Bytes16 kMappedPrefix = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
constexpr int kMappedBits = 96;

Bytes16 mapped(const void* v4) {
  Bytes16 bytes = kMappedPrefix;
  std::memcpy(bytes.data() + 12, v4, 4);
  return bytes;
}

bool matches(const Bytes16& address, const Bytes16& prefix, int bits) {
  for (int i = 0; i < bits; ++i) {
    const int mask = 0x80 >> (i % 8);
    if ((address[i / 8] & mask) != (prefix[i / 8] & mask)) return false;
  }
  return true;
}

template <class Number>
bool number(std::string_view text, Number& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}

bool read_prefix(const std::string& text, Rule& rule) {
  const size_t slash = text.find('/');
  const std::string address = text.substr(0, slash);
  in_addr v4;
  in6_addr v6;
  int bits = 128;
  if (inet_pton(AF_INET, address.c_str(), &v4) == 1) {
    rule.prefix = mapped(&v4);
    bits = 32;
  } else if (inet_pton(AF_INET6, address.c_str(), &v6) == 1) {
    std::memcpy(rule.prefix.data(), &v6, sizeof v6);
  } else {
    return false;
  }
  int length = bits;
  if (slash != std::string::npos &&
      (!number(std::string_view(text).substr(slash + 1), length) || length < 0 || length > bits))
    return false;
  rule.prefix_bits = static_cast<uint8_t>(length + (bits == 32 ? kMappedBits : 0));
  rule.any_address = false;
  return true;
}

bool read_ports(std::string_view text, Rule& rule) {
  const size_t dash = text.find('-');
  if (!number(text.substr(0, dash), rule.first_port)) return false;
  rule.last_port = rule.first_port;
  return dash == std::string_view::npos ||
         (number(text.substr(dash + 1), rule.last_port) && rule.last_port >= rule.first_port);
}

base::Result<Rule> read_rule(const std::string& text) {
  std::istringstream words(text);
  Rule rule;
  std::string word;
  words >> word;
  if (word != "offload" && word != "kernel")
    return make_error(ErrorKind::kBadInput, "offload policy", "a rule begins with offload or kernel, not '{}'", word);
  rule.offload = word == "offload";
  while (words >> word) {
    if (word == "connect") {
      rule.for_listen = false;
    } else if (word == "listen") {
      rule.for_connect = false;
    } else if (word == "port") {
      if (!(words >> word) || !read_ports(word, rule))
        return make_error(ErrorKind::kBadInput, "offload policy", "'{}' is no port and no range of ports", word);
    } else if (!read_prefix(word, rule)) {
      return make_error(ErrorKind::kBadInput, "offload policy", "'{}' is no prefix", word);
    }
  }
  if (!rule.for_connect && !rule.for_listen)
    return make_error(ErrorKind::kBadInput, "offload policy", "'{}' is for nothing: connect and listen", text);
  return rule;
}

// Addresses that mean this host, or this link, are other ones at the agent.
bool stays_here(const Bytes16& a) {
  if (matches(a, kMappedPrefix, kMappedBits)) return a[12] == 127 || a[12] >= 224 || (a[12] == 169 && a[13] == 254);
  const Bytes16 loopback = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
  return a == loopback || a[0] == 0xff || (a[0] == 0xfe && (a[1] & 0xc0) == 0x80);
}

}  // namespace

base::Result<Policy> Policy::parse(std::string_view text) {
  Policy policy;
  while (!text.empty()) {
    const size_t end = text.find(';');
    const std::string one(text.substr(0, end));
    text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
    if (one.find_first_not_of(" \t\n") == std::string::npos) continue;
    XNIC_ASSIGN(const Rule rule, read_rule(one));
    policy.rules_.push_back(rule);
  }
  return policy;
}

bool Policy::offloads(Use use, const sockaddr* address) const {
  Bytes16 bytes{};
  uint16_t port = 0;
  if (address->sa_family == AF_INET) {
    const auto* v4 = reinterpret_cast<const sockaddr_in*>(address);
    bytes = mapped(&v4->sin_addr);
    port = ntohs(v4->sin_port);
  } else if (address->sa_family == AF_INET6) {
    const auto* v6 = reinterpret_cast<const sockaddr_in6*>(address);
    std::memcpy(bytes.data(), &v6->sin6_addr, bytes.size());
    port = ntohs(v6->sin6_port);
  } else {
    return false;
  }
  if (stays_here(bytes)) return false;
  for (const Rule& rule : rules_) {
    if (use == Use::kConnect ? !rule.for_connect : !rule.for_listen) continue;
    if (!rule.any_address && !matches(bytes, rule.prefix, rule.prefix_bits)) continue;
    if (port < rule.first_port || port > rule.last_port) continue;
    return rule.offload;
  }
  return true;
}

}  // namespace xnic::transport::preload
