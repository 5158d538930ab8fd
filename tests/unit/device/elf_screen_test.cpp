// SPDX-License-Identifier: Apache-2.0
// Objects that are well-formed ELF, but would lead libbpf out of a table or round in circles. Each is a good object
// with one number changed.
#include "device/elf_screen.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/btf.h>

#include <cstring>

#include "compile_object.hpp"
#include "device/object.hpp"

namespace xnic::device {
namespace {

using testing::HasSubstr;

constexpr const char* kSource = R"(
typedef int number;
typedef number counter;
struct {
  int (*type)[2];
  counter *key;
  counter *value;
  int (*max_entries)[4];
} m __attribute__((section(".maps"), used));
static void *(*lookup)(void *, const void *) = (void *) 1;
__attribute__((section("xdp"), used)) int prog(void *ctx) {
  counter key = 0;
  return lookup(&m, &key) ? 2 : 1;
}
)";

class Screen : public testing::Test {
 protected:
  void SetUp() override {
    const auto bytes = compile_object(kSource);
    auto parsed = ElfObject::parse(bytes, "o");
    ASSERT_TRUE(parsed);
    object_ = std::move(*parsed);
    ASSERT_EQ(load(), "");
  }
  // Loads the object as it is now; the message, "" when it loads.
  std::string load() {
    Device device;
    const auto loaded = Object::load_bytes(device, object_.write(), "o");
    return loaded ? "" : loaded.error().message();
  }
  ElfSymbol& symbol(const std::string& name) {
    for (ElfSymbol& symbol : object_.symbols)
      if (symbol.name == name) return symbol;
    ADD_FAILURE() << "no symbol " << name;
    return object_.symbols.front();
  }
  std::vector<uint8_t>& section(const std::string& name) {
    EXPECT_NE(object_.find(name), 0u) << name;
    return object_.sections[object_.find(name)].data;
  }
  // The n-th type of a kind; types begin behind the header.
  btf_type& type(uint32_t kind, int n) {
    auto& blob = section(".BTF");
    const auto& header = *reinterpret_cast<btf_header*>(blob.data());
    for (uint32_t at = header.hdr_len; at + sizeof(btf_type) <= header.hdr_len + header.type_len; at += 4) {
      auto& type = *reinterpret_cast<btf_type*>(blob.data() + at);
      // Any four bytes that look like the kind would do for the search; names keep it from numbers.
      if (type.info == kind << 24 && type.name_off != 0 && type.name_off < header.str_len && n-- == 0) return type;
    }
    ADD_FAILURE() << "no type of kind " << kind;
    return *reinterpret_cast<btf_type*>(blob.data());
  }
  ElfObject object_;
};

TEST_F(Screen, RefusesAFunctionWhoseEndWrapsAround) {
  symbol("prog").entry.st_size = ~uint64_t{7};
  EXPECT_THAT(load(), HasSubstr("function 'prog' does not lie inside its section 'xdp'"));
  symbol("prog").entry.st_size = section("xdp").size() + 8;
  EXPECT_THAT(load(), HasSubstr("function 'prog' does not lie inside"));
}

TEST_F(Screen, RefusesAFunctionThatStartsInsideAnInstruction) {
  symbol("prog").entry.st_value = 4;
  symbol("prog").entry.st_size = 8;
  EXPECT_THAT(load(), HasSubstr("function 'prog' does not lie inside"));
}

TEST_F(Screen, RefusesARelocationOfHalfALoad) {
  auto& code = section("xdp");
  code.resize(code.size() + 8);
  code[code.size() - 8] = 0x18;
  symbol("prog").entry.st_size = code.size();
  auto& relocation = section(".relxdp");
  Elf64_Rel entry;
  std::memcpy(&entry, relocation.data(), sizeof entry);
  entry.r_offset = code.size() - 8;
  std::memcpy(relocation.data(), &entry, sizeof entry);
  EXPECT_THAT(load(), HasSubstr("relocation 0 of section 'xdp' points nowhere"));
}

TEST_F(Screen, RefusesTypesThatReferToThemselvesOrToNothing) {
  btf_type& first = type(BTF_KIND_TYPEDEF, 0);
  first.type = 0xffff;
  EXPECT_THAT(load(), HasSubstr("broken BTF: type ["));
  // A typedef whose target is every id in turn: one of them is itself, and must be found to be a circle.
  bool circle = false;
  for (uint32_t id = 1; id < 12 && !circle; ++id) {
    first.type = id;
    circle = load().find("contains or refers to itself without end") != std::string::npos;
  }
  EXPECT_TRUE(circle);
}

}  // namespace
}  // namespace xnic::device
