// SPDX-License-Identifier: Apache-2.0
// Loading objects compiled here, good and bad; the messages are part of the behaviour.
#include "device/object.hpp"

#include <bpf/bpf.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "compile_object.hpp"

namespace xnic::device {
namespace {

using base::ErrorKind;
using ::testing::HasSubstr;

constexpr const char* kPrelude = R"(
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
char _license[] SEC("license") = "GPL";
)";

LoadOptions only(const char* program) {
  LoadOptions options;
  options.program = program;
  return options;
}

class Objects : public ::testing::Test {
 protected:
  base::Result<Object> load(const std::string& source, const LoadOptions& options = {},
                            const std::string& flags = "-g") {
    return Object::load_bytes(device, compile_object(kPrelude + source, flags), "dir/test.bpf.o", options);
  }
  base::Error refusal(const std::string& source, const LoadOptions& options = {}) {
    auto object = load(source, options);
    if (object) return {ErrorKind::kIo, "", "accepted"};
    return object.error();
  }
  uint32_t run(int fd) {
    std::vector<uint8_t> in(64);
    union bpf_attr attr;
    std::memset(&attr, 0, sizeof attr);
    attr.test.prog_fd = static_cast<uint32_t>(fd);
    attr.test.data_in = reinterpret_cast<uint64_t>(in.data());
    attr.test.data_size_in = 64;
    EXPECT_EQ(device.bpf(BPF_PROG_TEST_RUN, &attr, sizeof attr), 0);
    return attr.test.retval;
  }
  Device device;
};

TEST_F(Objects, LoadGlobalDataSubprogramsAndTypedMaps) {
  auto object = load(R"(
    struct value { int a; long b; };
    struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 8); __type(key, int); __type(value, struct value); }
      flows SEC(".maps");
    const volatile int wanted = 2;
    int counter = 40;
    int zeroed;
    __noinline int add(int x) { counter += x; zeroed += 1; return counter; }
    SEC("xdp") int entry(struct xdp_md *ctx) {
      int key = 0;
      if (bpf_map_lookup_elem(&flows, &key)) return XDP_ABORTED;
      return add(2) == 42 && zeroed == 1 ? wanted : XDP_DROP;
    })");
  ASSERT_TRUE(object) << object.error().message();
  EXPECT_EQ(object->programs()[0].section, "xdp");
  EXPECT_EQ(object->programs()[0].loaded->program->subprograms.size(), 2u);
  EXPECT_EQ(object->programs()[0].loaded->program->subprograms[1].name, "add");
  EXPECT_FALSE(object->programs()[0].loaded->program->lines.empty());
  for (const char* name : {"flows", ".rodata", ".data", ".bss"}) EXPECT_TRUE(object->find_map(name)) << name;
  EXPECT_NE(object->find_map("flows")->btf_value_type_id, 0u);
  EXPECT_TRUE(object->find_map(".rodata")->map->frozen());
  EXPECT_EQ(run(object->programs()[0].fd), static_cast<uint32_t>(XDP_PASS));
  EXPECT_EQ(run(object->programs()[0].fd), static_cast<uint32_t>(XDP_DROP));  // the counter went on
}

TEST_F(Objects, LoadWhateverTheSectionIsCalled) {
  for (const char* section : {"xdp", "xdp.frags", "xdp/name", "xdp_devmap/x", "xdp1", "prog", "from-netdev", "2/1"}) {
    auto object = load("SEC(\"" + std::string(section) + "\") int f(struct xdp_md *c) { return 3; }");
    ASSERT_TRUE(object) << section << ": " << object.error().message();
    EXPECT_EQ(object->programs()[0].section, section);
  }
}

TEST_F(Objects, LoadOnlyTheProgramsAskedFor) {
  const char* source = R"(
    SEC("xdp") int first(struct xdp_md *c) { return 1; }
    SEC("xdp") int second(struct xdp_md *c) { return 2; }
    SEC("tc") int filter(struct __sk_buff *c) { return 0; }
    SEC("unknown") int other(struct xdp_md *c) { return 3; })";
  auto all = load(source);
  ASSERT_TRUE(all) << all.error().message();
  EXPECT_EQ(all->programs().size(), 2u);
  auto one = load(source, only("second"));
  ASSERT_TRUE(one);
  ASSERT_EQ(one->programs().size(), 1u);
  EXPECT_EQ(one->programs()[0].name, "second");
  auto by_section = load(source, only("unknown"));
  ASSERT_TRUE(by_section);
  EXPECT_EQ(by_section->programs()[0].name, "other");
  EXPECT_THAT(refusal(source, only("filter")).detail, HasSubstr("is not an XDP program"));
  EXPECT_THAT(refusal(source, only("third")).detail, HasSubstr("it has: first, second, filter, other"));
}

TEST_F(Objects, WithoutAnXdpProgramAreRefused) {
  auto error = refusal("SEC(\"tc\") int filter(struct __sk_buff *c) { return 0; }");
  EXPECT_EQ(error.kind, ErrorKind::kBadInput);
  EXPECT_EQ(error.where, "dir/test.bpf.o");
  EXPECT_THAT(error.detail, HasSubstr("no XDP program in this object; it has: filter"));
}

TEST_F(Objects, OfUnsafeProgramsSayWhere) {
  auto error = refusal(R"(
    SEC("xdp") int peek(struct xdp_md *c) { return *(char *)(long)c->data; })");
  EXPECT_EQ(error.kind, ErrorKind::kBadInput);
  EXPECT_THAT(error.where, HasSubstr("section 'xdp', program 'peek', instruction 1"));
  EXPECT_THAT(error.detail, HasSubstr("invalid access to packet"));
  EXPECT_THAT(error.detail, HasSubstr("return *(char *)(long)c->data"));
  EXPECT_THAT(error.detail, HasSubstr("registers: "));
}

TEST_F(Objects, InSectionsThatDoNotSayXdpGetAHint) {
  auto error = refusal(R"(
    SEC("t") int f(struct __sk_buff *c) { return c->data_end - c->data; })");
  EXPECT_THAT(error.detail, HasSubstr("the section name 't' does not say that this is an XDP program"));
}

TEST_F(Objects, WithHelpersTheCardLacksNameThem) {
  auto error = refusal(R"(
    static long (*no_such)(void) = (void *)9999;
    SEC("xdp") int f(struct xdp_md *c) { return no_such(); })");
  EXPECT_THAT(error.message(), HasSubstr("9999"));
  error = refusal(R"(
    SEC("xdp") int f(struct xdp_md *c) { return bpf_skb_load_bytes(c, 0, c, 0); })");
  EXPECT_THAT(error.message(), HasSubstr("skb_load_bytes"));
}

TEST_F(Objects, WithMapsTheCardLacksNameThem) {
  const char* map = R"(
    struct { __uint(type, BPF_MAP_TYPE_STACK_TRACE); __uint(max_entries, 8); __uint(key_size, 4);
             __uint(value_size, 80); } traces SEC(".maps");)";
  auto error = refusal(std::string(map) + R"(
    SEC("xdp") int f(struct xdp_md *c) { return bpf_map_delete_elem(&traces, &(int){0}); })");
  EXPECT_EQ(error.kind, ErrorKind::kUnsupported);
  EXPECT_THAT(error.detail, HasSubstr("map 'traces' has the type stack_trace"));
  // A map that no loaded program uses is in nobody's way.
  auto unused = load(std::string(map) + R"(
    SEC("xdp") int f(struct xdp_md *c) { return 2; }
    SEC("tc") int g(struct __sk_buff *c) { return bpf_map_delete_elem(&traces, &(int){0}); })");
  EXPECT_TRUE(unused) << unused.error().message();
}

TEST_F(Objects, WithMapsOverTheLimitsNameThem) {
  auto error = refusal(R"(
    struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 8); __uint(key_size, 8); __uint(value_size, 8); }
      wrong SEC(".maps");
    SEC("xdp") int f(struct xdp_md *c) { return bpf_map_lookup_elem(&wrong, &(long){0}) != 0; })");
  EXPECT_THAT(error.message(), HasSubstr("'wrong'"));
}

TEST_F(Objects, WithoutInnerMapDefinitionSaySo) {
  auto error = refusal(R"(
    struct { __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS); __uint(max_entries, 8); __uint(key_size, 4);
             __uint(value_size, 4); } outer SEC(".maps");
    SEC("xdp") int f(struct xdp_md *c) { return bpf_map_lookup_elem(&outer, &(int){0}) != 0; })");
  EXPECT_EQ(error.kind, ErrorKind::kUnsupported);
  EXPECT_THAT(error.detail, HasSubstr("'outer' (array_of_maps) does not say what its inner maps look like"));
}

TEST_F(Objects, ThatAreNoFilesOrEmptyOrCutOffAreRefused) {
  auto missing = Object::load(device, "/no/such/file.o");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().kind, ErrorKind::kIo);
  EXPECT_THAT(missing.error().message(), HasSubstr("/no/such/file.o: cannot open: No such file"));
  auto folder = Object::load(device, "/tmp");
  ASSERT_FALSE(folder);
  EXPECT_EQ(folder.error().kind, ErrorKind::kIo);
  auto empty = Object::load(device, "/dev/null");
  ASSERT_FALSE(empty);
  EXPECT_EQ(empty.error().kind, ErrorKind::kBadInput);
}

TEST_F(Objects, LeaveSizesToTheLoader) {
  auto object = load(R"(
    struct { __uint(type, BPF_MAP_TYPE_CPUMAP); __uint(key_size, 4); __uint(value_size, 4); } cpus SEC(".maps");
    SEC("xdp") int f(struct xdp_md *c) { return bpf_redirect_map(&cpus, 0, 0); })");
  ASSERT_TRUE(object) << object.error().message();
  EXPECT_GT(object->find_map("cpus")->map->spec().max_entries, 0u);
}

TEST_F(Objects, ShareMapsThatArePinnedByName) {
  const char* source = R"(
    struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 1); __type(key, int); __type(value, int);
             __uint(pinning, LIBBPF_PIN_BY_NAME); } shared SEC(".maps");
    SEC("xdp") int f(struct xdp_md *c) {
      int *value = bpf_map_lookup_elem(&shared, &(int){0});
      return value ? ++*value : 0; })";
  {
    auto first = load(source);
    ASSERT_TRUE(first) << first.error().message();
    EXPECT_EQ(run(first->programs()[0].fd), 1u);
  }
  auto second = load(source);
  ASSERT_TRUE(second) << second.error().message();
  EXPECT_EQ(run(second->programs()[0].fd), 2u);
  EXPECT_THAT(device.pins(), ::testing::ElementsAre("/sys/fs/bpf/shared"));
  std::string other = source;
  other.replace(other.find("max_entries, 1"), 14, "max_entries, 2");
  EXPECT_THAT(refusal(other).detail, HasSubstr("map 'shared' is pinned at /sys/fs/bpf/shared already"));
}

TEST_F(Objects, ResolveCoreRelocations) {
  if (access("/sys/kernel/btf/vmlinux", R_OK) != 0) GTEST_SKIP() << "this kernel has no BTF to relocate against";
  auto object = load(R"(
    #include <bpf/bpf_core_read.h>
    struct task_struct { int pid; } __attribute__((preserve_access_index));
    struct nowhere___none { int x; } __attribute__((preserve_access_index));
    SEC("xdp") int f(struct xdp_md *c) {
      if (bpf_core_type_exists(struct nowhere___none)) return XDP_DROP;
      return bpf_core_field_exists(((struct task_struct *)0)->pid) ? XDP_PASS : XDP_ABORTED; })");
  ASSERT_TRUE(object) << object.error().message();
  EXPECT_EQ(run(object->programs()[0].fd), static_cast<uint32_t>(XDP_PASS));
}

TEST_F(Objects, FillProgramArraysFromTheirDefinition) {
  auto object = load(R"(
    int target(struct xdp_md *c);
    struct { __uint(type, BPF_MAP_TYPE_PROG_ARRAY); __uint(max_entries, 2); __uint(key_size, 4);
             __array(values, int(struct xdp_md *)); } jumps SEC(".maps") = {.values = {[1] = &target}};
    SEC("xdp") int target(struct xdp_md *c) { return XDP_TX; }
    SEC("xdp") int entry(struct xdp_md *c) { bpf_tail_call(c, &jumps, 1); return XDP_DROP; })");
  ASSERT_TRUE(object) << object.error().message();
  for (const auto& program : object->programs()) EXPECT_EQ(run(program.fd), static_cast<uint32_t>(XDP_TX));
}

TEST_F(Objects, LeaveNothingBehind) {
  {
    auto object = load(R"(
      int counter;
      SEC("xdp") int f(struct xdp_md *c) { return ++counter; })");
    ASSERT_TRUE(object);
  }
  install_device(&device);
  uint32_t id = 0;
  EXPECT_EQ(bpf_prog_get_next_id(0, &id), -ENOENT);
  EXPECT_EQ(bpf_map_get_next_id(0, &id), -ENOENT);
  EXPECT_EQ(bpf_btf_get_next_id(0, &id), -ENOENT);
  install_device(nullptr);
}

TEST_F(Objects, KeepTheVerifiersLogWhenAsked) {
  LoadOptions options;
  options.verifier_log = true;
  auto object = load("SEC(\"xdp\") int f(struct xdp_md *c) { return 2; }", options);
  ASSERT_TRUE(object);
  EXPECT_THAT(object->programs()[0].log, HasSubstr("exit"));
}

}  // namespace
}  // namespace xnic::device
