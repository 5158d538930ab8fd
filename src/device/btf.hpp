// SPDX-License-Identifier: Apache-2.0
// Btf: a checked BTF blob (Documentation/bpf/btf.rst, include/uapi/linux/btf.h). Shared by BPF_BTF_LOAD, map creation,
// program tables and typed dumps of map values.
#pragma once

#include <linux/btf.h>

#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "base/bytes.hpp"
#include "base/result.hpp"

namespace xnic::device {

// Kinds that came after the uapi header of Debian 12 was written are in it up to BTF_KIND_ENUM64.
class Btf {
 public:
  // Checks the whole blob (header, strings, each type's own rules, references and sizes, no endless types) and indexes
  // it. The bytes are copied. Errors: kBadInput, the detail names the type id.
  static base::Result<std::shared_ptr<const Btf>> parse(base::Bytes blob);

  // Checks only that every walk over the types stays in the blob and ends: the least that an object's BTF must have
  // before the loader has completed it. Errors: as parse().
  static base::Result<void> check_walkable(base::Bytes blob);

  base::Bytes blob() const { return blob_; }
  // Ids run from 1 to last_id(); 0 is void.
  uint32_t last_id() const { return static_cast<uint32_t>(offsets_.size()) - 1; }
  bool has(uint32_t id) const { return id < offsets_.size(); }
  // Pre: has(id). Type 0 is a btf_type of kind BTF_KIND_UNKN.
  const btf_type& type(uint32_t id) const;
  uint32_t kind(uint32_t id) const { return BTF_INFO_KIND(type(id).info); }
  uint32_t vlen(uint32_t id) const { return BTF_INFO_VLEN(type(id).info); }
  // Empty when the offset is 0. Pre: offset < string section size.
  std::string_view string(uint32_t offset) const;
  bool has_string(uint32_t offset) const { return offset < strings_bytes_; }
  std::string_view name(uint32_t id) const { return string(type(id).name_off); }

  // What follows btf_type, by kind. Pre: the type has that kind.
  std::span<const btf_member> members(uint32_t id) const;
  std::span<const btf_enum> enums(uint32_t id) const;
  std::span<const btf_enum64> enums64(uint32_t id) const;
  std::span<const btf_param> params(uint32_t id) const;
  std::span<const btf_var_secinfo> variables(uint32_t id) const;
  const btf_array& array(uint32_t id) const;
  uint32_t int_encoding(uint32_t id) const;  // the u32 behind BTF_KIND_INT

  // Follows typedef, const, volatile, restrict and type tags.
  uint32_t skip_modifiers(uint32_t id) const;
  // Bytes of a value of this type; nullopt for void, functions and forward declarations.
  std::optional<uint64_t> size_of(uint32_t id) const;
  // Bit offset of member `index`, and its width in bits when it is a bit field (else 0).
  struct MemberPlace {
    uint32_t bit_offset;
    uint32_t bit_width;
  };
  MemberPlace member_place(uint32_t struct_id, size_t index) const;

 private:
  friend class BtfChecker;
  template <class T>
  std::span<const T> trailing(uint32_t id) const;
  std::vector<uint8_t> blob_;
  std::vector<uint32_t> offsets_;  // by id, into blob_; 0 for void
  uint32_t strings_offset_ = 0;
  uint32_t strings_bytes_ = 0;
};

}  // namespace xnic::device
