// SPDX-License-Identifier: Apache-2.0
#include "exec/sim/hxdp/engine.hpp"

#include "base/check.hpp"

namespace xnic::exec::sim::hxdp {
namespace {

struct Installed {
  ImageProvider provider;
  CardOptions options;
};
Installed& installed() {
  static Installed it;
  return it;
}

}  // namespace

void install(ImageProvider provider, const CardOptions& options) { installed() = {std::move(provider), options}; }

Hxdp::Hxdp() : options_(installed().options) {}

base::Result<void> Hxdp::load(std::shared_ptr<const LoadedProgram> program) {
  CHECK(program != nullptr && program->program != nullptr);
  if (!installed().provider)
    return base::make_error(base::ErrorKind::kUnsupported, "hxdp", "this tool has no compiler for the card");
  XNIC_ASSIGN(isa::Image image, installed().provider(*program));
  return load_image(std::move(image), std::move(program));
}

base::Result<void> Hxdp::load_image(isa::Image image, std::shared_ptr<const LoadedProgram> program) {
  card_.reset();
  counters_ = {};
  XNIC_ASSIGN(card_, Card::make(image, std::move(program), options_));
  image_ = std::move(image);
  return {};
}

base::Result<void> Hxdp::run(std::span<packet::Packet> packets, std::span<Verdict> verdicts,
                             const RunContext& context) {
  CHECK(packets.size() == verdicts.size());
  if (card_ == nullptr) return base::make_error(base::ErrorKind::kBadInput, "hxdp", "no program is loaded");
  for (const packet::Packet& packet : packets) counters_.bytes += packet.size();
  const uint64_t lost = card_->lost();
  card_->run(packets, verdicts, context);
  for (const Verdict& verdict : verdicts) ++counters_.actions[verdict.action()];
  counters_.actions[arch::ebpf::kXdpDrop] -= card_->lost() - lost;  // lost is no decision of the program
  counters_.packets += packets.size();
  return {};
}

EngineCounters Hxdp::counters() const {
  EngineCounters counters = counters_;
  if (card_ == nullptr) return counters;
  const CardCounters card = card_->counters();
  counters.modelled = ModelledTime{.clock_hz = image_.parameters.clock_hz,
                                   .rows = static_cast<uint32_t>(image_.rows.size()),
                                   .cycles = card.elapsed,
                                   .latency_p50_cycles = card.latency.percentile(50),
                                   .latency_p99_cycles = card.latency.percentile(99),
                                   .faults = card.faults};
  return counters;
}

}  // namespace xnic::exec::sim::hxdp
