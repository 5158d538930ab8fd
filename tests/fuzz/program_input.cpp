// SPDX-License-Identifier: Apache-2.0
// Between bytes and programs; the layout is in the header.
#include "program_input.hpp"

#include <linux/bpf.h>

#include <algorithm>
#include <cstring>

#include "arch/ebpf/map_types.hpp"
#include "case_file.hpp"
#include "exec/maps/map.hpp"

namespace xnic::tests::fuzz {
namespace {

using arch::ebpf::MapSpec;
using arch::ebpf::Program;
using arch::ebpf::RawInsn;

constexpr uint32_t kMaxMaps = 8;  // 0 to 7
constexpr uint32_t kMaxValueBytes = 512;
constexpr uint32_t kMaxRingBytes = 1 << 16;
constexpr uint32_t kFlags[] = {BPF_F_NO_PREALLOC, BPF_F_RDONLY_PROG, BPF_F_WRONLY_PROG, BPF_F_NO_COMMON_LRU};

bool is_ring(uint32_t type) { return type == arch::ebpf::kMapRingbuf || type == arch::ebpf::kMapUserRingbuf; }

MapSpec read_map(const uint8_t* bytes) {
  MapSpec spec;
  spec.type = bytes[0];
  spec.key_size = bytes[1];
  spec.value_size = base::load_le<uint16_t>(bytes + 2) % (kMaxValueBytes + 1);
  spec.max_entries = is_ring(spec.type) ? 4096u << bytes[4] % 4 : bytes[4];
  for (size_t bit = 0; bit < std::size(kFlags); ++bit)
    if (bytes[5] >> bit & 1) spec.flags |= kFlags[bit];
  if (bytes[6] == 1 && spec.value_size >= 4) spec.spin_lock_offset = 0;
  if (bytes[6] == 2 && spec.value_size >= 16) spec.timer_offset = 0;
  spec.name = "m";
  return spec;
}

bool write_map(const MapSpec& spec, std::vector<uint8_t>& out) {
  if (spec.type > 255 || spec.key_size > 255 || spec.value_size > kMaxValueBytes || spec.inner) return false;
  if (is_ring(spec.type) && spec.max_entries > kMaxRingBytes) return false;
  uint8_t bytes[kMapBytes] = {uint8_t(spec.type), uint8_t(spec.key_size)};
  base::store_le(bytes + 2, uint16_t(spec.value_size));
  if (is_ring(spec.type)) {
    while (4096u << bytes[4] < spec.max_entries && bytes[4] < 3) ++bytes[4];
  } else {
    bytes[4] = uint8_t(std::min<uint32_t>(spec.max_entries, 255));
  }
  for (size_t bit = 0; bit < std::size(kFlags); ++bit)
    if (spec.flags & kFlags[bit]) bytes[5] |= uint8_t(1 << bit);
  if (spec.spin_lock_offset == 0) bytes[6] = 1;
  if (spec.timer_offset == 0) bytes[6] = 2;
  out.insert(out.end(), bytes, bytes + kMapBytes);
  return true;
}

}  // namespace

size_t program_offset(base::Bytes input) {
  return input.empty() ? kHeaderBytes : kHeaderBytes + size_t{input[0] % kMaxMaps} * kMapBytes;
}

ProgramInput read_program(base::Bytes input) {
  const size_t offset = program_offset(input);
  if (input.size() < offset + sizeof(RawInsn)) return {};
  Program program;
  program.name = "fuzz";
  program.expected_attach_type = BPF_XDP;
  program.gpl_compatible = true;
  if (input[1] & 1) program.load_flags = BPF_F_XDP_HAS_FRAGS;
  for (size_t at = kHeaderBytes; at < offset; at += kMapBytes) {
    program.maps.push_back(read_map(input.data() + at));
    int error = 0;
    if (exec::maps::Map::create(program.maps.back(), {}, error) == nullptr) return {};
  }
  std::vector<RawInsn> raw(std::min((input.size() - offset) / sizeof(RawInsn), kMaxFuzzInsns));
  std::memcpy(raw.data(), input.data() + offset, raw.size() * sizeof(RawInsn));
  return {from_raw(program, std::move(raw)), input[2] % 4u + 1, input[3]};
}

std::vector<uint8_t> write_program(const Program& program, uint8_t seed) {
  if (program.maps.size() >= kMaxMaps || program.raw.size() > kMaxFuzzInsns) return {};
  std::vector<uint8_t> out = {uint8_t(program.maps.size()), uint8_t(program.load_flags != 0), 3, seed};
  for (const MapSpec& spec : program.maps)
    if (!write_map(spec, out)) return {};
  const auto* bytes = reinterpret_cast<const uint8_t*>(program.raw.data());
  out.insert(out.end(), bytes, bytes + program.raw.size() * sizeof(RawInsn));
  return out;
}

}  // namespace xnic::tests::fuzz
