// SPDX-License-Identifier: Apache-2.0
// One behaviour case of tests/programs/*.json: its program loaded with its maps, and its packet. The format is in
// README.md.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "device/object.hpp"

namespace xnic::tests {

// Pre: `text` is hex, two digits a byte.
std::vector<uint8_t> from_hex(const std::string& text);
// Pre: `name` is XDP_ABORTED, XDP_DROP, XDP_PASS, XDP_TX or XDP_REDIRECT; else throws.
uint32_t verdict_code(const std::string& name);

// Loads the object with the case's global data and fills its maps.
base::Result<device::Object> load_case(device::Device& device, const std::filesystem::path& object,
                                       const nlohmann::ordered_json& test);

// The case's frame, with its interface and queue, padded with zeros to `least_bytes` as a sender would.
exec::packet::Packet packet_of(const nlohmann::ordered_json& test, size_t least_bytes = 0);

}  // namespace xnic::tests
