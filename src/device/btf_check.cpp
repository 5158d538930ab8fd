// SPDX-License-Identifier: Apache-2.0
// Checks BTF in three passes, following the rules of the kernel (kernel/bpf/btf.c): (1) the header and the string
// section; (2) each type by itself, in order, which also finds where the next one starts; (3) references: every id
// exists, what needs a size has one, members lie inside their struct, and no type contains itself by value or points to
// itself through pointers and modifiers alone. After pass 3 every function of Btf terminates and stays in the blob.
#include "device/btf_check.hpp"

#include <fmt/format.h>

#include <cctype>

namespace xnic::device {
namespace {

constexpr uint32_t kMaxBtfBytes = 16u << 20;
constexpr uint32_t kMaxTypes = 0x000fffff;
constexpr uint32_t kMaxDepth = 256;  // nesting of types; the kernel allows 32, compilers stay far below

bool is_identifier(std::string_view text) {
  if (text.empty()) return false;
  if (!(std::isalpha(static_cast<unsigned char>(text[0])) || text[0] == '_' || text[0] == '.')) return false;
  for (unsigned char c : text)
    if (!std::isalnum(c) && c != '_' && c != '.') return false;
  return true;
}

// Bytes that follow btf_type.
uint64_t trailing_bytes(uint32_t kind, uint32_t vlen) {
  switch (kind) {
    case BTF_KIND_INT:
    case BTF_KIND_VAR:
    case BTF_KIND_DECL_TAG:
      return 4;
    case BTF_KIND_ARRAY:
      return sizeof(btf_array);
    case BTF_KIND_STRUCT:
    case BTF_KIND_UNION:
      return uint64_t{vlen} * sizeof(btf_member);
    case BTF_KIND_ENUM:
      return uint64_t{vlen} * sizeof(btf_enum);
    case BTF_KIND_ENUM64:
      return uint64_t{vlen} * sizeof(btf_enum64);
    case BTF_KIND_FUNC_PROTO:
      return uint64_t{vlen} * sizeof(btf_param);
    case BTF_KIND_DATASEC:
      return uint64_t{vlen} * sizeof(btf_var_secinfo);
    default:
      return 0;
  }
}

bool may_have_vlen(uint32_t kind) {
  return kind == BTF_KIND_STRUCT || kind == BTF_KIND_UNION || kind == BTF_KIND_ENUM || kind == BTF_KIND_ENUM64 ||
         kind == BTF_KIND_FUNC_PROTO || kind == BTF_KIND_DATASEC || kind == BTF_KIND_FUNC;  // FUNC: linkage
}

bool may_have_flag(uint32_t kind) {
  return kind == BTF_KIND_STRUCT || kind == BTF_KIND_UNION || kind == BTF_KIND_ENUM || kind == BTF_KIND_ENUM64 ||
         kind == BTF_KIND_FWD || kind == BTF_KIND_DECL_TAG || kind == BTF_KIND_TYPE_TAG;  // tags: attributes (6.14)
}

}  // namespace

bool BtfChecker::fail(uint32_t id, const std::string& why) {
  reason = id == 0 ? why : fmt::format("type [{}]: {}", id, why);
  return false;
}

bool BtfChecker::run() {
  if (!check_header() || !index_types(true)) return false;
  for (uint32_t id = 1; id <= btf_.last_id(); ++id)
    if (!check_references(id)) return false;
  return check_finite();
}

bool BtfChecker::run_walkable() {
  if (!check_layout() || !index_types(false)) return false;
  for (uint32_t id = 1; id <= btf_.last_id(); ++id)
    if (!check_names(id) || !check_references(id)) return false;
  return check_circles(false);
}

// What has to hold before anything is looked at: sections inside the blob, strings that end.
bool BtfChecker::check_layout() {
  const auto& blob = btf_.blob_;
  if (blob.size() > kMaxBtfBytes) return fail(0, "longer than 16 MiB");
  if (blob.size() < sizeof(btf_header)) return fail(0, "shorter than its header");
  const auto& header = *reinterpret_cast<const btf_header*>(blob.data());
  if (header.magic != BTF_MAGIC) return fail(0, "bad magic number (not BTF, or of the other byte order)");
  if (header.hdr_len < sizeof(btf_header) || header.hdr_len > blob.size()) return fail(0, "bad header length");
  if (header.type_off % 4 != 0 || header.hdr_len % 4 != 0) return fail(0, "type section not aligned");
  const uint64_t left = blob.size() - header.hdr_len;
  if (uint64_t{header.type_off} + header.type_len > left || uint64_t{header.str_off} + header.str_len > left)
    return fail(0, "sections outside the blob");
  if (header.str_len == 0) return fail(0, "no string section");
  btf_.strings_offset_ = header.hdr_len + header.str_off;
  btf_.strings_bytes_ = header.str_len;
  if (blob[btf_.strings_offset_] != 0 || blob[btf_.strings_offset_ + btf_.strings_bytes_ - 1] != 0)
    return fail(0, "string section not framed by NUL");
  return true;
}

// The kernel's rules on the header on top of that.
bool BtfChecker::check_header() {
  if (!check_layout()) return false;
  const auto& blob = btf_.blob_;
  const auto& header = *reinterpret_cast<const btf_header*>(blob.data());
  if (header.version != BTF_VERSION) return fail(0, fmt::format("unknown version {}", header.version));
  if (header.flags != 0) return fail(0, "unknown flags");
  for (size_t at = sizeof(btf_header); at < header.hdr_len; ++at)
    if (blob[at] != 0) return fail(0, "unknown header fields");
  uint64_t types_end = uint64_t{header.type_off} + header.type_len;
  uint64_t strings_end = uint64_t{header.str_off} + header.str_len;
  if (header.type_off != 0 || types_end != header.str_off || header.hdr_len + strings_end != blob.size())
    return fail(0, "sections overlap, leave gaps, or do not fill the blob");
  return true;
}

bool BtfChecker::index_types(bool check_each) {
  const auto& header = *reinterpret_cast<const btf_header*>(btf_.blob_.data());
  uint32_t at = header.hdr_len + header.type_off;
  uint32_t end = at + header.type_len;
  btf_.offsets_.assign(1, 0);
  while (at < end) {
    uint32_t id = static_cast<uint32_t>(btf_.offsets_.size());
    if (id > kMaxTypes) return fail(id, "too many types");
    if (end - at < sizeof(btf_type)) return fail(id, "cut off");
    btf_.offsets_.push_back(at);
    const auto& type = btf_.type(id);
    uint64_t bytes = sizeof(btf_type) + trailing_bytes(BTF_INFO_KIND(type.info), BTF_INFO_VLEN(type.info));
    if (bytes > end - at) return fail(id, "cut off");
    if (check_each && !check_type(id)) return false;
    at += static_cast<uint32_t>(bytes);
  }
  return true;
}

bool BtfChecker::check_name(uint32_t id, bool required, bool any_text) {
  uint32_t offset = btf_.type(id).name_off;
  if (!btf_.has_string(offset)) return fail(id, "name outside the string section");
  std::string_view name = btf_.string(offset);
  if (name.empty()) return required ? fail(id, "has no name") : true;
  if (!any_text && !is_identifier(name)) return fail(id, fmt::format("bad name '{}'", name));
  return true;
}

bool BtfChecker::check_type(uint32_t id) {
  const btf_type& type = btf_.type(id);
  uint32_t kind = BTF_INFO_KIND(type.info);
  if (kind == BTF_KIND_UNKN || kind > BTF_KIND_ENUM64) return fail(id, fmt::format("unknown kind {}", kind));
  if (type.info & 0x60ff0000) return fail(id, "reserved bits set");
  if (BTF_INFO_VLEN(type.info) != 0 && !may_have_vlen(kind)) return fail(id, "has elements where none belong");
  if (BTF_INFO_KFLAG(type.info) && !may_have_flag(kind)) return fail(id, "kind flag where none belongs");
  switch (kind) {
    case BTF_KIND_INT: {
      uint32_t encoding = btf_.int_encoding(id);
      if (encoding & ~0x0fff00ffu) return fail(id, "reserved bits set");
      uint32_t bits = BTF_INT_BITS(encoding) + BTF_INT_OFFSET(encoding);
      if (bits > 128 || BTF_INT_BITS(encoding) == 0 || (bits + 7) / 8 > type.size) return fail(id, "bad width");
      if (type.size == 0 || type.size > 16 || (type.size & (type.size - 1)) != 0) return fail(id, "bad size");
      return check_name(id, false, true);
    }
    case BTF_KIND_FLOAT:
      if (type.size != 2 && type.size != 4 && type.size != 8 && type.size != 12 && type.size != 16)
        return fail(id, "bad size");
      return check_name(id, true, true);
    case BTF_KIND_PTR:
    case BTF_KIND_CONST:
    case BTF_KIND_VOLATILE:
    case BTF_KIND_RESTRICT:
      return type.name_off == 0 ? true : fail(id, "has a name where none belongs");
    case BTF_KIND_ARRAY:
      if (type.name_off != 0 || type.size != 0) return fail(id, "array with a name or size of its own");
      return true;
    case BTF_KIND_STRUCT:
    case BTF_KIND_UNION:
      return check_name(id, false, true) && check_members(id);
    case BTF_KIND_ENUM:
    case BTF_KIND_ENUM64:
      return check_name(id, false, true) && check_enums(id);
    case BTF_KIND_FUNC:
    case BTF_KIND_FUNC_PROTO:
      return check_function(id);
    case BTF_KIND_DATASEC:
      return check_name(id, true, true) && check_datasec(id);
    case BTF_KIND_VAR: {
      uint32_t linkage = btf_.int_encoding(id);
      if (linkage > BTF_VAR_GLOBAL_EXTERN) return fail(id, "unknown linkage");
      return check_name(id, true, true);
    }
    case BTF_KIND_FWD:
    case BTF_KIND_TYPEDEF:
    case BTF_KIND_TYPE_TAG:
    case BTF_KIND_DECL_TAG:
      return check_name(id, true, true);
  }
  return true;
}

bool BtfChecker::check_members(uint32_t id) {
  const btf_type& type = btf_.type(id);
  bool flagged = BTF_INFO_KFLAG(type.info);
  uint32_t last = 0;
  for (const btf_member& member : btf_.members(id)) {
    if (!btf_.has_string(member.name_off)) return fail(id, "member name outside the string section");
    uint32_t offset = flagged ? BTF_MEMBER_BIT_OFFSET(member.offset) : member.offset;
    if (BTF_INFO_KIND(type.info) == BTF_KIND_UNION && offset != 0) return fail(id, "union member not at offset 0");
    if (offset < last) return fail(id, "members not in order");
    if ((uint64_t{offset} + 7) / 8 > type.size) return fail(id, "member outside its struct");
    last = offset;
  }
  return true;
}

// Every name of the type and of its elements lies in the string section.
bool BtfChecker::check_names(uint32_t id) {
  bool good = btf_.has_string(btf_.type(id).name_off);
  switch (btf_.kind(id)) {
    case BTF_KIND_STRUCT:
    case BTF_KIND_UNION:
      for (const btf_member& member : btf_.members(id)) good = good && btf_.has_string(member.name_off);
      break;
    case BTF_KIND_ENUM:
      for (const btf_enum& value : btf_.enums(id)) good = good && btf_.has_string(value.name_off);
      break;
    case BTF_KIND_ENUM64:
      for (const btf_enum64& value : btf_.enums64(id)) good = good && btf_.has_string(value.name_off);
      break;
    case BTF_KIND_FUNC_PROTO:
      for (const btf_param& param : btf_.params(id)) good = good && btf_.has_string(param.name_off);
      break;
  }
  return good ? true : fail(id, "name outside the string section");
}

bool BtfChecker::check_enums(uint32_t id) {
  uint32_t size = btf_.type(id).size;
  if (size == 0 || size > 8 || (size & (size - 1)) != 0) return fail(id, "bad size");
  auto named = [&](uint32_t offset) { return btf_.has_string(offset) && !btf_.string(offset).empty(); };
  if (btf_.kind(id) == BTF_KIND_ENUM) {
    for (const btf_enum& value : btf_.enums(id))
      if (!named(value.name_off)) return fail(id, "enumerator without a name");
  } else {
    for (const btf_enum64& value : btf_.enums64(id))
      if (!named(value.name_off)) return fail(id, "enumerator without a name");
  }
  return true;
}

bool BtfChecker::check_function(uint32_t id) {
  const btf_type& type = btf_.type(id);
  if (BTF_INFO_KIND(type.info) == BTF_KIND_FUNC) {
    if (BTF_INFO_VLEN(type.info) > BTF_FUNC_EXTERN) return fail(id, "unknown linkage");
    return check_name(id, true, false);
  }
  if (type.name_off != 0) return fail(id, "function prototype with a name");
  for (const btf_param& param : btf_.params(id))
    if (!btf_.has_string(param.name_off)) return fail(id, "parameter name outside the string section");
  return true;
}

bool BtfChecker::check_datasec(uint32_t id) {
  uint64_t end = 0;
  uint64_t total = 0;
  if (btf_.type(id).size == 0) return fail(id, "data section of size 0");
  for (const btf_var_secinfo& variable : btf_.variables(id)) {
    if (variable.size == 0 || variable.offset < end) return fail(id, "variables overlap or have no size");
    end = uint64_t{variable.offset} + variable.size;
    total += variable.size;
    if (end > btf_.type(id).size) return fail(id, "variable outside its section");
  }
  return total <= btf_.type(id).size ? true : fail(id, "variables larger than their section");
}

bool BtfChecker::check_target(uint32_t id, uint32_t target, bool needs_size) {
  if (!btf_.has(target)) return fail(id, fmt::format("refers to type [{}], which does not exist", target));
  if (needs_size && target == 0) return fail(id, "needs a type with a size, not void");
  return true;
}

bool BtfChecker::check_references(uint32_t id) {
  const btf_type& type = btf_.type(id);
  switch (BTF_INFO_KIND(type.info)) {
    case BTF_KIND_PTR:
    case BTF_KIND_CONST:
    case BTF_KIND_VOLATILE:
    case BTF_KIND_RESTRICT:
    case BTF_KIND_TYPEDEF:
    case BTF_KIND_TYPE_TAG:
      return check_target(id, type.type, false);
    case BTF_KIND_VAR:
      return check_target(id, type.type, true);
    case BTF_KIND_DECL_TAG:
      return check_target(id, type.type, true);
    case BTF_KIND_ARRAY:
      return check_target(id, btf_.array(id).type, true) && check_target(id, btf_.array(id).index_type, true);
    case BTF_KIND_STRUCT:
    case BTF_KIND_UNION:
      for (const btf_member& member : btf_.members(id))
        if (!check_target(id, member.type, true)) return false;
      return true;
    case BTF_KIND_FUNC:
      if (!check_target(id, type.type, true)) return false;
      return btf_.kind(type.type) == BTF_KIND_FUNC_PROTO ? true : fail(id, "function without a prototype");
    case BTF_KIND_FUNC_PROTO:
      for (const btf_param& param : btf_.params(id))
        if (!check_target(id, param.type, false)) return false;
      return check_target(id, type.type, false);
    case BTF_KIND_DATASEC:
      for (const btf_var_secinfo& variable : btf_.variables(id)) {
        if (!check_target(id, variable.type, true)) return false;
        uint32_t kind = btf_.kind(variable.type);
        if (kind != BTF_KIND_VAR && kind != BTF_KIND_FUNC)
          return fail(id, "entry is neither a variable nor a function");
      }
      return true;
  }
  return true;
}

// Depth-first search with three colours. By value: modifiers, arrays, members, variables. Through pointers: pointers
// and modifiers only, since a struct may well point to itself.
bool BtfChecker::visit(uint32_t id, bool through_pointers, std::vector<uint8_t>& colour, uint32_t depth) {
  if (id == 0 || colour[id] == 2) return true;
  if (colour[id] == 1) return fail(id, "contains or refers to itself without end");
  if (depth > kMaxDepth) return fail(id, "nested too deeply");
  colour[id] = 1;
  const btf_type& type = btf_.type(id);
  bool good = true;
  switch (BTF_INFO_KIND(type.info)) {
    case BTF_KIND_CONST:
    case BTF_KIND_VOLATILE:
    case BTF_KIND_RESTRICT:
    case BTF_KIND_TYPEDEF:
    case BTF_KIND_TYPE_TAG:
      good = visit(type.type, through_pointers, colour, depth + 1);
      break;
    case BTF_KIND_PTR:
      if (through_pointers) good = visit(type.type, true, colour, depth + 1);
      break;
    case BTF_KIND_VAR:
      if (!through_pointers) good = visit(type.type, false, colour, depth + 1);
      break;
    case BTF_KIND_ARRAY:
      if (!through_pointers) good = visit(btf_.array(id).type, false, colour, depth + 1);
      break;
    case BTF_KIND_STRUCT:
    case BTF_KIND_UNION:
      if (!through_pointers)
        for (const btf_member& member : btf_.members(id)) good = good && visit(member.type, false, colour, depth + 1);
      break;
  }
  colour[id] = 2;
  return good;
}

bool BtfChecker::check_circles(bool through_pointers) {
  std::vector<uint8_t> colour(btf_.last_id() + 1, 0);
  for (uint32_t id = 1; id <= btf_.last_id(); ++id)
    if (!visit(id, through_pointers, colour, 0)) return false;
  return true;
}

bool BtfChecker::check_finite() {
  if (!check_circles(false) || !check_circles(true)) return false;
  // With no endless types left, sizes can be asked for.
  for (uint32_t id = 1; id <= btf_.last_id(); ++id) {
    uint32_t kind = btf_.kind(id);
    if (kind == BTF_KIND_ARRAY && !btf_.size_of(btf_.array(id).type)) return fail(id, "array of a type without a size");
    if (kind != BTF_KIND_STRUCT && kind != BTF_KIND_UNION) continue;
    for (size_t i = 0; i < btf_.vlen(id); ++i) {
      auto size = btf_.size_of(btf_.members(id)[i].type);
      if (!size) return fail(id, fmt::format("member {} has no size", i));
      auto place = btf_.member_place(id, i);
      uint64_t end_bits = place.bit_offset + (place.bit_width ? place.bit_width : *size * 8);
      if (place.bit_width == 0 && place.bit_offset % 8 != 0) return fail(id, fmt::format("member {} misaligned", i));
      if (end_bits > uint64_t{btf_.type(id).size} * 8) return fail(id, fmt::format("member {} outside its struct", i));
    }
  }
  return true;
}

base::Result<std::shared_ptr<const Btf>> Btf::parse(base::Bytes blob) {
  auto btf = std::make_shared<Btf>();
  btf->blob_.assign(blob.begin(), blob.end());
  BtfChecker checker(*btf);
  if (!checker.run()) return base::make_error(base::ErrorKind::kBadInput, "BTF", "{}", checker.reason);
  return std::shared_ptr<const Btf>(std::move(btf));
}

base::Result<void> Btf::check_walkable(base::Bytes blob) {
  Btf btf;
  btf.blob_.assign(blob.begin(), blob.end());
  BtfChecker checker(btf);
  if (!checker.run_walkable()) return base::make_error(base::ErrorKind::kBadInput, "BTF", "{}", checker.reason);
  return {};
}

}  // namespace xnic::device
