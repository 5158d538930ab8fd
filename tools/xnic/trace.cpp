// SPDX-License-Identifier: Apache-2.0
// `xnic trace`: packets as they pass, a line each, or as a capture.
#include <arpa/inet.h>

#include <charconv>
#include <cstdio>
#include <ctime>
#include <nlohmann/json.hpp>
#include <optional>

#include "nic/control/client.hpp"
#include "nic/datapath/headers.hpp"
#include "nic/port/pcap.hpp"
#include "xnic/command.hpp"
#include "xnic/daemon.hpp"

namespace xnic::tools {

using base::ErrorKind;
using base::make_error;
using base::Result;
using nlohmann::ordered_json;

namespace {

constexpr std::pair<std::string_view, uint32_t> kProtocols[] = {{"icmp", 1}, {"tcp", 6}, {"udp", 17}, {"icmp6", 58}};

Result<uint64_t> number(const std::string& key, const std::string& text) {
  const bool hex = text.starts_with("0x");
  uint64_t value = 0;
  const char* const end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data() + (hex ? 2 : 0), end, value, hex ? 16 : 10);
  if (parsed.ec != std::errc() || parsed.ptr != end)
    return make_error(ErrorKind::kBadInput, "--filter " + key, "\"{}\" is not a number", text);
  return value;
}

// --filter KEY=VALUE as members of the request.
Result<void> add_filter(const std::string& filter, ordered_json& request) {
  const size_t equals = filter.find('=');
  const std::string key = filter.substr(0, equals);
  const std::string value = equals == filter.npos ? "" : filter.substr(equals + 1);
  if (value.empty()) return make_error(ErrorKind::kBadInput, "--filter " + filter, "needs KEY=VALUE");
  if (key == "port" || key == "src" || key == "dst") {
    request[key] = value;
  } else if (key == "verdict") {
    for (size_t begin = 0; begin <= value.size();) {
      const size_t end = std::min(value.find(',', begin), value.size());
      request["verdicts"].push_back(value.substr(begin, end - begin));
      begin = end + 1;
    }
  } else if (key == "sport" || key == "dport" || key == "protocol" || key == "ethertype" || key == "vlan") {
    if (key == "protocol")
      for (const auto& [name, code] : kProtocols)
        if (name == value) return request[key] = code, Result<void>();
    XNIC_ASSIGN(request[key], number(key, value));
  } else {
    return make_error(ErrorKind::kBadInput, "--filter " + filter,
                      "there are port, verdict, src, dst, sport, dport, protocol, ethertype, vlan");
  }
  return {};
}

// "10.0.0.1:53 > 10.0.0.2:4000 udp", or what there is of it.
std::string summary(base::Bytes bytes) {
  if (bytes.size() < exec::packet::kMinFrameBytes) return "";
  exec::packet::Packet packet;
  packet.assign(bytes);
  const nic::datapath::Headers headers = nic::datapath::read_headers(packet);
  if (headers.version == 0) return fmt::format("ethertype 0x{:04x}", headers.ether_type);
  const uint8_t* const at = packet.data + headers.network_at;
  const auto address = [&](bool source) {
    char text[INET6_ADDRSTRLEN] = "";
    const size_t offset = headers.version == 4 ? (source ? 12 : 16) : (source ? 8 : 24);
    inet_ntop(headers.version == 4 ? AF_INET : AF_INET6, at + offset, text, sizeof text);
    if (!headers.ports) return std::string(text);
    const auto port = base::load_be<uint16_t>(packet.data + headers.transport_at + (source ? 0 : 2));
    return headers.version == 4 ? fmt::format("{}:{}", text, port) : fmt::format("[{}]:{}", text, port);
  };
  std::string protocol = std::to_string(headers.protocol);
  for (const auto& [name, code] : kProtocols)
    if (code == headers.protocol) protocol = name;
  return fmt::format("{} > {} {}", address(true), address(false), protocol);
}

// From the clock of the card, which counts from the machine's start, to the time of day.
uint64_t time_of_day_offset_ns() {
  const auto now = [](clockid_t clock) {
    timespec time{};
    clock_gettime(clock, &time);
    return static_cast<uint64_t>(time.tv_sec) * 1'000'000'000u + static_cast<uint64_t>(time.tv_nsec);
  };
  return now(CLOCK_REALTIME) - now(CLOCK_MONOTONIC);
}

void print(const ordered_json& record, const nic::control::Message& message, uint64_t time_ns) {
  const auto seconds = static_cast<time_t>(time_ns / 1'000'000'000);
  tm parts{};
  localtime_r(&seconds, &parts);
  std::string redirect;
  if (record.contains("redirect"))
    redirect = fmt::format(" {}:{}", record["redirect"]["by"].get<std::string>(),
                           record["redirect"]["target"].get<uint32_t>());
  std::printf("%02d:%02d:%02d.%06lu %s/%u %s%s %u bytes %s\n", parts.tm_hour, parts.tm_min, parts.tm_sec,
              time_ns % 1'000'000'000 / 1000, record["port"].get<std::string>().c_str(),
              record["queue"].get<uint32_t>(), record["verdict"].get<std::string>().c_str(), redirect.c_str(),
              record["bytes"].get<uint32_t>(), summary(message.blob).c_str());
  std::fflush(stdout);
}

Result<int> run_trace(const DaemonOptions& options) {
  ordered_json request = {{"request", "trace"}, {"limit", options.limit}};
  for (const std::string& filter : options.filters) XNIC_TRY(add_filter(filter, request));
  std::optional<nic::port::PcapngWriter> writer;
  if (!options.out.empty()) {
    XNIC_ASSIGN(writer, nic::port::PcapngWriter::create(options.out));
  }
  XNIC_ASSIGN(nic::control::Client client, nic::control::Client::connect(socket_of(options)));
  XNIC_TRY(client.call(request));
  const volatile int& interrupted = until_interrupted();
  const uint64_t offset_ns = time_of_day_offset_ns();
  while (interrupted == 0) {
    XNIC_ASSIGN(const auto message, client.next(200));
    if (!message) break;
    if (message->json.empty()) continue;
    XNIC_ASSIGN(const ordered_json record, nic::control::parse_object(message->json));
    const uint64_t time_ns = record.at("time_ns").get<uint64_t>() + offset_ns;
    if (writer)
      XNIC_TRY(writer->write(message->blob, time_ns, record.at("code").get<uint32_t>(),
                             record.at("port").get<std::string>() + ": " + record.at("verdict").get<std::string>()));
    if (options.json)
      std::printf("%s\n", message->json.c_str());
    else if (!writer)
      print(record, *message, time_ns);
  }
  if (writer) XNIC_TRY(writer->close());
  return kExitOk;
}

}  // namespace

int trace(const DaemonOptions& options) {
  const auto result = run_trace(options);
  return result ? *result : report(result.error());
}

}  // namespace xnic::tools
