// SPDX-License-Identifier: Apache-2.0
// The engine "hxdp": the card behind the interface of all engines.
//
// `exec` cannot compile: images come from outside. Either the caller gives one (load_image), or load() asks the image
// provider that whoever sees both compiler and engines has installed.
#pragma once

#include <functional>

#include "exec/sim/hxdp/card.hpp"

namespace xnic::exec::sim::hxdp {

// Makes the image of a verified program. Errors are handed on by load().
using ImageProvider = std::function<base::Result<isa::Image>(const LoadedProgram&)>;
// Process-wide: what engines made from now on use. An empty provider uninstalls it.
void install(ImageProvider provider, const CardOptions& options = {});

class Hxdp final : public Engine {
 public:
  Hxdp();  // with the installed options
  explicit Hxdp(const CardOptions& options) : options_(options) {}

  std::string_view name() const override { return "hxdp"; }
  // Errors: kUnsupported without an image provider, and those of the provider and of load_image().
  base::Result<void> load(std::shared_ptr<const LoadedProgram> program) override;
  // Runs `image` as the program's. Errors: those of Card::make().
  base::Result<void> load_image(isa::Image image, std::shared_ptr<const LoadedProgram> program);
  base::Result<void> run(std::span<packet::Packet> packets, std::span<Verdict> verdicts,
                         const RunContext& context) override;
  EngineCounters counters() const override;

  // Null until a program is loaded.
  const Card* card() const { return card_.get(); }
  const isa::Image& image() const { return image_; }

 private:
  CardOptions options_;
  isa::Image image_;
  std::unique_ptr<Card> card_;
  EngineCounters counters_;
};

}  // namespace xnic::exec::sim::hxdp
