// SPDX-License-Identifier: Apache-2.0
// Reading a port's settings out of its TOML table. Internal to this folder.
#pragma once

#include "nic/control/keys.hpp"
#include "nic/control/settings.hpp"
#include "nic/port/fault.hpp"

namespace xnic::nic::control {

// The keys "features", "rss" and "filter".
base::Result<void> read_settings(Keys& keys, const QueueCounts& queues, PortSettings& settings);
// The key "faults".
base::Result<void> read_faults(Keys& keys, std::optional<port::FaultOptions>& faults);

}  // namespace xnic::nic::control
