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
  // Fills; checks layout, references and that no type contains itself, but none of the rules on single types.
  bool run_walkable();
  std::string reason;

 private:
  bool check_header();
  bool check_layout();
  bool index_types(bool check_each);
  bool check_type(uint32_t id);
  bool check_members(uint32_t id);
  bool check_enums(uint32_t id);
  bool check_function(uint32_t id);
  bool check_datasec(uint32_t id);
  bool check_references(uint32_t id);
  bool check_name(uint32_t id, bool required, bool any_text);
  bool check_target(uint32_t id, uint32_t target, bool needs_size);
  bool check_finite();
  bool check_circles(bool through_pointers);
  bool check_names(uint32_t id);
  bool visit(uint32_t id, bool through_pointers, std::vector<uint8_t>& colour, uint32_t depth);
  bool fail(uint32_t id, const std::string& why);

  Btf& btf_;
};

}  // namespace xnic::device
