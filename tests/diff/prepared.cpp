// SPDX-License-Identifier: Apache-2.0
// Calls are replaced in the decoded instructions and in the wire form, since each engine reads its own.
#include "prepared.hpp"

#include <algorithm>
#include <string_view>

#include "arch/ebpf/helpers.hpp"
#include "base/rng.hpp"
#include "fill_maps.hpp"
#include "frame_mix.hpp"

namespace xnic::tests {

using arch::ebpf::Program;
using exec::LoadedProgram;
using exec::maps::Map;
using exec::packet::Packet;

namespace {

constexpr size_t kVocabularyFrames = 64;  // frames that maps are keyed to
constexpr int32_t kTime = 2'000'000'000;  // what every clock says, in its own unit

bool is_clock(std::string_view helper) { return helper.starts_with("ktime_get") || helper == "jiffies64"; }

}  // namespace

std::shared_ptr<const LoadedProgram> with_constant_time(const std::shared_ptr<const LoadedProgram>& loaded,
                                                        uint64_t seed) {
  const auto random = int32_t(base::Rng(seed).below(1u << 31));
  auto program = std::make_shared<Program>(*loaded->program);
  bool changed = false;
  for (size_t slot = 0; slot < program->insns.size(); ++slot) {
    const auto* call = std::get_if<arch::ebpf::CallHelper>(&program->insns[slot]);
    if (call == nullptr) continue;
    const std::string_view name = arch::ebpf::helper_name(call->id);
    const bool clock = is_clock(name);
    if (!clock && name != "get_prandom_u32") continue;
    const int32_t value = clock ? kTime : random;
    using namespace arch::ebpf;
    program->insns[slot] = Binary{BinaryOp::kMov, Width::k64, Reg::kR0, Imm{value}};
    program->raw[slot] = RawInsn{0xb7, 0, 0, 0, value};
    changed = true;
  }
  if (!changed) return loaded;
  auto constant = std::make_shared<LoadedProgram>(*loaded);
  constant->program = std::move(program);
  return constant;
}

void fill_from_mix(const std::shared_ptr<const LoadedProgram>& program,
                   const std::vector<std::vector<uint8_t>>& samples, uint64_t seed) {
  FrameMix mix(seed);
  mix.add_samples(samples);
  std::vector<std::vector<uint8_t>> frames = samples;
  for (RandomPacket packet; frames.size() < samples.size() + kVocabularyFrames;) {
    mix.next(packet);
    frames.push_back(packet.frame);
  }
  fill_maps(program, frames, seed);
}

void place(const RandomPacket& input, Packet& packet) {
  packet.assign(input.frame);
  packet.data_meta = packet.data - input.metadata.size();
  std::copy(input.metadata.begin(), input.metadata.end(), packet.data_meta);
}

bool same_bytes(const Packet& a, const Packet& b) {
  if (a.data - a.data_meta != b.data - b.data_meta || !std::equal(a.data_meta, a.data, b.data_meta)) return false;
  if (a.fragments.empty() && b.fragments.empty()) return std::equal(a.data, a.data_end, b.data, b.data_end);
  return a.bytes() == b.bytes();
}

bool has_contents_of_its_own(const Map& map) {
  switch (map.spec().type) {
    case arch::ebpf::kMapRingbuf:
    case arch::ebpf::kMapPerfEventArray:
    case arch::ebpf::kMapXskmap:
    case arch::ebpf::kMapBloomFilter:
    case arch::ebpf::kMapStackTrace:
    case arch::ebpf::kMapProgArray:
      return false;  // the kernel engine does not copy them back, or programs cannot change them
    default:
      return true;
  }
}

bool is_queue(const Map& map) {
  return map.spec().type == arch::ebpf::kMapQueue || map.spec().type == arch::ebpf::kMapStack;
}

Contents contents(Map& map) {
  Contents all;
  std::vector<uint8_t> value(map.host_value_bytes());
  if (is_queue(map)) {
    while (map.pop(value.data()) == 0) all.emplace(std::vector<uint8_t>{}, value);
    return all;
  }
  std::vector<uint8_t> key(map.spec().key_size), next(map.spec().key_size);
  if (key.empty()) return all;
  for (const uint8_t* after = nullptr; map.host_next_key(after, next.data()) == 0; after = key.data()) {
    key = next;
    if (map.host_lookup(key.data(), value.data(), 0) == 0) all.emplace(key, value);
  }
  return all;
}

}  // namespace xnic::tests
