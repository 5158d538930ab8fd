// SPDX-License-Identifier: Apache-2.0
// Values of map keys and values as JSON, by their BTF type, in the form that `bpftool map dump --json` calls
// "formatted".
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "base/bytes.hpp"
#include "base/result.hpp"

struct btf;

namespace xnic::device {

// The types of one BTF blob (libbpf does the parsing). Copyable; the copies share the blob.
class TypeTable {
 public:
  // Errors: kBadInput.
  static base::Result<TypeTable> parse(base::Bytes blob);

  // `bytes` (at least the type's size, host byte order) as JSON: integers as numbers, characters arrays as strings
  // where they are text, enumerators by name, structs and unions as objects, arrays as arrays, pointers as "0x…". A
  // data section becomes an array of one-member objects.
  nlohmann::ordered_json to_json(uint32_t type_id, base::Bytes bytes) const;
  // The inverse: writes the value into `bytes` (size as the type's). Members that are absent become zero. Errors:
  // kBadInput naming the member.
  base::Result<void> from_json(uint32_t type_id, const nlohmann::ordered_json& json, base::MutableBytes bytes,
                               const std::string& where) const;
  // As from_json, but members and variables that are absent keep their bytes.
  base::Result<void> merge_json(uint32_t type_id, const nlohmann::ordered_json& json, base::MutableBytes bytes,
                                const std::string& where) const;
  // Bytes of the type, or -1 when it has no size.
  int64_t size(uint32_t type_id) const;

 private:
  std::shared_ptr<struct ::btf> btf_;
};

}  // namespace xnic::device
