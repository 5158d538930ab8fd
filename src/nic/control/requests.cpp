// SPDX-License-Identifier: Apache-2.0
// From a request to its answer. What a request may hold is looked up member by member and checked; what it holds
// beyond that is not looked at.
#include <nlohmann/json.hpp>

#include "exec/engine.hpp"
#include "nic/control/service.hpp"
#include "nic/control/trace_stream.hpp"

namespace xnic::nic::control {

using base::ErrorKind;
using base::make_error;
using base::Result;
using nlohmann::ordered_json;

Result<std::string> text_member(const ordered_json& request, const char* key, bool needed) {
  const auto member = request.find(key);
  if (member == request.end() && !needed) return std::string();
  if (member == request.end() || !member->is_string())
    return make_error(ErrorKind::kBadInput, "request", "\"{}\" needs to be a string", key);
  return member->get<std::string>();
}

Result<uint64_t> number_member(const ordered_json& request, const char* key, uint64_t otherwise, uint64_t max) {
  const auto member = request.find(key);
  if (member == request.end()) return otherwise;
  if (!member->is_number_unsigned() || member->get<uint64_t>() > max)
    return make_error(ErrorKind::kBadInput, "request", "\"{}\" needs to be a whole number from 0 to {}", key, max);
  return member->get<uint64_t>();
}

namespace {

constexpr std::string_view kRequests =
    "info, ports, add_port, remove_port, change_port, filters, add_filter, remove_filter, attach, detach, stats, "
    "trace, maps, "
    "map_dump, map_get, map_set, map_delete, map_watch, stop";

std::string mac_text(const port::MacAddress& mac) {
  return fmt::format("{:02x}:{:02x}:{:02x}:{:02x}:{:02x}:{:02x}", mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
}

ordered_json with_ok(ordered_json reply) {
  ordered_json all = {{"ok", true}};
  all.update(reply);
  return all;
}

Result<std::vector<std::string>> names_member(const ordered_json& request, const char* key) {
  std::vector<std::string> names;
  const auto member = request.find(key);
  if (member != request.end() && member->is_array())
    for (const ordered_json& name : *member)
      if (name.is_string()) names.push_back(name.get<std::string>());
  if (names.empty() || names.size() != member->size())
    return make_error(ErrorKind::kBadInput, "request", "\"{}\" needs to be a list of names", key);
  return names;
}

}  // namespace

Reply Service::handle(const Message& message, const Peer& peer) {
  std::lock_guard lock(mutex_);
  auto reply = answer(message, peer);
  if (reply) return std::move(*reply);
  log_(Level::kDebug,
       fmt::format("request of process {} (user {}) failed: {}", peer.pid, peer.uid, reply.error().message()));
  return {error_message(reply.error())};
}

Result<Reply> Service::answer(const Message& message, const Peer& peer) {
  XNIC_ASSIGN(const ordered_json request, parse_object(message.json));
  XNIC_ASSIGN(const std::string what, text_member(request, "request", true));
  // Requests that only look are told at debug level: monitoring asks every second.
  const bool changes = what == "add_port" || what == "remove_port" || what == "change_port" || what == "add_filter" ||
                       what == "remove_filter" || what == "attach" || what == "detach" || what == "map_set" ||
                       what == "map_delete" || what == "stop";
  if (changes || what == "trace")
    log_(Level::kInfo,
         fmt::format("{} asked for by process {}, user {}, group {}", what, peer.pid, peer.uid, peer.gid));
  if (what == "trace") return trace_request(request);
  if (what.starts_with("map_")) return map_request(what.substr(4), request);
  Result<ordered_json> reply = ordered_json::object();
  if (what == "info") {
    reply = ordered_json{{"pid", getpid()}, {"config", config_.file}, {"workers", card_->workers()}};
  } else if (what == "ports") {
    reply = ports_request();
  } else if (what == "add_port") {
    reply = add_port_request(request);
  } else if (what == "remove_port") {
    XNIC_ASSIGN(const std::string name, text_member(request, "port", true));
    XNIC_TRY(close_port(name));
  } else if (what == "change_port") {
    reply = change_port_request(request);
  } else if (what == "filters" || what == "add_filter" || what == "remove_filter") {
    reply = filter_request(what, request);
  } else if (what == "attach") {
    reply = attach_request(request, message.blob);
  } else if (what == "detach") {
    XNIC_ASSIGN(const std::string name, text_member(request, "port", true));
    XNIC_ASSIGN(Port* const port, find_port(name));
    XNIC_TRY(detach(*port));
  } else if (what == "stats") {
    reply = stats_json(stats());
  } else if (what == "maps") {
    reply = maps_request();
  } else if (what == "stop") {
    stop_wanted_ = true;
  } else {
    return make_error(ErrorKind::kBadInput, "request", "\"{}\" is none; there are: {}", what, kRequests);
  }
  if (!reply) return base::Unexpected(std::move(reply.error()));
  return Reply{{to_text(with_ok(std::move(*reply)))}};
}

Result<ordered_json> Service::ports_request() {
  ordered_json list = ordered_json::array();
  for (const auto& [name, port] : ports_) {
    const port::Info& info = port.port->info();
    const auto status = port.port->status();
    ordered_json entry = {
        {"name", name},    {"kind", info.kind},     {"ifindex", info.ifindex},   {"mac", mac_text(info.mac)},
        {"mtu", info.mtu}, {"queues", info.queues}, {"lossless", info.lossless}, {"up", status.has_value()}};
    if (!status) entry["error"] = status.error().message();
    if (!info.detail.empty()) entry["detail"] = info.detail;
    if (port.port->finished()) entry["finished"] = true;
    if (port.host != nullptr) entry["host"] = port.host->info().name;
    if (port.program != nullptr)
      entry["program"] = {{"file", port.object->file}, {"name", port.program->name}, {"engine", port.engine}};
    list.push_back(std::move(entry));
  }
  return ordered_json{{"ports", std::move(list)}};
}

Result<ordered_json> Service::add_port_request(const ordered_json& request) {
  XNIC_ASSIGN(const std::string text, text_member(request, "toml", true));
  XNIC_ASSIGN(const std::string name, text_member(request, "file", false));
  XNIC_ASSIGN(const std::string folder, text_member(request, "folder", false));
  XNIC_ASSIGN(PortConfig config, parse_port(text, name.empty() ? "port" : name, folder));
  if (!config.program.empty())
    return make_error(ErrorKind::kBadInput, config.where, "program: is not allowed here; attach it to the port after");
  const std::string opened = config.info.name;
  XNIC_ASSIGN(Port* const port, open_port(std::move(config)));
  if (auto applied = apply(*port, port->config.settings); !applied) {
    XNIC_TRY(close_port(opened));
    return base::Unexpected(std::move(applied.error()));
  }
  return ordered_json{{"ifindex", port->port->info().ifindex}};
}

Result<ordered_json> Service::attach_request(const ordered_json& request, base::Bytes elf) {
  XNIC_ASSIGN(const std::vector<std::string> names, names_member(request, "ports"));
  XNIC_ASSIGN(const std::string file, text_member(request, "file", true));
  XNIC_ASSIGN(const std::string program_name, text_member(request, "program", false));
  XNIC_ASSIGN(const std::string engine, text_member(request, "engine", false));
  if (!engine.empty() && (engine == "kernel" || exec::make_engine(engine) == nullptr))
    return make_error(ErrorKind::kBadInput, "engine", "there is no engine \"{}\" for traffic", engine);
  std::vector<Port*> ports;
  for (const std::string& name : names) {
    XNIC_ASSIGN(Port* const port, find_port(name));
    ports.push_back(port);
  }
  Fills fills;
  if (const auto maps = request.find("maps"); maps != request.end()) {
    if (!maps->is_object()) return make_error(ErrorKind::kBadInput, "request", "\"maps\" needs to be an object");
    for (const auto& [map, list] : maps->items()) fills.emplace_back(map, list);
  }
  XNIC_ASSIGN(const std::shared_ptr<LoadedObject> object, load(elf, file, program_name, fills));
  for (Port* const port : ports) XNIC_TRY(attach(*port, object, program_name, engine));
  return ordered_json{{"program", ports[0]->program->name}};
}

Result<Reply> Service::trace_request(const ordered_json& request) {
  if (tracing_.use_count() > 1)
    return make_error(ErrorKind::kLimit, "trace", "another trace is running: there is one at a time");
  XNIC_ASSIGN(const std::string name, text_member(request, "port", false));
  uint32_t ifindex = 0;
  if (!name.empty()) {
    XNIC_ASSIGN(const Port* const port, find_port(name));
    ifindex = port->port->info().ifindex;
  }
  XNIC_ASSIGN(const datapath::TraceOptions options, read_trace_options(request, ifindex));
  XNIC_ASSIGN(const uint64_t limit, number_member(request, "limit", 0, UINT64_MAX));
  XNIC_TRY(card_->set_trace(options));
  return Reply{{R"({"ok":true})"}, std::make_unique<TraceStream>(*this, tracing_, limit)};
}

}  // namespace xnic::nic::control
