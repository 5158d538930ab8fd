// SPDX-License-Identifier: Apache-2.0
// Frames go through in batches, so that the packets' buffers are made once.
#include "changepoint/card.hpp"

#include <filesystem>

namespace xnic::apps::changepoint {
namespace {
constexpr size_t kBatch = 64;
}

std::string program_path(const std::string& program) {
  std::error_code ignored;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", ignored);
  return (self.parent_path().parent_path() / "programs" / (program + ".bpf.o")).string();
}

base::Result<Card> Card::open(const std::string& path, const std::string& engine) {
  Card card;
  card.device_ = std::make_unique<device::Device>();
  XNIC_ASSIGN(device::Object object, device::Object::load(*card.device_, path));
  card.object_ = std::make_unique<device::Object>(std::move(object));
  card.engine_ = exec::make_engine(engine);
  if (card.engine_ == nullptr)
    return base::make_error(base::ErrorKind::kUnsupported, engine, "no such engine in this build");
  XNIC_TRY(card.engine_->load(card.object_->programs().at(0).loaded));
  XNIC_TRY(card.engine_->push_maps());
  card.packets_.resize(kBatch);
  card.clock_ = std::make_unique<base::SystemClock>();
  return card;
}

base::Result<void> Card::run(Frames& frames, std::vector<exec::Verdict>& verdicts) {
  verdicts.assign(frames.size(), {});
  const exec::RunContext context{.clock = clock_.get(), .random_state = &random_state_};
  for (size_t first = 0; first < frames.size(); first += kBatch) {
    const size_t count = std::min(kBatch, frames.size() - first);
    for (size_t i = 0; i < count; ++i) packets_[i].assign(frames[first + i]);
    XNIC_TRY(engine_->run(std::span(packets_).first(count), std::span(verdicts).subspan(first, count), context));
    for (size_t i = 0; i < count; ++i) frames[first + i] = packets_[i].bytes();
  }
  return {};
}

}  // namespace xnic::apps::changepoint
