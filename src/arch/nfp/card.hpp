// SPDX-License-Identifier: Apache-2.0
// The boards that carry a Netronome NFP-4000 and the firmware that runs XDP programs on them, as tables.
//
// Sources: the driver's capability TLVs and limits (drivers/net/ethernet/netronome/nfp/bpf), the open CoreNIC firmware
// (github.com/Netronome/nic-firmware), the boards' product data.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace xnic::arch::nfp {

// A product; decides clock and ports. Boards differ in nothing that a program is refused for.
struct Board {
  std::string_view name;  // for --board
  std::string_view product;
  uint32_t clock_mhz;
  uint32_t wire_gbps;  // all ports together
};
std::span<const Board> boards();
// Null when there is none of that name.
const Board* find_board(std::string_view name);

// Capability TLV 2: how far bpf_xdp_adjust_head may move the start of the packet, in bytes from the frame's first.
struct AdjustHead {
  uint32_t off_min;
  uint32_t off_max;
  uint32_t guaranteed_sub;
  uint32_t guaranteed_add;
};

// What a firmware can do, as its capability TLVs and the vNIC's configuration say. Sizes in bytes.
struct Firmware {
  std::string_view name;  // for --firmware
  std::string_view description;
  // Capability TLV 1: helpers with a routine in the firmware.
  bool map_lookup;
  bool map_update;
  bool map_delete;
  bool perf_event_output;
  // Capability TLVs 2, 4, 5, 6.
  std::optional<AdjustHead> adjust_head;
  bool random;
  bool queue_select;
  bool adjust_tail;
  // Capability TLV 3.
  bool array_maps;
  bool hash_maps;
  uint32_t max_maps;
  uint32_t max_elements;  // of all maps together
  uint32_t max_key_bytes;
  uint32_t max_value_bytes;
  uint32_t max_element_bytes;  // key and value, each rounded up to 8
  // vNIC configuration: BPF_MAX_LEN, BPF_STACK_SZ * 64, BPF_INL_MTU * 64 - 32.
  uint32_t max_insns;  // of the NFP, per vNIC
  uint32_t stack_bytes;
  uint32_t inline_bytes;  // of a packet that lie in the cluster memory, where programs can reach them
};
std::span<const Firmware> firmwares();
const Firmware* find_firmware(std::string_view name);

// Frames on the stack begin at multiples of this (the driver's STACK_FRAME_ALIGN).
inline constexpr uint32_t kStackFrameAlign = 64;

}  // namespace xnic::arch::nfp
