// SPDX-License-Identifier: Apache-2.0
// What two engines did, side by side: verdict code, packet bytes, map contents. The first few differences are told in
// full.
#include <algorithm>
#include <map>

#include "arch/ebpf/map_types.hpp"
#include "exec/sim/hxdp/engine.hpp"
#include "xnic/job.hpp"

namespace xnic::tools {
namespace {

constexpr size_t kToldDifferences = 5;

std::string hex_line(base::Bytes bytes, size_t from, size_t count) {
  std::string text;
  for (size_t i = from; i < std::min(bytes.size(), from + count); ++i) text += fmt::format("{:02x} ", bytes[i]);
  return text;
}

// Where two byte strings differ first, with 16 bytes of each side.
std::string first_difference(base::Bytes left, base::Bytes right) {
  const auto [at, other] = std::mismatch(left.begin(), left.end(), right.begin(), right.end());
  const auto offset = static_cast<size_t>(at - left.begin());
  return fmt::format("{} | {} bytes, first difference at byte {}: {}| {}", left.size(), right.size(), offset,
                     hex_line(left, offset, 16), hex_line(right, offset, 16));
}

void tell(JobResult& result, std::string text) {
  if (result.differences.size() < kToldDifferences) result.differences.push_back(std::move(text));
}

using Contents = std::map<std::vector<uint8_t>, std::vector<uint8_t>>;

// The copies of a per-CPU value as one: their sum, in words of 8 bytes.
std::vector<uint8_t> sum_of_copies(const std::vector<uint8_t>& copies, uint32_t cpus) {
  std::vector<uint8_t> sum(copies.size() / cpus);
  for (size_t at = 0; at < copies.size(); at += 8) {
    uint8_t* word = sum.data() + at % sum.size();
    base::store(word, base::load<uint64_t>(word) + base::load<uint64_t>(copies.data() + at));
  }
  return sum;
}

Contents contents_of(exec::maps::Map& map, bool sum_copies) {
  Contents contents;
  std::vector<uint8_t> key(map.spec().key_size);
  std::vector<uint8_t> next(map.spec().key_size);
  std::vector<uint8_t> value(map.host_value_bytes());
  const bool sum = sum_copies && arch::ebpf::is_percpu(map.spec().type);
  const void* previous = nullptr;
  while (!key.empty() && map.host_next_key(previous, next.data()) == 0) {
    if (map.host_lookup(next.data(), value.data(), 0) == 0)
      contents[next] = sum ? sum_of_copies(value, map.cpus()) : value;
    key.swap(next);
    previous = key.data();
  }
  return contents;
}

// On a card with several cores each has its own copy of per-CPU values.
bool has_cores(Session& session) {
  if (session.engine().name() != "hxdp") return false;
  return static_cast<const exec::sim::hxdp::Hxdp&>(session.engine()).image().parameters.cores > 1;
}

}  // namespace

void compare_packets(const Session& reference, const Session& session, const std::string& names, size_t count,
                     uint64_t first_packet, JobResult& result) {
  result.packets_compared += count;
  for (size_t i = 0; i < count; ++i) {
    const uint32_t left = reference.verdicts[i].code;
    const uint32_t right = session.verdicts[i].code;
    const std::vector<uint8_t> left_bytes = reference.packets[i].bytes();
    const std::vector<uint8_t> right_bytes = session.packets[i].bytes();
    if (left == right && left_bytes == right_bytes) continue;
    ++result.packets_different;
    std::string text = fmt::format("packet {} ({}): verdict {} ({}) | {} ({})", first_packet + i + 1, names,
                                   arch::ebpf::action_name(left), left, arch::ebpf::action_name(right), right);
    if (left_bytes != right_bytes) text += "; " + first_difference(left_bytes, right_bytes);
    tell(result, std::move(text));
  }
}

base::Result<void> compare_maps(Session& reference, Session& session, const std::string& names, JobResult& result) {
  for (const device::ObjectMap& left : reference.object().maps()) {
    const device::ObjectMap* right = session.object().find_map(left.name);
    if (right == nullptr)
      return base::make_error(base::ErrorKind::kBadInput, left.name, "map missing on one side of the comparison");
    const bool sums = has_cores(reference) || has_cores(session);
    const Contents left_contents = contents_of(*left.map, sums);
    const Contents right_contents = contents_of(*right->map, sums);
    if (left_contents == right_contents) continue;
    ++result.maps_different;
    std::string text =
        fmt::format("map {} ({}): {} | {} elements", left.name, names, left_contents.size(), right_contents.size());
    for (const auto& [key, value] : left_contents) {
      const auto found = right_contents.find(key);
      if (found != right_contents.end() && found->second == value) continue;
      text += fmt::format(
          "; key {}{}", hex_line(key, 0, 16),
          found == right_contents.end() ? "only on the left" : ": " + first_difference(value, found->second));
      break;
    }
    tell(result, std::move(text));
  }
  return {};
}

}  // namespace xnic::tools
