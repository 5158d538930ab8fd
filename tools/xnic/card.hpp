// SPDX-License-Identifier: Apache-2.0
// The card as the command line names it.
#pragma once

#include "compile/pipeline.hpp"
#include "device/device.hpp"
#include "exec/sim/hxdp/card.hpp"

namespace xnic::tools {

struct CardSettings {
  compile::HxdpOptions compile;
  exec::sim::hxdp::CardOptions card;
};

// "KEY=VALUE" settings over the defaults. Errors: kBadInput with the keys that exist.
base::Result<CardSettings> parse_card(const std::vector<std::string>& settings);
// With an image file only the settings of what the image does not fix are left. Errors: kBadInput names the setting.
base::Result<void> check_beside_image(const std::vector<std::string>& settings);
// An image file. Errors: kIo, and those of arch::hxdp::from_bytes() with the file's name.
base::Result<arch::hxdp::Image> read_image(const std::string& path);
// A device whose per-CPU maps have a copy for each of the card's cores, and for each processor of this machine.
device::DeviceOptions device_options(uint32_t cores);
// The keys with their meanings, for --help.
std::string card_help();

}  // namespace xnic::tools
