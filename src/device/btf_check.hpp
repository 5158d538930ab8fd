// SPDX-License-Identifier: Apache-2.0
// The check that stands between raw bytes and Btf.
#pragma once

#include <string>

#include "device/btf.hpp"

namespace xnic::device {

// Fills and checks one Btf. Used by Btf::parse only.
class BtfChecker {
 public:
  explicit BtfChecker(Btf& btf) : btf_(btf) {}
  // False when the blob is refused; `reason` says why.
  bool run();
  std::string reason;

 private:
  bool check_header();
  bool index_types();
  bool check_type(uint32_t id);
  bool check_members(uint32_t id);
  bool check_enums(uint32_t id);
  bool check_function(uint32_t id);
  bool check_datasec(uint32_t id);
  bool check_references(uint32_t id);
  bool check_name(uint32_t id, bool required, bool any_text);
  bool check_target(uint32_t id, uint32_t target, bool needs_size);
  bool check_finite();
  bool visit(uint32_t id, bool through_pointers, std::vector<uint8_t>& colour, uint32_t depth);
  bool fail(uint32_t id, const std::string& why);

  Btf& btf_;
};

}  // namespace xnic::device
