// SPDX-License-Identifier: Apache-2.0
#include "exec/sim/nfp/engine.hpp"

#include <fmt/format.h>

#include "base/check.hpp"
#include "base/clock.hpp"

namespace xnic::exec::sim::nfp {
namespace {

ImageProvider& provider() {
  static ImageProvider it;
  return it;
}

}  // namespace

void install(ImageProvider images) { provider() = std::move(images); }

base::Result<void> Nfp::load(std::shared_ptr<const LoadedProgram> program) {
  CHECK(program != nullptr && program->program != nullptr);
  if (!provider())
    return base::make_error(base::ErrorKind::kUnsupported, "nfp", "this tool has no compiler for the card");
  XNIC_ASSIGN(const isa::Image image, provider()(*program));
  return load_image(image, std::move(program));
}

base::Result<void> Nfp::load_image(const isa::Image& image, std::shared_ptr<const LoadedProgram> program) {
  thread_.reset();
  counters_ = {};
  XNIC_ASSIGN(const std::vector<uint64_t> words, isa::place(image, kPlacement));
  XNIC_ASSIGN(thread_, Thread::make(image, words, std::move(program)));
  return {};
}

base::Result<void> Nfp::run(std::span<packet::Packet> packets, std::span<Verdict> verdicts, const RunContext& context) {
  CHECK(packets.size() == verdicts.size());
  if (thread_ == nullptr) return base::make_error(base::ErrorKind::kBadInput, "nfp", "no program is loaded");
  const base::SystemClock clock;
  const uint64_t start = clock.monotonic_ns();
  for (size_t i = 0; i < packets.size(); ++i) {
    counters_.bytes += packets[i].size();
    base::Result<Verdict> verdict = thread_->run(packets[i], context);
    if (!verdict) {
      base::Error error = verdict.error();
      error.where = fmt::format("packet {}: {}", counters_.packets, error.where);
      return base::Unexpected(std::move(error));
    }
    verdicts[i] = *verdict;
    ++counters_.actions[verdicts[i].action()];
    ++counters_.packets;
  }
  counters_.run_ns += clock.monotonic_ns() - start;
  return {};
}

}  // namespace xnic::exec::sim::nfp
