// SPDX-License-Identifier: Apache-2.0
// A walk over the type: each kind of BTF type has one function to print and one to read. Bit-fields are little-endian,
// as BTF counts them.
#include "device/typed_value.hpp"

#include <bpf/btf.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <nlohmann/json.hpp>

namespace xnic::device {

using base::Bytes;
using base::ErrorKind;
using base::make_error;
using base::MutableBytes;
using base::Result;
using nlohmann::ordered_json;

namespace {

// Modifiers, typedefs and variables don't change a value's form.
const btf_type* resolve(const btf* btf, uint32_t& id) {
  const btf_type* type = btf__type_by_id(btf, id);
  while (type != nullptr && (btf_is_mod(type) || btf_is_typedef(type) || btf_is_var(type) ||
                             btf_kind(type) == BTF_KIND_TYPE_TAG || btf_kind(type) == BTF_KIND_DECL_TAG)) {
    id = type->type;
    type = btf__type_by_id(btf, id);
  }
  return type;
}

uint64_t read_bits(Bytes bytes, uint32_t bit_offset, uint32_t bits) {
  uint64_t value = 0;
  for (uint32_t i = 0; i < bits; ++i) {
    const uint32_t bit = bit_offset + i;
    value |= static_cast<uint64_t>(bytes[bit / 8] >> (bit % 8) & 1) << i;
  }
  return value;
}

void write_bits(MutableBytes bytes, uint32_t bit_offset, uint32_t bits, uint64_t value) {
  for (uint32_t i = 0; i < bits; ++i) {
    const uint32_t bit = bit_offset + i;
    const auto mask = static_cast<uint8_t>(1u << (bit % 8));
    bytes[bit / 8] = static_cast<uint8_t>((value >> i & 1) != 0 ? bytes[bit / 8] | mask : bytes[bit / 8] & ~mask);
  }
}

int64_t sign_extend(uint64_t value, uint32_t bits) {
  return bits >= 64 ? static_cast<int64_t>(value) : static_cast<int64_t>(value << (64 - bits)) >> (64 - bits);
}

ordered_json number(uint64_t value, uint32_t bits, bool is_signed) {
  return is_signed ? ordered_json(sign_extend(value, bits)) : ordered_json(value);
}

bool is_char(const btf* btf, uint32_t id) {
  const btf_type* type = resolve(btf, id);
  return type != nullptr && btf_is_int(type) && type->size == 1 &&
         ((btf_int_encoding(type) & BTF_INT_CHAR) != 0 ||
          std::string_view(btf__name_by_offset(btf, type->name_off)) == "char");
}

// Text: printable characters, then only NULs, and at least one of them.
bool is_text(Bytes bytes) {
  const auto end = std::find(bytes.begin(), bytes.end(), 0);
  return end != bytes.end() && std::all_of(bytes.begin(), end, [](uint8_t c) { return std::isprint(c) != 0; }) &&
         std::all_of(end, bytes.end(), [](uint8_t c) { return c == 0; });
}

std::string enumerator_name(const btf* btf, const btf_type* type, int64_t value) {
  for (uint16_t i = 0; i < btf_vlen(type); ++i) {
    if (btf_is_enum(type) && btf_enum(type)[i].val == static_cast<int32_t>(value)) {
      return btf__name_by_offset(btf, btf_enum(type)[i].name_off);
    }
    if (btf_is_enum64(type) && static_cast<int64_t>(btf_enum64_value(btf_enum64(type) + i)) == value) {
      return btf__name_by_offset(btf, btf_enum64(type)[i].name_off);
    }
  }
  return "";
}

std::string hex(uint64_t value) { return fmt::format("0x{:x}", value); }

ordered_json print(const btf* btf, uint32_t id, Bytes bytes);

ordered_json print_members(const btf* btf, const btf_type* type, Bytes bytes) {
  ordered_json object = ordered_json::object();
  for (uint16_t i = 0; i < btf_vlen(type); ++i) {
    const btf_member* member = btf_members(type) + i;
    const uint32_t bit_offset = btf_member_bit_offset(type, i);
    const uint32_t bits = btf_member_bitfield_size(type, i);
    const char* name = btf__name_by_offset(btf, member->name_off);
    ordered_json value;
    if (bits != 0) {
      uint32_t member_id = member->type;
      const btf_type* member_type = resolve(btf, member_id);
      const bool is_signed = btf_is_int(member_type) && (btf_int_encoding(member_type) & BTF_INT_SIGNED) != 0;
      value = number(read_bits(bytes, bit_offset, bits), bits, is_signed);
    } else {
      value = print(btf, member->type, bytes.subspan(bit_offset / 8));
    }
    if (*name == '\0' && value.is_object()) {  // an anonymous struct or union: its members belong to this one
      object.update(value);
    } else {
      object[*name != '\0' ? name : fmt::format("member_{}", i)] = std::move(value);
    }
  }
  return object;
}

ordered_json print_array(const btf* btf, const btf_type* type, Bytes bytes) {
  const auto* array = btf_array(type);
  const int64_t element_bytes = btf__resolve_size(btf, array->type);
  if (element_bytes <= 0) return ordered_json::array();
  if (is_char(btf, array->type) && is_text(bytes.first(array->nelems))) {
    return std::string(reinterpret_cast<const char*>(bytes.data()));
  }
  ordered_json list = ordered_json::array();
  for (uint32_t i = 0; i < array->nelems; ++i) {
    list.push_back(print(btf, array->type, bytes.subspan(i * static_cast<size_t>(element_bytes))));
  }
  return list;
}

ordered_json print_data_section(const btf* btf, const btf_type* type, Bytes bytes) {
  ordered_json list = ordered_json::array();
  for (uint16_t i = 0; i < btf_vlen(type); ++i) {
    const btf_var_secinfo* info = btf_var_secinfos(type) + i;
    const btf_type* variable = btf__type_by_id(btf, info->type);
    list.push_back(
        {{btf__name_by_offset(btf, variable->name_off), print(btf, info->type, bytes.subspan(info->offset))}});
  }
  return ordered_json{{btf__name_by_offset(btf, type->name_off), std::move(list)}};
}

ordered_json print(const btf* btf, uint32_t id, Bytes bytes) {
  const btf_type* type = resolve(btf, id);
  if (type == nullptr) return nullptr;
  switch (btf_kind(type)) {
    case BTF_KIND_INT: {
      const uint32_t bits = type->size * 8;
      if (bits > 64) {
        std::string digits = "0x";
        for (uint32_t i = type->size; i-- > 0;) digits += fmt::format("{:02x}", bytes[i]);
        return digits;
      }
      const uint64_t value = read_bits(bytes, 0, bits);
      if ((btf_int_encoding(type) & BTF_INT_BOOL) != 0) return value != 0;
      return number(value, bits, (btf_int_encoding(type) & BTF_INT_SIGNED) != 0);
    }
    case BTF_KIND_ENUM:
    case BTF_KIND_ENUM64: {
      const int64_t value = sign_extend(read_bits(bytes, 0, type->size * 8), type->size * 8);
      const std::string name = enumerator_name(btf, type, value);
      return name.empty() ? ordered_json(value) : ordered_json(name);
    }
    case BTF_KIND_PTR:
      return hex(read_bits(bytes, 0, 64));
    case BTF_KIND_STRUCT:
    case BTF_KIND_UNION:
      return print_members(btf, type, bytes);
    case BTF_KIND_ARRAY:
      return print_array(btf, type, bytes);
    case BTF_KIND_DATASEC:
      return print_data_section(btf, type, bytes);
    case BTF_KIND_FLOAT:
      if (type->size == 4) return std::bit_cast<float>(base::load<uint32_t>(bytes.data()));
      if (type->size == 8) return std::bit_cast<double>(base::load<uint64_t>(bytes.data()));
      return nullptr;
    default:
      return nullptr;
  }
}

Result<void> read(const btf* btf, uint32_t id, const ordered_json& json, MutableBytes bytes, const std::string& where);

// A number, or a string that spells one ("0x1f", "-3").
Result<uint64_t> read_number(const ordered_json& json, uint32_t bits, bool is_signed, const std::string& where) {
  uint64_t value = 0;
  bool negative = false;
  if (json.is_boolean()) {
    value = json.get<bool>() ? 1 : 0;
  } else if (json.is_number_integer()) {
    negative = json.is_number_integer() && !json.is_number_unsigned() && json.get<int64_t>() < 0;
    value = negative ? static_cast<uint64_t>(json.get<int64_t>()) : json.get<uint64_t>();
  } else if (json.is_string()) {
    const std::string text = json.get<std::string>();
    std::string_view digits = text;
    negative = digits.starts_with('-');
    if (negative) digits.remove_prefix(1);
    const int radix = digits.starts_with("0x") ? 16 : 10;
    if (radix == 16) digits.remove_prefix(2);
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value, radix);
    if (error != std::errc() || end != digits.data() + digits.size() || digits.empty()) {
      return make_error(ErrorKind::kBadInput, where, "'{}' is not a number", text);
    }
    if (negative) value = -value;
  } else {
    return make_error(ErrorKind::kBadInput, where, "needs a number, not {}", json.type_name());
  }
  const bool fits =
      negative ? is_signed && static_cast<int64_t>(value) < 0 && sign_extend(value, bits) == static_cast<int64_t>(value)
               : bits >= 64 || value >> (is_signed ? bits - 1 : bits) == 0;
  if (!fits)
    return make_error(ErrorKind::kBadInput, where, "{} does not fit in {} {} bits", json.dump(),
                      is_signed ? "signed" : "unsigned", bits);
  return value;
}

// Finds where the members of `json` belong; anonymous members are searched too. Unknown names are the user's mistake.
Result<void> read_members(const btf* btf, const btf_type* type, const ordered_json& json, MutableBytes bytes,
                          const std::string& where, std::vector<std::string>& taken) {
  for (uint16_t i = 0; i < btf_vlen(type); ++i) {
    const btf_member* member = btf_members(type) + i;
    const uint32_t bit_offset = btf_member_bit_offset(type, i);
    const uint32_t bits = btf_member_bitfield_size(type, i);
    const std::string name = btf__name_by_offset(btf, member->name_off);
    uint32_t member_id = member->type;
    const btf_type* member_type = resolve(btf, member_id);
    if (name.empty() && btf_is_composite(member_type)) {
      XNIC_TRY(read_members(btf, member_type, json, bytes.subspan(bit_offset / 8), where, taken));
      continue;
    }
    const auto value = json.find(name);
    if (value == json.end()) continue;
    taken.push_back(name);
    if (bits != 0) {
      const bool is_signed = btf_is_int(member_type) && (btf_int_encoding(member_type) & BTF_INT_SIGNED) != 0;
      XNIC_ASSIGN(const uint64_t field, read_number(*value, bits, is_signed, where + "." + name));
      write_bits(bytes, bit_offset, bits, field);
    } else {
      XNIC_TRY(read(btf, member->type, *value, bytes.subspan(bit_offset / 8), where + "." + name));
    }
  }
  return {};
}

Result<void> read_composite(const btf* btf, const btf_type* type, const ordered_json& json, MutableBytes bytes,
                            const std::string& where) {
  if (!json.is_object()) return make_error(ErrorKind::kBadInput, where, "needs an object, not {}", json.type_name());
  std::vector<std::string> taken;
  XNIC_TRY(read_members(btf, type, json, bytes, where, taken));
  for (const auto& [name, value] : json.items()) {
    if (std::find(taken.begin(), taken.end(), name) == taken.end()) {
      return make_error(ErrorKind::kBadInput, where, "{} {} has no member '{}'",
                        btf_is_struct(type) ? "struct" : "union", btf__name_by_offset(btf, type->name_off), name);
    }
  }
  return {};
}

Result<void> read_array(const btf* btf, const btf_type* type, const ordered_json& json, MutableBytes bytes,
                        const std::string& where) {
  const auto* array = btf_array(type);
  if (json.is_string() && is_char(btf, array->type)) {
    const std::string text = json.get<std::string>();
    if (text.size() > array->nelems)
      return make_error(ErrorKind::kBadInput, where, "'{}' is longer than {}", text, array->nelems);
    std::copy(text.begin(), text.end(), bytes.begin());
    return {};
  }
  if (!json.is_array()) return make_error(ErrorKind::kBadInput, where, "needs an array, not {}", json.type_name());
  if (json.size() > array->nelems) {
    return make_error(ErrorKind::kBadInput, where, "has {} elements, the type {}", json.size(), array->nelems);
  }
  const int64_t element_bytes = btf__resolve_size(btf, array->type);
  for (size_t i = 0; i < json.size(); ++i) {
    XNIC_TRY(read(btf, array->type, json[i], bytes.subspan(i * static_cast<size_t>(element_bytes)),
                  fmt::format("{}[{}]", where, i)));
  }
  return {};
}

Result<void> read_enum(const btf* btf, const btf_type* type, const ordered_json& json, MutableBytes bytes,
                       const std::string& where) {
  const uint32_t bits = type->size * 8;
  if (!json.is_string()) {
    XNIC_ASSIGN(const uint64_t value,
                read_number(json, bits, json.is_number_integer() && !json.is_number_unsigned(), where));
    write_bits(bytes, 0, bits, value);
    return {};
  }
  for (uint16_t i = 0; i < btf_vlen(type); ++i) {
    const uint32_t name = btf_is_enum(type) ? btf_enum(type)[i].name_off : btf_enum64(type)[i].name_off;
    if (json.get<std::string>() != btf__name_by_offset(btf, name)) continue;
    const uint64_t value =
        btf_is_enum(type) ? static_cast<uint64_t>(btf_enum(type)[i].val) : btf_enum64_value(btf_enum64(type) + i);
    write_bits(bytes, 0, bits, value);
    return {};
  }
  return make_error(ErrorKind::kBadInput, where, "{} is no enumerator of enum {}", json.dump(),
                    btf__name_by_offset(btf, type->name_off));
}

Result<void> read_data_section(const btf* btf, const btf_type* type, const ordered_json& json, MutableBytes bytes,
                               const std::string& where) {
  const char* section = btf__name_by_offset(btf, type->name_off);
  const ordered_json& list = json.is_object() && json.contains(section) ? json[section] : json;
  if (!list.is_array()) return make_error(ErrorKind::kBadInput, where, "needs an array of {{variable: value}}");
  for (const ordered_json& entry : list) {
    if (!entry.is_object()) return make_error(ErrorKind::kBadInput, where, "needs an array of {{variable: value}}");
    for (const auto& [name, value] : entry.items()) {
      bool found = false;
      for (uint16_t i = 0; i < btf_vlen(type) && !found; ++i) {
        const btf_var_secinfo* info = btf_var_secinfos(type) + i;
        found = name == btf__name_by_offset(btf, btf__type_by_id(btf, info->type)->name_off);
        if (found) XNIC_TRY(read(btf, info->type, value, bytes.subspan(info->offset), where + "." + name));
      }
      if (!found) return make_error(ErrorKind::kBadInput, where, "{} has no variable '{}'", section, name);
    }
  }
  return {};
}

Result<void> read(const btf* btf, uint32_t id, const ordered_json& json, MutableBytes bytes, const std::string& where) {
  const btf_type* type = resolve(btf, id);
  if (type == nullptr) return make_error(ErrorKind::kBadInput, where, "the object's BTF has no type {}", id);
  switch (btf_kind(type)) {
    case BTF_KIND_INT: {
      if (type->size > 8) return make_error(ErrorKind::kUnsupported, where, "integers of more than 8 bytes");
      const uint32_t bits = type->size * 8;
      XNIC_ASSIGN(const uint64_t value, read_number(json, bits, (btf_int_encoding(type) & BTF_INT_SIGNED) != 0, where));
      write_bits(bytes, 0, bits, value);
      return {};
    }
    case BTF_KIND_PTR: {
      XNIC_ASSIGN(const uint64_t value, read_number(json, 64, false, where));
      write_bits(bytes, 0, 64, value);
      return {};
    }
    case BTF_KIND_ENUM:
    case BTF_KIND_ENUM64:
      return read_enum(btf, type, json, bytes, where);
    case BTF_KIND_STRUCT:
    case BTF_KIND_UNION:
      return read_composite(btf, type, json, bytes, where);
    case BTF_KIND_ARRAY:
      return read_array(btf, type, json, bytes, where);
    case BTF_KIND_DATASEC:
      return read_data_section(btf, type, json, bytes, where);
    default:
      return make_error(ErrorKind::kUnsupported, where, "values of BTF kind {}", btf_kind(type));
  }
}

}  // namespace

Result<TypeTable> TypeTable::parse(Bytes blob) {
  struct btf* parsed = btf__new(blob.data(), static_cast<uint32_t>(blob.size()));
  if (parsed == nullptr) return make_error(ErrorKind::kBadInput, "BTF", "cannot be parsed");
  TypeTable table;
  table.btf_ = std::shared_ptr<struct ::btf>(parsed, btf__free);
  return table;
}

int64_t TypeTable::size(uint32_t type_id) const {
  const int64_t bytes = btf__resolve_size(btf_.get(), type_id);
  return bytes < 0 ? -1 : bytes;
}

ordered_json TypeTable::to_json(uint32_t type_id, Bytes bytes) const { return print(btf_.get(), type_id, bytes); }

Result<void> TypeTable::from_json(uint32_t type_id, const ordered_json& json, MutableBytes bytes,
                                  const std::string& where) const {
  std::fill(bytes.begin(), bytes.end(), 0);
  return merge_json(type_id, json, bytes, where);
}

Result<void> TypeTable::merge_json(uint32_t type_id, const ordered_json& json, MutableBytes bytes,
                                   const std::string& where) const {
  if (size(type_id) != static_cast<int64_t>(bytes.size())) {
    return make_error(ErrorKind::kBadInput, where, "BTF type {} has {} bytes, the map's {}", type_id, size(type_id),
                      bytes.size());
  }
  return read(btf_.get(), type_id, json, bytes, where);
}

}  // namespace xnic::device
