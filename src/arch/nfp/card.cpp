// SPDX-License-Identifier: Apache-2.0
// The open firmware's line has every figure from its source. Of the closed line the helpers are known from the driver
// and from programs that ran on it; its limits are taken to be the open one's.
#include "arch/nfp/card.hpp"

#include <algorithm>
#include <array>

namespace xnic::arch::nfp {
namespace {

constexpr std::array kBoards = {
    Board{"cx-2x10", "Agilio CX 2x10GbE", 633, 20},      Board{"cx-2x25", "Agilio CX 2x25GbE", 800, 50},
    Board{"cx-1x40", "Agilio CX 1x40GbE", 800, 40},      Board{"cx-2x40", "Agilio CX 2x40GbE", 800, 80},
    Board{"ocp-1x50", "Agilio CX 1x50GbE OCP", 500, 50}, Board{"lx-2x40", "Agilio LX 2x40GbE", 1200, 80},
    Board{"lx-1x100", "Agilio LX 1x100GbE", 1200, 100},
};

constexpr Firmware kCoreNic = {
    .name = "corenic",
    .description = "open CoreNIC firmware",
    .map_lookup = true,
    .map_update = false,
    .map_delete = false,
    .perf_event_output = false,
    .adjust_head = AdjustHead{44, 248, 84, 112},
    .random = true,
    .queue_select = true,
    .adjust_tail = true,
    .array_maps = true,
    .hash_maps = true,
    .max_maps = 127,
    .max_elements = 2'048'000,
    .max_key_bytes = 56,
    .max_value_bytes = 56,
    .max_element_bytes = 64,
    .max_insns = 2560,
    .stack_bytes = 512,
    .inline_bytes = 30 * 64 - 32,
};

constexpr Firmware with_all_helpers(Firmware firmware) {
  firmware.name = "ebpf";
  firmware.description = "closed eBPF firmware (bpf-2.0.6 line)";
  firmware.map_update = firmware.map_delete = firmware.perf_event_output = true;
  return firmware;
}

constexpr std::array kFirmwares = {kCoreNic, with_all_helpers(kCoreNic)};

template <class Table>
auto find(const Table& table, std::string_view name) -> decltype(table.data()) {
  const auto at = std::find_if(table.begin(), table.end(), [&](const auto& entry) { return entry.name == name; });
  return at == table.end() ? nullptr : &*at;
}

}  // namespace

std::span<const Board> boards() { return kBoards; }
const Board* find_board(std::string_view name) { return find(kBoards, name); }
std::span<const Firmware> firmwares() { return kFirmwares; }
const Firmware* find_firmware(std::string_view name) { return find(kFirmwares, name); }

}  // namespace xnic::arch::nfp
