// SPDX-License-Identifier: Apache-2.0
// Objects in the forms of older tools are compiled here and loaded through libbpf, which refuses them as they are.
#include "device/elf_prepass.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "compile_object.hpp"
#include "device/elf_object.hpp"
#include "device/object.hpp"

namespace xnic::device {
namespace {

using ::testing::HasSubstr;

constexpr const char* kPrelude = R"(
#include <linux/bpf.h>
#define SEC(name) __attribute__((section(name), used))
#define __noinline __attribute__((noinline))
static void *(*bpf_map_lookup_elem)(void *map, const void *key) = (void *)1;
static long (*bpf_tail_call)(void *ctx, void *map, unsigned index) = (void *)12;
struct bpf_map_def { unsigned type, key_size, value_size, max_entries, map_flags; };
struct bpf_elf_map { unsigned type, size_key, size_value, max_elem, flags, id, pinning, inner_id, inner_idx; };
char _license[] SEC("license") = "GPL";
)";

constexpr const char* kCount = R"(
SEC("xdp") int count(struct xdp_md *ctx) {
  unsigned key = 1;
  unsigned long *value = bpf_map_lookup_elem(&counters, &key);
  if (value) *value += 1;
  return XDP_PASS;
}
)";

base::Result<Object> load(Device& device, const std::string& source, const std::string& flags = "-g") {
  return Object::load_bytes(device, compile_object(kPrelude + source, flags), "test.o");
}

class LegacyMaps : public ::testing::TestWithParam<const char*> {
 protected:
  Device device;
};

// With debug information the compiler has already described the old section in BTF; without, BTF is made from nothing.
INSTANTIATE_TEST_SUITE_P(WithAndWithoutBtf, LegacyMaps, ::testing::Values("-g", "-g0"));

TEST_P(LegacyMaps, LoadsTheFiveFieldForm) {
  auto object = load(device,
                     std::string(R"(
    struct bpf_map_def SEC("maps") other = {.type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 4,
                                            .max_entries = 7};
    struct bpf_map_def SEC("maps") counters = {.type = BPF_MAP_TYPE_HASH, .key_size = 4, .value_size = 8,
                                               .max_entries = 100, .map_flags = BPF_F_NO_PREALLOC};)") +
                         kCount,
                     GetParam());
  ASSERT_TRUE(object) << object.error().message();
  const auto* counters = object->find_map("counters");
  const auto* other = object->find_map("other");
  ASSERT_TRUE(counters && other);
  const auto& spec = counters->map->spec();
  EXPECT_EQ(spec.type, BPF_MAP_TYPE_HASH);
  EXPECT_EQ(spec.key_size, 4u);
  EXPECT_EQ(spec.value_size, 8u);
  EXPECT_EQ(spec.max_entries, 100u);
  EXPECT_EQ(spec.flags, BPF_F_NO_PREALLOC);
  EXPECT_EQ(other->map->spec().max_entries, 7u);
  // The program refers to the right one.
  ASSERT_EQ(object->programs()[0].loaded->maps.size(), 1u);
  EXPECT_EQ(object->programs()[0].loaded->maps[0], counters->map);
}

TEST_P(LegacyMaps, LoadsStaticMaps) {
  auto object = load(device,
                     std::string(R"(
    static struct bpf_map_def SEC("maps") first = {.type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 4,
                                                   .max_entries = 7};
    static struct bpf_map_def SEC("maps") counters = {.type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 8,
                                                      .max_entries = 2};)") +
                         kCount,
                     GetParam());
  ASSERT_TRUE(object) << object.error().message();
  ASSERT_EQ(object->programs()[0].loaded->maps.size(), 1u);
  EXPECT_EQ(object->programs()[0].loaded->maps[0]->spec().value_size, 8u);
}

TEST_P(LegacyMaps, LoadsOneSectionForEachMap) {
  auto object = load(device,
                     std::string(R"(
    struct bpf_map_def SEC("maps/one") one = {.type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 4,
                                              .max_entries = 7};
    struct bpf_map_def SEC("maps/counters") counters = {.type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 8,
                                                        .max_entries = 2};)") +
                         kCount,
                     GetParam());
  ASSERT_TRUE(object) << object.error().message();
  EXPECT_EQ(object->maps().size(), 2u);
  EXPECT_EQ(object->find_map("counters")->map->spec().value_size, 8u);
}

TEST_P(LegacyMaps, LoadsIproute2sFormWithPinsAndInnerMaps) {
  auto object = load(device,
                     std::string(R"(
    struct bpf_elf_map SEC("maps") counters = {.type = BPF_MAP_TYPE_ARRAY, .size_key = 4, .size_value = 8,
                                               .max_elem = 2, .pinning = 2};
    struct bpf_elf_map SEC("maps") inner = {.type = BPF_MAP_TYPE_ARRAY, .size_key = 4, .size_value = 16, .max_elem = 3,
                                            .id = 42, .inner_idx = 0};
    struct bpf_elf_map SEC("maps") outer = {.type = BPF_MAP_TYPE_ARRAY_OF_MAPS, .size_key = 4, .size_value = 4,
                                            .max_elem = 5, .inner_id = 42};)") +
                         kCount,
                     GetParam());
  ASSERT_TRUE(object) << object.error().message();
  const auto* outer = object->find_map("outer");
  ASSERT_TRUE(outer && outer->map->spec().inner);
  EXPECT_EQ(outer->map->spec().inner->value_size, 16u);
  EXPECT_EQ(outer->map->spec().inner->max_entries, 3u);
  EXPECT_THAT(device.pins(), ::testing::ElementsAre("/sys/fs/bpf/counters"));
}

TEST_P(LegacyMaps, LoadsGoebpfsForm) {
  auto object = load(device,
                     std::string(R"(
    struct go_map_def { unsigned map_type, key_size, value_size, max_entries, map_flags; void *inner_map_def;
                        const char *persistent_path; };
    struct go_map_def SEC("maps") counters = {.map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 8,
                                              .max_entries = 2, .persistent_path = "/sys/fs/bpf/x"};
    struct go_map_def SEC("maps") inner = {.map_type = BPF_MAP_TYPE_HASH, .key_size = 8, .value_size = 4,
                                           .max_entries = 6};
    struct go_map_def SEC("maps") outer = {.map_type = BPF_MAP_TYPE_HASH_OF_MAPS, .key_size = 4, .value_size = 4,
                                           .max_entries = 2, .inner_map_def = &inner};)") +
                         kCount,
                     GetParam());
  ASSERT_TRUE(object) << object.error().message();
  ASSERT_TRUE(object->find_map("outer")->map->spec().inner);
  EXPECT_EQ(object->find_map("outer")->map->spec().inner->key_size, 8u);
  EXPECT_EQ(device.pins().size(), 1u);
}

TEST_P(LegacyMaps, RefusesAFormNobodyUses) {
  auto object = load(device,
                     std::string(R"(
    struct odd { unsigned type, key_size, value_size, max_entries, map_flags, what, is, that; };
    struct odd SEC("maps") counters = {BPF_MAP_TYPE_ARRAY, 4, 8, 2, 0, 9, 9, 9};)") +
                         kCount,
                     GetParam());
  ASSERT_FALSE(object);
  EXPECT_EQ(object.error().kind, base::ErrorKind::kUnsupported);
  EXPECT_THAT(object.error().message(), HasSubstr("'counters'"));
}

TEST(Prepass, LoadsAStaticEntryFunction) {
  Device device;
  auto object = load(device, R"(static SEC("xdp") int hidden(struct xdp_md *ctx) { return XDP_TX; })");
  ASSERT_TRUE(object) << object.error().message();
  EXPECT_EQ(object->programs()[0].name, "hidden");
}

TEST(Prepass, LoadsAssemblyWithoutFunctionTypes) {
  Device device;
  auto bytes = compile_object(R"(
    .section .text
    .globl helper
helper:
    r0 = 1
    exit
    .section prog,"ax"
    .globl entry
entry:
    if r1 == 0 goto out
    call helper
    exit
out:
    r0 = 2
    exit
)",
                              "", "assembler");
  auto object = Object::load_bytes(device, bytes, "asm.o");
  ASSERT_TRUE(object) << object.error().message();
  EXPECT_EQ(object->programs()[0].name, "entry");
  EXPECT_EQ(object->programs()[0].loaded->program->insns.size(), 7u);
}

TEST(Prepass, NamesACodeSectionWithoutSymbols) {
  Device device;
  auto bytes = compile_object(".section \"2/1\",\"ax\"\nr0 = 2\nexit\n", "", "assembler");
  auto object = Object::load_bytes(device, bytes, "asm.o");
  ASSERT_TRUE(object) << object.error().message();
  EXPECT_EQ(object->programs()[0].name, "2_1");
}

TEST(Prepass, LeavesTodaysObjectsAlone) {
  auto bytes = compile_object(std::string(kPrelude) + "SEC(\"xdp\") int f(struct xdp_md *c) { return XDP_DROP; }");
  auto result = modernise_object(bytes, "f.o");
  ASSERT_TRUE(result);
  EXPECT_EQ(*result, bytes);
}

TEST(Prepass, WritesAnObjectThatReadsBackTheSame) {
  auto bytes = compile_object(std::string(kPrelude) + "SEC(\"xdp\") int f(struct xdp_md *c) { return XDP_DROP; }");
  auto object = ElfObject::parse(bytes, "f.o");
  ASSERT_TRUE(object);
  auto again = ElfObject::parse(object->write(), "f.o");
  ASSERT_TRUE(again) << again.error().message();
  ASSERT_EQ(again->sections.size(), object->sections.size());
  for (size_t i = 0; i < object->sections.size(); ++i) {
    EXPECT_EQ(again->sections[i].name, object->sections[i].name);
    if (object->sections[i].header.sh_type != SHT_PROGBITS) continue;
    EXPECT_EQ(again->sections[i].data, object->sections[i].data);
  }
  ASSERT_EQ(again->symbols.size(), object->symbols.size());
  for (size_t i = 0; i < object->symbols.size(); ++i) EXPECT_EQ(again->symbols[i].name, object->symbols[i].name);
}

TEST(Prepass, RefusesWhatIsNotAnObject) {
  auto refusal = [](base::Bytes bytes) {
    auto result = modernise_object(bytes, "file");
    return result ? "accepted" : result.error().message();
  };
  std::string text = "just text, long enough to be more than an ELF header, and then some";
  EXPECT_THAT(refusal({reinterpret_cast<const uint8_t*>(text.data()), text.size()}),
              HasSubstr("file: not an ELF file"));
  auto good = compile_object(std::string(kPrelude) + "SEC(\"xdp\") int f(struct xdp_md *c) { return XDP_DROP; }");
  EXPECT_THAT(refusal(base::Bytes(good).first(40)), HasSubstr("cut off"));
  EXPECT_THAT(refusal(base::Bytes(good).first(good.size() / 2)), HasSubstr("cut off"));
  auto other = good;
  other[18] = 62;  // x86-64
  EXPECT_THAT(refusal(other), HasSubstr("not a little-endian BPF object"));
}

// Cut anywhere or damaged anywhere, an object is refused or loaded, never more.
TEST(Prepass, SurvivesDamage) {
  auto good = compile_object(std::string(kPrelude) +
                             R"(struct bpf_map_def SEC("maps") counters = {.type = BPF_MAP_TYPE_ARRAY, .key_size = 4,
                                .value_size = 8, .max_entries = 2};)" +
                             kCount);
  ASSERT_TRUE(modernise_object(good, "f.o"));
  size_t refused = 0;
  for (size_t size = 0; size < good.size(); size += 7)
    refused += !modernise_object(base::Bytes(good).first(size), "f.o");
  EXPECT_EQ(refused, (good.size() + 6) / 7);
  for (size_t at = 0; at < good.size(); at += 3) {
    auto bad = good;
    bad[at] ^= 0xff;
    (void)modernise_object(bad, "f.o");
  }
}

}  // namespace
}  // namespace xnic::device
