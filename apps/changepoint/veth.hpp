// SPDX-License-Identifier: Apache-2.0
// A pair of veth interfaces in a network namespace of this process's own, and XDP programs of the live kernel on it.
#pragma once

#include <memory>
#include <string>

#include "base/result.hpp"

namespace xnic::apps::changepoint {

// The namespace goes with the process, and the pair with it. Needs root, and one thread. Move-only.
class VethPair {
 public:
  // Post: this process is in the new namespace; both ends are up. Errors: kIo.
  static base::Result<VethPair> make();
  const std::string& sending() const { return sending_; }
  const std::string& receiving() const { return receiving_; }
  // Loads an object into the live kernel and attaches its program to the receiving end, in the driver's mode; replaces
  // what was there. Empty path: only takes away. Errors: kIo.
  base::Result<void> attach(const std::string& object);
  VethPair(VethPair&&) noexcept;
  VethPair& operator=(VethPair&&) noexcept;
  ~VethPair();

 private:
  struct State;
  explicit VethPair(std::unique_ptr<State> state);
  std::string sending_ = "xnic-a";
  std::string receiving_ = "xnic-b";
  std::unique_ptr<State> state_;
};

}  // namespace xnic::apps::changepoint
