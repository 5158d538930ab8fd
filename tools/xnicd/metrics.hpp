// SPDX-License-Identifier: Apache-2.0
// Prometheus metrics of the card, over HTTP on a loopback address.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/result.hpp"
#include "nic/control/service.hpp"

namespace xnic::tools {

class Metrics {
 public:
  // Serves http://`address`/metrics in threads of its own; `stats` is called by them. Errors: kIo (address in use).
  static base::Result<Metrics> serve(const std::string& address, std::function<nic::control::Stats()> stats);
  Metrics(Metrics&&) noexcept;
  Metrics& operator=(Metrics&&) noexcept;
  ~Metrics();

 private:
  struct State;
  explicit Metrics(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace xnic::tools
