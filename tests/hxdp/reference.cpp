// SPDX-License-Identifier: Apache-2.0
// Clock and random numbers are parameters of a run, so both machines get the same ones.
#include "reference.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "compare.hpp"
#include "exec/interp/interp.hpp"
#include "exec/sim/hxdp/engine.hpp"
#include "rows.hpp"

namespace xnic::tests {

namespace {

constexpr size_t kBatchPackets = 64;
constexpr uint64_t kNow = 1'000'000'000;
constexpr size_t kShownBytes = 120;

struct Surroundings {
  base::ManualClock clock{kNow};
  uint64_t random = 1;
  exec::RunContext context{.clock = &clock, .random_state = &random};
};

std::string shown(base::Bytes bytes) { return hex(bytes.first(std::min(bytes.size(), kShownBytes))); }

bool same(const exec::packet::Packet& packet, const std::vector<uint8_t>& bytes) {
  if (!packet.fragments.empty()) return packet.bytes() == bytes;
  return std::equal(packet.data, packet.data_end, bytes.begin(), bytes.end());
}

}  // namespace

void Reference::read_contents(exec::maps::Map& map, Contents& all) {
  std::vector<uint8_t> value(map.host_value_bytes());
  if (map.spec().key_size == 0) {
    for (uint8_t at = 0; map.pop(value.data()) == 0; ++at) all.emplace(std::vector<uint8_t>{at}, value);
    return;
  }
  std::vector<uint8_t> key(map.spec().key_size), next(map.spec().key_size);
  for (const uint8_t* after = nullptr; map.host_next_key(after, next.data()) == 0; after = key.data()) {
    key = next;
    if (const auto inner = map.inner(key.data())) {
      Contents values;
      read_contents(*inner, values);
      for (auto& [inner_key, inner_value] : values) {
        std::vector<uint8_t> both = key;
        both.insert(both.end(), inner_key.begin(), inner_key.end());
        all.emplace(std::move(both), std::move(inner_value));
      }
    } else if (map.host_lookup(key.data(), value.data(), 0) == 0) {
      all.emplace(key, value);
    }
  }
}

base::Result<Reference> Reference::make(Maker maker, std::vector<RandomPacket> packets) {
  Reference reference;
  reference.make_ = std::move(maker);
  reference.packets_ = std::move(packets);
  const auto program = reference.make_();
  exec::interp::Interp interp;
  XNIC_TRY(interp.load(program));
  Surroundings around;
  std::vector<exec::packet::Packet> batch(kBatchPackets);
  std::vector<exec::Verdict> verdicts(kBatchPackets);
  for (size_t first = 0; first < reference.packets_.size(); first += kBatchPackets) {
    const size_t count = std::min(kBatchPackets, reference.packets_.size() - first);
    for (size_t i = 0; i < count; ++i) reference.place(first + i, batch[i]);
    XNIC_TRY(interp.run(std::span(batch).first(count), std::span(verdicts).first(count), around.context));
    for (size_t i = 0; i < count; ++i)
      reference.expected_.push_back({verdicts[i], {batch[i].data_meta, batch[i].data}, batch[i].bytes()});
  }
  for (const auto& map : program->maps) read_contents(*map, reference.contents_.emplace_back());
  return reference;
}

void Reference::place(size_t i, exec::packet::Packet& packet) const {
  const RandomPacket& input = packets_[i];
  packet.assign(input.frame);
  packet.data_meta = packet.data - input.metadata.size();
  std::copy(input.metadata.begin(), input.metadata.end(), packet.data_meta);
  packet.ingress_ifindex = uint32_t(1 + i % 3);
  packet.rx_queue = uint32_t(i * 7 % 80);
}

std::string Reference::packet_difference(size_t i, const exec::Verdict& verdict,
                                         const exec::packet::Packet& packet) const {
  const Expected& e = expected_[i];
  std::string what;
  if (verdict.code != e.verdict.code) {
    what = fmt::format("verdict {}, interp {}", verdict.code, e.verdict.code);
  } else if (verdict.code == arch::ebpf::kXdpRedirect && !(verdict.redirect == e.verdict.redirect)) {
    what = fmt::format("redirect to {}, interp {}", verdict.redirect.target, e.verdict.redirect.target);
  } else if (!same(packet, e.bytes)) {
    what = fmt::format("packet\n  hxdp   {}\n  interp {}", shown(packet.bytes()), shown(e.bytes));
  } else if (!std::equal(packet.data_meta, packet.data, e.metadata.begin(), e.metadata.end())) {
    what = "metadata";
  } else {
    return {};
  }
  return fmt::format("packet {} ({} bytes, metadata {}, {}): {}\n", i, packets_[i].frame.size(),
                     hex(packets_[i].metadata), shown(packets_[i].frame), what);
}

std::string Reference::map_difference(const exec::LoadedProgram& program) const {
  for (size_t i = 0; i < program.maps.size(); ++i) {
    Contents ours;
    read_contents(*program.maps[i], ours);
    if (ours == contents_[i]) continue;
    const auto& spec = program.maps[i]->spec();
    std::string text = fmt::format("map {} ({}, type {}): {} entries, interp {}\n", i, spec.name, spec.type,
                                   ours.size(), contents_[i].size());
    int told = 0;
    for (const auto& [key, value] : ours) {
      const auto [first, last] = contents_[i].equal_range(key);
      if (std::any_of(first, last, [&](const auto& entry) { return entry.second == value; })) continue;
      if (++told > 4) break;
      text += fmt::format("  hxdp   [{}] = {}\n  interp {}\n", hex(key), shown(value),
                          first == last ? "has none" : shown(first->second));
    }
    return text;
  }
  return {};
}

ImageRun Reference::run_rows(const arch::hxdp::Image& image, const exec::LoadedProgram& program, size_t packets) const {
  ImageRun result;
  Rows rows(image, program);
  Surroundings around;
  for (; result.packets < packets && result.difference.empty(); ++result.packets) {
    exec::packet::Packet packet;
    place(result.packets, packet);
    const RowRun run = rows.run(packet, around.context);
    result.difference = run.fault.empty() ? packet_difference(result.packets, run.verdict, packet)
                                          : fmt::format("packet {}: {}\n", result.packets, run.fault);
    if (result.difference.empty()) continue;
    result.difference += "  rows";
    for (auto row : run.path) result.difference += fmt::format(" {}", row);
    result.difference += '\n';
  }
  return result;
}

ImageRun Reference::run_card(const arch::hxdp::Image& image, const std::shared_ptr<const exec::LoadedProgram>& program,
                             size_t packets) const {
  ImageRun result;
  exec::sim::hxdp::Hxdp card{exec::sim::hxdp::CardOptions{}};
  if (const auto loaded = card.load_image(image, program); !loaded)
    return {.illegal = true, .difference = loaded.error().message() + "\n"};
  Surroundings around;
  std::vector<exec::packet::Packet> batch(kBatchPackets);
  std::vector<exec::Verdict> verdicts(kBatchPackets);
  while (result.packets < packets) {
    const size_t first = result.packets, count = std::min(kBatchPackets, packets - first);
    for (size_t i = 0; i < count; ++i) place(first + i, batch[i]);
    const auto ran = card.run(std::span(batch).first(count), std::span(verdicts).first(count), around.context);
    if (!ran) result.difference = ran.error().message() + "\n";
    for (size_t i = 0; i < count && result.difference.empty(); ++i)
      result.difference = packet_difference(first + i, verdicts[i], batch[i]);
    result.packets += count;
    if (card.counters().modelled->faults != 0) result.difference += "the card reports a fault\n";
    if (!result.difference.empty()) break;
  }
  return result;
}

ImageRun Reference::compare(const arch::hxdp::Image& image, Machine machine, size_t packets) const {
  const auto program = make_();
  packets = std::min(packets, packets_.size());
  ImageRun result = machine == Machine::kRows ? run_rows(image, *program, packets) : run_card(image, program, packets);
  if (result.difference.empty() && packets == packets_.size()) result.difference = map_difference(*program);
  return result;
}

}  // namespace xnic::tests
