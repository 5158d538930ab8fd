// SPDX-License-Identifier: Apache-2.0
#include "exec/sim/nfp/engine.hpp"

#include <fmt/format.h>

#include "base/check.hpp"

namespace xnic::exec::sim::nfp {
namespace {

struct Installed {
  ImageProvider images;
  CardTiming timing;
};
Installed& installed() {
  static Installed it;
  return it;
}

Cores::Way way_of(const Verdict& verdict) {
  if (verdict.code == arch::ebpf::kXdpPass) return Cores::Way::kHost;
  return verdict.code == arch::ebpf::kXdpTx ? Cores::Way::kWire : Cores::Way::kDrop;
}

}  // namespace

void install(ImageProvider images, const CardTiming& timing) { installed() = {std::move(images), timing}; }

base::Result<void> Nfp::load(std::shared_ptr<const LoadedProgram> program) {
  CHECK(program != nullptr && program->program != nullptr);
  if (!installed().images)
    return base::make_error(base::ErrorKind::kUnsupported, "nfp", "this tool has no compiler for the card");
  XNIC_ASSIGN(const isa::Image image, installed().images(*program));
  return load_image(image, std::move(program));
}

base::Result<void> Nfp::load_image(const isa::Image& image, std::shared_ptr<const LoadedProgram> program) {
  thread_.reset();
  counters_ = {};
  timing_ = installed().timing;
  cores_ = std::make_unique<Cores>(timing_);
  words_ = static_cast<uint32_t>(image.words.size());
  XNIC_ASSIGN(const std::vector<uint64_t> words, isa::place(image, kPlacement));
  XNIC_ASSIGN(thread_, Thread::make(image, words, std::move(program)));
  return {};
}

base::Result<void> Nfp::run(std::span<packet::Packet> packets, std::span<Verdict> verdicts, const RunContext& context) {
  CHECK(packets.size() == verdicts.size());
  if (thread_ == nullptr) return base::make_error(base::ErrorKind::kBadInput, "nfp", "no program is loaded");
  for (size_t i = 0; i < packets.size(); ++i) {
    const uint32_t bytes = static_cast<uint32_t>(packets[i].size());
    counters_.bytes += bytes;
    base::Result<Verdict> verdict = thread_->run(packets[i], context);
    if (!verdict) {
      base::Error error = verdict.error();
      error.where = fmt::format("packet {}: {}", counters_.packets, error.where);
      return base::Unexpected(std::move(error));
    }
    verdicts[i] = *verdict;
    cores_->add(thread_->trace(), bytes, static_cast<uint32_t>(packets[i].size()), way_of(*verdict));
    ++counters_.actions[verdicts[i].action()];
    ++counters_.packets;
  }
  return {};
}

CoreCounters Nfp::core_counters() const {
  if (cores_ == nullptr) return {};
  Cores to_the_end = *cores_;
  to_the_end.finish();
  return to_the_end.counters();
}

EngineCounters Nfp::counters() const {
  EngineCounters result = counters_;
  const CoreCounters cores = core_counters();
  result.modelled = ModelledTime{.clock_hz = uint64_t{timing_.clock_mhz} * 1'000'000,
                                 .rows = words_,
                                 .cycles = cores.cycles,
                                 .latency_p50_cycles = cores.latency_p50,
                                 .latency_p99_cycles = cores.latency_p99,
                                 .faults = 0};
  return result;
}

}  // namespace xnic::exec::sim::nfp
