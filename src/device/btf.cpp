// SPDX-License-Identifier: Apache-2.0
// Access to a checked BTF blob. All types start on 4-byte boundaries of a buffer that operator new aligned, so they are
// read in place. No function here fails: btf_check.cpp has refused everything that could.
#include "device/btf.hpp"

#include "base/check.hpp"

namespace xnic::device {
namespace {

constexpr btf_type kVoid{};

bool is_modifier(uint32_t kind) {
  return kind == BTF_KIND_TYPEDEF || kind == BTF_KIND_CONST || kind == BTF_KIND_VOLATILE || kind == BTF_KIND_RESTRICT ||
         kind == BTF_KIND_TYPE_TAG;
}

}  // namespace

const btf_type& Btf::type(uint32_t id) const {
  CHECK(has(id));
  return id == 0 ? kVoid : *reinterpret_cast<const btf_type*>(blob_.data() + offsets_[id]);
}

std::string_view Btf::string(uint32_t offset) const {
  CHECK(has_string(offset));
  return reinterpret_cast<const char*>(blob_.data() + strings_offset_ + offset);
}

template <class T>
std::span<const T> Btf::trailing(uint32_t id) const {
  return {reinterpret_cast<const T*>(&type(id) + 1), vlen(id)};
}

std::span<const btf_member> Btf::members(uint32_t id) const { return trailing<btf_member>(id); }
std::span<const btf_enum> Btf::enums(uint32_t id) const { return trailing<btf_enum>(id); }
std::span<const btf_enum64> Btf::enums64(uint32_t id) const { return trailing<btf_enum64>(id); }
std::span<const btf_param> Btf::params(uint32_t id) const { return trailing<btf_param>(id); }
std::span<const btf_var_secinfo> Btf::variables(uint32_t id) const { return trailing<btf_var_secinfo>(id); }
const btf_array& Btf::array(uint32_t id) const { return *reinterpret_cast<const btf_array*>(&type(id) + 1); }
uint32_t Btf::int_encoding(uint32_t id) const { return *reinterpret_cast<const uint32_t*>(&type(id) + 1); }

uint32_t Btf::skip_modifiers(uint32_t id) const {
  while (is_modifier(kind(id))) id = type(id).type;
  return id;
}

std::optional<uint64_t> Btf::size_of(uint32_t id) const {
  uint64_t elements = 1;
  while (true) {
    id = skip_modifiers(id);
    switch (kind(id)) {
      case BTF_KIND_INT:
      case BTF_KIND_FLOAT:
      case BTF_KIND_STRUCT:
      case BTF_KIND_UNION:
      case BTF_KIND_ENUM:
      case BTF_KIND_ENUM64:
      case BTF_KIND_DATASEC:
        return elements * type(id).size;
      case BTF_KIND_PTR:
        return elements * 8;
      case BTF_KIND_VAR:
        id = type(id).type;
        break;
      case BTF_KIND_ARRAY:
        elements *= array(id).nelems;
        id = array(id).type;
        break;
      default:
        return std::nullopt;
    }
  }
}

Btf::MemberPlace Btf::member_place(uint32_t struct_id, size_t index) const {
  const btf_member& member = members(struct_id)[index];
  if (BTF_INFO_KFLAG(type(struct_id).info))
    return {BTF_MEMBER_BIT_OFFSET(member.offset), BTF_MEMBER_BITFIELD_SIZE(member.offset)};
  // The older form: a bit field is an integer type with fewer bits than its size, at a bit offset of its own.
  uint32_t target = skip_modifiers(member.type);
  if (kind(target) != BTF_KIND_INT) return {member.offset, 0};
  uint32_t encoding = int_encoding(target);
  bool is_field = BTF_INT_BITS(encoding) != type(target).size * 8 || BTF_INT_OFFSET(encoding) != 0;
  return {member.offset + BTF_INT_OFFSET(encoding), is_field ? BTF_INT_BITS(encoding) : 0};
}

}  // namespace xnic::device
