// SPDX-License-Identifier: Apache-2.0
// Packets as they pass: records of the workers' trace rings become messages, {"time_ns", "port", "queue", "worker",
// "verdict", "bytes", …} with the packet's first bytes as the blob.
#include "nic/control/trace_stream.hpp"

#include <arpa/inet.h>

#include <nlohmann/json.hpp>

namespace xnic::nic::control {

using base::ErrorKind;
using base::make_error;
using base::Result;
using nlohmann::ordered_json;

namespace {

constexpr std::string_view kActions[] = {"aborted", "drop", "pass", "tx", "redirect"};
constexpr std::string_view kRedirects[] = {"", "interface", "devmap", "cpumap", "xskmap"};
constexpr size_t kReadAhead = 4096;

Message message_of(const datapath::TraceRecord& record, const std::string& port) {
  ordered_json json = {{"time_ns", record.time_ns},
                       {"port", port},
                       {"ifindex", record.ingress_ifindex},
                       {"queue", record.rx_queue},
                       {"worker", record.worker},
                       {"verdict", kActions[record.action]},
                       {"code", record.code},
                       {"bytes", record.packet_bytes}};
  if (record.action == arch::ebpf::kXdpRedirect)
    json["redirect"] = {{"by", kRedirects[static_cast<size_t>(record.redirect.kind)]},
                        {"target", record.redirect.target},
                        {"map", record.redirect.map_id}};
  return {to_text(json), {record.bytes.begin(), record.bytes.begin() + record.captured}};
}

Result<uint32_t> read_verdicts(const ordered_json& list) {
  uint32_t actions = 0;
  for (const ordered_json& name : list) {
    uint32_t bit = 0;
    for (size_t action = 0; action < std::size(kActions); ++action)
      if (name == kActions[action]) bit = 1u << action;
    if (bit == 0)
      return make_error(ErrorKind::kBadInput, "verdicts", "needs a list of: aborted, drop, pass, tx, redirect");
    actions |= bit;
  }
  return actions;
}

// An IPv4 or IPv6 address; all addresses of a match are of one version.
Result<void> read_address(const ordered_json& request, const char* key, datapath::Field field,
                          std::array<uint8_t, 16>& target, datapath::Match& match) {
  XNIC_ASSIGN(const std::string text, text_member(request, key, false));
  if (text.empty()) return {};
  const uint8_t version = text.find(':') == text.npos ? 4 : 6;
  if (inet_pton(version == 4 ? AF_INET : AF_INET6, text.c_str(), target.data()) != 1)
    return make_error(ErrorKind::kBadInput, key, "\"{}\" is no IP address", text);
  const bool other = (match.fields & (datapath::kMatchSourceIp | datapath::kMatchDestinationIp)) != 0;
  if (other && match.version != version)
    return make_error(ErrorKind::kBadInput, key, "source and destination are of different IP versions");
  match.version = version;
  match.fields |= field;
  return {};
}

template <class T>
Result<void> read_field(const ordered_json& request, const char* key, uint64_t max, datapath::Field field, T& target,
                        datapath::Match& match) {
  if (!request.contains(key)) return {};
  XNIC_ASSIGN(const uint64_t value, number_member(request, key, 0, max));
  target = static_cast<T>(value);
  match.fields |= field;
  return {};
}

}  // namespace

Result<datapath::TraceOptions> read_trace_options(const ordered_json& request, uint32_t ifindex) {
  datapath::TraceOptions options;
  options.ifindex = ifindex;
  if (const auto verdicts = request.find("verdicts"); verdicts != request.end()) {
    XNIC_ASSIGN(options.actions, read_verdicts(*verdicts));
  }
  XNIC_ASSIGN(const uint64_t snap, number_member(request, "snap", datapath::kTraceBytes, datapath::kTraceBytes));
  options.snap_bytes = static_cast<uint32_t>(snap);
  datapath::Match& match = options.match;
  XNIC_TRY(read_address(request, "src", datapath::kMatchSourceIp, match.source_ip, match));
  XNIC_TRY(read_address(request, "dst", datapath::kMatchDestinationIp, match.destination_ip, match));
  XNIC_TRY(read_field(request, "sport", 65535, datapath::kMatchSourcePort, match.source_port, match));
  XNIC_TRY(read_field(request, "dport", 65535, datapath::kMatchDestinationPort, match.destination_port, match));
  XNIC_TRY(read_field(request, "protocol", 255, datapath::kMatchProtocol, match.protocol, match));
  XNIC_TRY(read_field(request, "ethertype", 65535, datapath::kMatchEtherType, match.ether_type, match));
  XNIC_TRY(read_field(request, "vlan", 4094, datapath::kMatchVlan, match.vlan, match));
  return options;
}

TraceStream::~TraceStream() {
  // Switching off cannot fail: there is no match to refuse.
  if (const auto off = service_.card_->set_trace(std::nullopt); !off) return;
  service_.card_->read_trace([](const datapath::TraceRecord&) {});
}

std::optional<Message> TraceStream::next() {
  if (left_ == 0) return std::nullopt;
  if (ready_.empty()) {
    std::lock_guard lock(service_.mutex_);
    std::map<uint32_t, std::string> names;
    for (const auto& [name, port] : service_.ports_) names[port.port->info().ifindex] = name;
    service_.card_->read_trace([&](const datapath::TraceRecord& record) {
      if (ready_.size() < std::min<uint64_t>(kReadAhead, left_))
        ready_.push_back(message_of(record, names[record.ingress_ifindex]));
    });
  }
  if (ready_.empty()) return std::nullopt;
  Message message = std::move(ready_.front());
  ready_.pop_front();
  --left_;
  return message;
}

}  // namespace xnic::nic::control
