// SPDX-License-Identifier: Apache-2.0
// The host with number i (from 1) has the MAC address 02:77:00:00:00:i, its port on the card 02:77:00:00:01:i. All
// hosts are neighbours of one another by their default route, whatever their addresses: what joins them is the card.
#include <arpa/inet.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <set>

#include "xnic/testnet.hpp"

namespace xnic::tools {

using base::ErrorKind;
using base::make_error;

namespace {

constexpr size_t kMostHosts = 250;

// Names go into those of interfaces (15 characters) and files.
bool is_name(const std::string& text, size_t longest) {
  return !text.empty() && text.size() <= longest && text[0] != '-' && std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
  });
}

struct Address {
  int family = 0;
  uint8_t bytes[16] = {};
  uint32_t length = 0;
  size_t size() const { return family == AF_INET ? 4 : 16; }
  std::string text() const {
    char text[INET6_ADDRSTRLEN] = "";
    inet_ntop(family, bytes, text, sizeof text);
    return fmt::format("{}/{}", text, length);
  }
};

base::Result<Address> parse_address(const std::string& text) {
  const size_t slash = text.find('/');
  Address address;
  address.family = text.find(':') == std::string::npos ? AF_INET : AF_INET6;
  const std::string length = slash == std::string::npos ? "" : text.substr(slash + 1);
  const bool digits =
      !length.empty() && length.size() <= 3 && std::ranges::all_of(length, [](char c) { return c >= '0' && c <= '9'; });
  if (digits) address.length = static_cast<uint32_t>(std::stoul(length));
  if (!digits || address.length > address.size() * 8 ||
      inet_pton(address.family, text.substr(0, slash).c_str(), address.bytes) != 1)
    return make_error(ErrorKind::kBadInput, text, "is no address with a length, as 10.0.0.1/24 or fd00::1/64");
  return address;
}

// The `number`th address after that of the prefix.
base::Result<std::string> nth(const std::string& prefix, size_t number) {
  XNIC_ASSIGN(Address address, parse_address(prefix));
  size_t carry = number;
  for (size_t i = address.size(); i-- > 0 && carry != 0; carry >>= 8) {
    carry += address.bytes[i];
    address.bytes[i] = static_cast<uint8_t>(carry);
  }
  const size_t bits = address.size() * 8 - address.length;
  if (bits < 16 && number >= size_t{1} << bits)
    return make_error(ErrorKind::kBadInput, prefix, "has no address for host {}", number);
  return address.text();
}

base::Result<TestnetPlan::Host> plan_host(const TestnetOptions& options, const std::string& text, size_t number) {
  TestnetPlan::Host host;
  const size_t equals = text.find('=');
  host.name = text.substr(0, equals);
  if (!is_name(host.name, 15) || host.name == "card" || host.name == "lo" || host.name == "all" ||
      host.name == "default")
    return make_error(
        ErrorKind::kBadInput, text,
        "a host's name has 1 to 15 small letters, digits, '-' or '_', and is not card, lo, all or default");
  host.space = options.net + "-" + host.name;
  if (equals == std::string::npos) {
    for (const std::string& prefix : {options.ipv4, options.ipv6}) {
      if (prefix.empty()) continue;
      XNIC_ASSIGN(std::string address, nth(prefix, number));
      host.addresses.push_back(std::move(address));
    }
  } else {
    for (size_t begin = equals + 1; begin <= text.size();) {
      const size_t end = std::min(text.find(',', begin), text.size());
      XNIC_ASSIGN(const Address address, parse_address(text.substr(begin, end - begin)));
      host.addresses.push_back(address.text());
      begin = end + 1;
    }
  }
  // Without duplicate address detection and automatic addresses: the network is quiet and ready at once.
  host.commands = "link set lo up\nlink set dev eth0 addrgenmode none up\n";
  host.commands += fmt::format("addr add fe80::{:x}/64 dev eth0 nodad\n", number);
  bool has_ipv4 = false, has_ipv6 = false;
  for (const std::string& address : host.addresses) {
    const bool is_ipv6 = address.find(':') != std::string::npos;
    (is_ipv6 ? has_ipv6 : has_ipv4) = true;
    host.commands += fmt::format("addr add {} dev eth0{}\n", address, is_ipv6 ? " nodad" : "");
  }
  if (has_ipv4) host.commands += "route add default dev eth0\n";
  if (has_ipv6) host.commands += "route add ::/0 dev eth0\n";
  return host;
}

}  // namespace

std::vector<std::string> TestnetPlan::spaces() const {
  std::vector<std::string> all = {card_space};
  for (const Host& host : hosts) all.push_back(host.space);
  return all;
}

base::Result<TestnetPlan> plan_testnet(const TestnetOptions& options) {
  if (!is_name(options.net, 32))
    return make_error(ErrorKind::kBadInput, options.net,
                      "a network's name has 1 to 32 small letters, digits, '-' or '_'");
  if (options.hosts.empty() || options.hosts.size() > kMostHosts)
    return make_error(ErrorKind::kBadInput, "--host", "{} hosts: there can be 1 to {}", options.hosts.size(),
                      kMostHosts);
  TestnetPlan plan;
  plan.card_space = options.net + "-card";
  plan.card_commands = "link set lo up\n";
  std::set<std::string> names;
  for (size_t i = 0; i < options.hosts.size(); ++i) {
    XNIC_ASSIGN(TestnetPlan::Host host, plan_host(options, options.hosts[i], i + 1));
    if (!names.insert(host.name).second) return make_error(ErrorKind::kBadInput, host.name, "is the name of two hosts");
    const std::string end =
        fmt::format("mtu {} numtxqueues {} numrxqueues {}", options.mtu, options.queues, options.queues);
    plan.links += fmt::format(
        "link add dev {} netns {} address 02:77:00:00:01:{:02x} {} type veth peer name eth0 netns {} address "
        "02:77:00:00:00:{:02x} {}\n",
        host.name, plan.card_space, i + 1, end, host.space, i + 1, end);
    plan.card_commands += fmt::format("link set dev {} addrgenmode none up\n", host.name);
    plan.id += fmt::format("{}={} ", host.name, fmt::join(host.addresses, ","));
    plan.hosts.push_back(std::move(host));
  }
  plan.id += fmt::format("mtu {} queues {}", options.mtu, options.queues);
  return plan;
}

}  // namespace xnic::tools
