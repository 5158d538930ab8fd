// SPDX-License-Identifier: Apache-2.0
// Argument types of global functions, from BTF (Documentation/bpf/btf.rst; rules of kernel btf_prepare_func_args):
// pointers to struct xdp_md are the context, numbers are unknown, other pointers are memory of the pointee's size.
// The blob may be damaged: every read is checked, and what cannot be read is no type.
#include "compile/verify/btf_signature.hpp"

#include <fmt/core.h>

#include <cstring>
#include <map>
#include <string_view>

namespace xnic::compile::verify {
namespace {

enum BtfKind : uint32_t {
  kInt = 1,
  kPtr = 2,
  kArray = 3,
  kStruct = 4,
  kUnion = 5,
  kEnum = 6,
  kTypedef = 8,
  kVolatile = 9,
  kConst = 10,
  kRestrict = 11,
  kFunc = 12,
  kFuncProto = 13,
  kVar = 14,
  kDatasec = 15,
  kFloat = 16,
  kDeclTag = 17,
  kTypeTag = 18,
  kEnum64 = 19,
};

constexpr uint16_t kMagic = 0xeb9f;
constexpr uint32_t kGlobalLinkage = 1;
constexpr int kMaxNesting = 32;  // of modifiers and arrays, as the kernel

struct Type {
  uint32_t name = 0;
  uint32_t info = 0;
  uint32_t size_or_type = 0;
  size_t extra = 0;  // offset of what follows the type
  uint32_t kind() const { return (info >> 24) & 0x1f; }
  uint32_t count() const { return info & 0xffff; }
};

class Btf {
 public:
  explicit Btf(const std::vector<uint8_t>& blob) : blob_(blob) { parse(); }

  const Type* type(uint32_t id) const { return id > 0 && id < types_.size() ? &types_[id] : nullptr; }
  size_t count() const { return types_.size(); }
  std::string_view name(uint32_t offset) const {
    if (offset >= string_bytes_) return "";
    const char* start = reinterpret_cast<const char*>(blob_.data()) + strings_ + offset;
    return {start, strnlen(start, string_bytes_ - offset)};
  }
  uint32_t word(size_t at) const {
    uint32_t value = 0;
    if (at + 4 <= blob_.size()) std::memcpy(&value, blob_.data() + at, 4);
    return value;
  }
  // Through typedefs and qualifiers.
  const Type* plain(uint32_t id) const {
    const Type* found = type(id);
    for (int i = 0; found && i < kMaxNesting; ++i) {
      const uint32_t kind = found->kind();
      if (kind != kTypedef && kind != kVolatile && kind != kConst && kind != kRestrict && kind != kTypeTag)
        return found;
      found = type(found->size_or_type);
    }
    return nullptr;
  }
  std::optional<uint32_t> size_of(uint32_t id, int nesting = 0) const {
    const Type* found = plain(id);
    if (!found || nesting > kMaxNesting) return std::nullopt;
    switch (found->kind()) {
      case kInt:
      case kStruct:
      case kUnion:
      case kEnum:
      case kEnum64:
      case kFloat:
        return found->size_or_type;
      case kPtr:
        return 8;
      case kArray: {
        auto element = size_of(word(found->extra), nesting + 1);
        const uint64_t total = element ? uint64_t{*element} * word(found->extra + 8) : UINT64_MAX;
        if (total > UINT32_MAX) return std::nullopt;
        return static_cast<uint32_t>(total);
      }
      default:
        return std::nullopt;
    }
  }

 private:
  static size_t extra_bytes(const Type& type) {
    switch (type.kind()) {
      case kInt:
      case kVar:
      case kDeclTag:
        return 4;
      case kArray:
        return 12;
      case kStruct:
      case kUnion:
      case kDatasec:
      case kEnum64:
        return size_t{12} * type.count();
      case kEnum:
      case kFuncProto:
        return size_t{8} * type.count();
      default:
        return 0;
    }
  }
  void parse() {
    types_.emplace_back();  // id 0 is void
    if (blob_.size() < 24 || (word(0) & 0xffff) != kMagic) return;
    const uint64_t header = word(4), type_at = header + word(8), type_end = type_at + word(12);
    const uint64_t strings = header + word(16), string_end = strings + word(20);
    if (type_end > blob_.size() || string_end > blob_.size()) return;
    strings_ = strings;
    string_bytes_ = word(20);
    for (uint64_t at = type_at; at + 12 <= type_end;) {
      Type type{word(at), word(at + 4), word(at + 8), at + 12};
      types_.push_back(type);
      at += 12 + extra_bytes(type);
    }
  }

  const std::vector<uint8_t>& blob_;
  std::vector<Type> types_;
  size_t strings_ = 0;
  size_t string_bytes_ = 0;
};

struct Tags {
  bool context = false;
  bool nonnull = false;
  std::string_view other;
};

// "arg:…" declaration tags on argument `position` of the function.
Tags tags_of(const Btf& btf, uint32_t function, uint32_t position) {
  Tags tags;
  for (uint32_t id = 1; id < btf.count(); ++id) {
    const Type& type = *btf.type(id);
    if (type.kind() != kDeclTag || type.size_or_type != function || btf.word(type.extra) != position) continue;
    const std::string_view name = btf.name(type.name);
    if (name.substr(0, 4) != "arg:") continue;
    if (name == "arg:ctx")
      tags.context = true;
    else if (name == "arg:nonnull")
      tags.nonnull = true;
    else
      tags.other = name;
  }
  return tags;
}

bool is_number(const Type* type) {
  return type && (type->kind() == kInt || type->kind() == kEnum || type->kind() == kEnum64);
}

// Adds the argument's register to the signature, or sets its fault.
void add_argument(const Btf& btf, uint32_t function, uint32_t position, uint32_t type_id, Signature& signature) {
  const Type* type = btf.plain(type_id);
  const Tags tags = tags_of(btf, function, position);
  if (!tags.other.empty()) {
    signature.fault = fmt::format("arg#{} has unsupported set of tags ({})", position, tags.other);
    return;
  }
  if (is_number(type)) {
    signature.arguments.push_back(Register::scalar());
    return;
  }
  if (!type || type->kind() != kPtr) {
    signature.fault = fmt::format("Arg#{} type is not supported yet", position);
    return;
  }
  const Type* pointee = btf.plain(type->size_or_type);
  const bool is_struct = pointee && pointee->kind() == kStruct;
  if (tags.context || (is_struct && btf.name(pointee->name) == "xdp_md")) {
    signature.arguments.push_back(Register::pointer(Kind::kContext));
    return;
  }
  if (is_struct && btf.name(pointee->name) == "bpf_dynptr") {
    Register dynptr = Register::pointer(Kind::kDynptr);
    dynptr.read_only = true;
    signature.arguments.push_back(dynptr);
    return;
  }
  auto size = btf.size_of(type->size_or_type);
  if (!size) {
    signature.fault = fmt::format("arg#{} reference type('{}') size cannot be determined", position,
                                  pointee ? btf.name(pointee->name) : "void");
    return;
  }
  Register memory = Register::pointer(Kind::kMemory);
  memory.mem_size = *size;
  memory.maybe_null = !tags.nonnull;
  signature.arguments.push_back(memory);
}

std::optional<Signature> signature_of(const Btf& btf, uint32_t function, std::string_view name) {
  const Type* func = btf.type(function);
  if (!func || func->kind() != kFunc || func->count() != kGlobalLinkage) return std::nullopt;
  Signature signature;
  const Type* proto = btf.type(func->size_or_type);
  if (!proto || proto->kind() != kFuncProto) {
    signature.fault = fmt::format("Invalid type of function {}()", name);
    return signature;
  }
  if (proto->count() > 5) {
    signature.fault = fmt::format("Global function {}() with {} > 5 args. Buggy compiler.", name, proto->count());
    return signature;
  }
  if (!is_number(btf.plain(proto->size_or_type))) {
    signature.fault = fmt::format("Global function {}() doesn't return scalar. Only those are supported.", name);
    return signature;
  }
  for (uint32_t i = 0; i < proto->count() && signature.fault.empty(); ++i)
    add_argument(btf, function, i, btf.word(proto->extra + size_t{8} * i + 4), signature);
  return signature;
}

}  // namespace

Signatures global_signatures(const Program& program) {
  Signatures signatures(program.subprograms.size());
  if (!program.btf || program.btf->func_info_rec_size < 8) return signatures;
  const std::vector<uint8_t>& records = program.btf->func_info;
  std::map<Slot, uint32_t> functions;
  for (size_t at = 0; at + 8 <= records.size(); at += program.btf->func_info_rec_size) {
    uint32_t slot = 0, id = 0;
    std::memcpy(&slot, records.data() + at, 4);
    std::memcpy(&id, records.data() + at + 4, 4);
    functions[slot] = id;
  }
  const Btf btf(program.btf->btf);
  for (size_t i = 1; i < signatures.size(); ++i) {
    const Subprogram& sub = program.subprograms[i];
    if (auto found = functions.find(sub.first); found != functions.end())
      signatures[i] = signature_of(btf, found->second, sub.name);
  }
  return signatures;
}

}  // namespace xnic::compile::verify
