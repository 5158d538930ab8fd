// SPDX-License-Identifier: Apache-2.0
// Bringing a case onto the card.
#include "program_case.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "arch/ebpf/map_types.hpp"

namespace xnic::tests {

using base::ErrorKind;
using base::make_error;
using base::Result;
using nlohmann::ordered_json;

namespace {

bool is_global_data(const std::string& map) { return map == ".rodata" || map == ".data" || map == ".bss"; }

// The whole value as bpf(2) carries it: for per-CPU maps the given bytes for every CPU.
std::vector<uint8_t> host_value(exec::maps::Map& map, const std::vector<uint8_t>& value) {
  if (!arch::ebpf::is_percpu(map.spec().type)) return value;
  std::vector<uint8_t> all(map.host_value_bytes());
  const size_t stride = all.size() / map.cpus();
  for (uint32_t cpu = 0; cpu < map.cpus(); ++cpu)
    std::copy(value.begin(), value.end(), all.begin() + ptrdiff_t(cpu * stride));
  return all;
}

Result<void> fill(const device::Object& object, const ordered_json& maps) {
  for (const auto& [name, entries] : maps.items()) {
    if (is_global_data(name)) continue;  // set before loading
    const device::ObjectMap* map = object.find_map(name);
    if (map == nullptr) return make_error(ErrorKind::kBadInput, name, "no such map");
    for (const auto& entry : entries) {
      const auto key = from_hex(entry["key"]);
      const auto value = host_value(*map->map, from_hex(entry["value"]));
      const int error =
          key.empty() ? map->map->push(value.data(), 0) : map->map->host_update(key.data(), value.data(), 0);
      if (error != 0) return make_error(ErrorKind::kBadInput, name, "update failed: {}", error);
    }
  }
  return {};
}

}  // namespace

std::vector<uint8_t> from_hex(const std::string& text) {
  std::vector<uint8_t> bytes;
  for (size_t i = 0; i + 1 < text.size(); i += 2)
    bytes.push_back(static_cast<uint8_t>(std::stoul(text.substr(i, 2), nullptr, 16)));
  return bytes;
}

uint32_t verdict_code(const std::string& name) {
  static const char* const names[] = {"XDP_ABORTED", "XDP_DROP", "XDP_PASS", "XDP_TX", "XDP_REDIRECT"};
  const auto* at = std::find(std::begin(names), std::end(names), name);
  if (at == std::end(names)) throw std::runtime_error("unknown verdict " + name);
  return static_cast<uint32_t>(at - std::begin(names));
}

Result<device::Object> load_case(device::Device& device, const std::filesystem::path& path, const ordered_json& test) {
  device::LoadOptions options;
  const ordered_json maps = test.value("maps", ordered_json::object());
  options.set_global_data = [&](const device::GlobalData& data) -> Result<void> {
    if (!maps.contains(data.name)) return {};
    const auto value = from_hex(maps[data.name][0]["value"]);
    if (value.size() != data.value.size()) return make_error(ErrorKind::kBadInput, data.name, "wrong size in the case");
    std::copy(value.begin(), value.end(), data.value.begin());
    return {};
  };
  XNIC_ASSIGN(auto object, device::Object::load(device, path.string(), options));
  XNIC_TRY(fill(object, maps));
  return object;
}

exec::packet::Packet packet_of(const ordered_json& test, size_t least_bytes) {
  auto frame = from_hex(test["packet"]);
  frame.resize(std::max(frame.size(), least_bytes));
  exec::packet::Packet packet;
  packet.assign(frame);
  packet.ingress_ifindex = test.value("ingress_ifindex", 1u);
  packet.rx_queue = test.value("rx_queue", 0u);
  return packet;
}

}  // namespace xnic::tests
