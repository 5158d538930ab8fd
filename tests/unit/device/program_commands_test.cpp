// SPDX-License-Identifier: Apache-2.0
// Programs, BTF, pins and links through the commands; errno values are those of Linux 6.18.
#include <linux/if_link.h>
#include <sys/syscall.h>

#include <cerrno>
#include <string>

#include "command_fixture.hpp"
#include "device/btf.hpp"
#include "exec/maps/map.hpp"

namespace xnic::device {
namespace {

using ProgramCommands = CommandTest;

TEST_F(ProgramCommands, LoadAndRunOnePacket) {
  int fd = static_cast<int>(load(returning(XDP_TX)));
  ASSERT_GE(fd, 0) << log;
  std::vector<uint8_t> in(64), out(128);
  for (size_t i = 0; i < in.size(); ++i) in[i] = static_cast<uint8_t>(i);
  auto attr = zero();
  attr.test.prog_fd = static_cast<uint32_t>(fd);
  attr.test.data_in = address(in.data());
  attr.test.data_size_in = 64;
  attr.test.data_out = address(out.data());
  attr.test.data_size_out = 128;
  attr.test.repeat = 3;
  ASSERT_EQ(call(BPF_PROG_TEST_RUN, attr), 0);
  EXPECT_EQ(attr.test.retval, static_cast<uint32_t>(XDP_TX));
  EXPECT_EQ(attr.test.data_size_out, 64u);
  out.resize(64);
  EXPECT_EQ(out, in);
  EXPECT_EQ(info<bpf_prog_info>(fd).run_cnt, 3u);
  close(fd);
}

TEST_F(ProgramCommands, TestRunChecksSizesAndContext) {
  int fd = static_cast<int>(load(returning(XDP_PASS)));
  std::vector<uint8_t> in(64), out(64);
  auto run = [&](auto change) {
    auto attr = zero();
    attr.test.prog_fd = static_cast<uint32_t>(fd);
    attr.test.data_in = address(in.data());
    attr.test.data_size_in = 64;
    change(attr.test);
    return call(BPF_PROG_TEST_RUN, attr);
  };
  xdp_md context{};
  auto with = [&](uint32_t data, uint32_t data_end, uint32_t ifindex, uint32_t queue) {
    context = {};
    context.data = data;
    context.data_end = data_end;
    context.ingress_ifindex = ifindex;
    context.rx_queue_index = queue;
    return run([&](auto& test) {
      test.ctx_in = address(&context);
      test.ctx_size_in = sizeof context;
    });
  };
  EXPECT_EQ(run([](auto&) {}), 0);
  EXPECT_EQ(run([](auto& test) { test.data_size_in = 13; }), -EINVAL);
  EXPECT_EQ(run([](auto& test) { test.data_in = 0; }), -EFAULT);
  EXPECT_EQ(run([](auto& test) { test.flags = 8; }), -EINVAL);
  EXPECT_EQ(run([](auto& test) { test.ctx_size_in = 4; }), -EINVAL);
  EXPECT_EQ(run([&](auto& test) { test.data_out = address(out.data()), test.data_size_out = 10; }), -ENOSPC);
  EXPECT_EQ(with(0, 64, 0, 0), 0);
  EXPECT_EQ(with(0, 65, 0, 0), -EINVAL);
  EXPECT_EQ(with(4, 64, 0, 0), 0);
  EXPECT_EQ(with(5, 64, 0, 0), -EINVAL);
  EXPECT_EQ(with(0, 64, 1, 0), 0);
  EXPECT_EQ(with(0, 64, 1, 1), -EINVAL);
  EXPECT_EQ(with(0, 64, 9, 0), -ENODEV);
  EXPECT_EQ(with(0, 64, 0, 3), -EINVAL);
  close(fd);
}

TEST_F(ProgramCommands, TestRunCarriesMetadataAndFragments) {
  // r2 = data_meta; r3 = data; r0 = r3 - r2 is not allowed, so: r0 = *(u8*)(data_meta) when data_meta + 4 <= data.
  Insns insns = {{0x61, 2, 1, 8, 0}, {0x61, 3, 1, 0, 0}, {0xbf, 4, 2, 0, 0}, {0x07, 4, 0, 0, 4},
                 {0xb7, 0, 0, 0, 0}, {0x2d, 4, 3, 1, 0}, {0x71, 0, 2, 0, 0}, {0x95, 0, 0, 0, 0}};
  auto attr = zero();
  attr.prog_type = BPF_PROG_TYPE_XDP;
  attr.insns = address(insns.data());
  attr.insn_cnt = static_cast<uint32_t>(insns.size());
  attr.license = address("GPL");
  attr.prog_flags = BPF_F_XDP_HAS_FRAGS;
  int fd = static_cast<int>(call(BPF_PROG_LOAD, attr));
  ASSERT_GE(fd, 0);
  std::vector<uint8_t> in(9000), out(9000);
  for (size_t i = 0; i < in.size(); ++i) in[i] = static_cast<uint8_t>(i * 7 + 42);
  xdp_md context{}, context_out{};
  context.data = 4;
  context.data_end = 1000;
  attr = zero();
  attr.test.prog_fd = static_cast<uint32_t>(fd);
  attr.test.data_in = address(in.data());
  attr.test.data_size_in = 9000;
  attr.test.data_out = address(out.data());
  attr.test.data_size_out = 9000;
  attr.test.ctx_in = address(&context);
  attr.test.ctx_size_in = attr.test.ctx_size_out = sizeof context;
  attr.test.ctx_out = address(&context_out);
  ASSERT_EQ(call(BPF_PROG_TEST_RUN, attr), 0);
  EXPECT_EQ(attr.test.retval, in[0]);
  EXPECT_EQ(out, in);
  EXPECT_EQ(context_out.data, 4u);
  EXPECT_EQ(context_out.data_end, 1000u);
  close(fd);
}

TEST_F(ProgramCommands, LoadRefusesWhatTheKernelRefuses) {
  auto good = returning(2);
  auto attempt = [&](auto change) {
    auto attr = zero();
    attr.prog_type = BPF_PROG_TYPE_XDP;
    attr.insns = address(good.data());
    attr.insn_cnt = 2;
    attr.license = address("GPL");
    change(attr);
    long fd = call(BPF_PROG_LOAD, attr);
    if (fd >= 0) close(static_cast<int>(fd));
    return fd < 0 ? fd : 0;
  };
  EXPECT_EQ(attempt([](auto&) {}), 0);
  EXPECT_EQ(attempt([](auto& attr) { attr.insn_cnt = 0; }), -E2BIG);
  EXPECT_EQ(attempt([](auto& attr) { attr.insn_cnt = 1'000'001; }), -E2BIG);
  EXPECT_EQ(attempt([](auto& attr) { attr.insns = 0; }), -EFAULT);
  EXPECT_EQ(attempt([](auto& attr) { attr.license = 0; }), -EFAULT);
  EXPECT_EQ(attempt([](auto& attr) { attr.prog_flags = 1u << 31; }), -EINVAL);
  EXPECT_EQ(attempt([](auto& attr) { attr.prog_type = 12345; }), -EINVAL);
  EXPECT_EQ(attempt([](auto& attr) { attr.log_level = 1, attr.log_size = 100; }), -EINVAL);
  EXPECT_EQ(attempt([](auto& attr) { attr.prog_name[0] = '/'; }), -EINVAL);
  EXPECT_EQ(attempt([](auto& attr) { attr.attach_btf_id = 4; }), -EINVAL);
  EXPECT_EQ(attempt([](auto& attr) { attr.prog_ifindex = 77; }), -EINVAL);
  EXPECT_EQ(load({{0x18, 1, 1, 0, 9999}, {0, 0, 0, 0, 0}, {0xb7, 0, 0, 0, 2}, {0x95, 0, 0, 0, 0}}), -EBADF);
  EXPECT_NE(std::string(log).find("fd 9999"), std::string::npos);
  EXPECT_EQ(load({{0xff, 0, 0, 0, 0}, {0x95, 0, 0, 0, 0}}), -EINVAL);
  EXPECT_NE(log[0], 0);
}

TEST_F(ProgramCommands, ARejectedProgramLeavesItsReasonInTheLog) {
  EXPECT_EQ(load({{0x95, 0, 0, 0, 0}}), -EACCES);
  EXPECT_NE(std::string(log).find("R0 !read_ok"), std::string::npos) << log;
}

TEST_F(ProgramCommands, ALogThatDoesNotFitKeepsItsEnd) {
  auto insns = returning(2);
  char whole[4096] = {}, part[16] = {};
  auto run = [&](char* buffer, uint32_t size, uint32_t& true_size) {
    auto attr = zero();
    attr.prog_type = BPF_PROG_TYPE_XDP;
    attr.insns = address(insns.data());
    attr.insn_cnt = 2;
    attr.license = address("GPL");
    attr.log_level = 2;
    attr.log_buf = address(buffer);
    attr.log_size = size;
    long result = call(BPF_PROG_LOAD, attr);
    std::memcpy(&true_size, reinterpret_cast<char*>(&attr) + 140, sizeof true_size);
    if (result >= 0) close(static_cast<int>(result));
    return result < 0 ? result : 0;
  };
  uint32_t size = 0, again = 0;
  EXPECT_EQ(run(whole, sizeof whole, size), 0);
  EXPECT_EQ(size, std::strlen(whole) + 1);
  EXPECT_EQ(run(part, sizeof part, again), -ENOSPC);
  EXPECT_EQ(again, size);
  EXPECT_EQ(std::string(part), std::string(whole).substr(std::strlen(whole) - 15));
}

TEST_F(ProgramCommands, InfoTellsWhatTheProgramIs) {
  int map = array(1);
  Insns insns = {{0x18, 1, 2, 0, map}, {0, 0, 0, 0, 4}, {0xb7, 0, 0, 0, 2}, {0x95, 0, 0, 0, 0}};
  auto attr = zero();
  attr.prog_type = BPF_PROG_TYPE_XDP;
  attr.insns = address(insns.data());
  attr.insn_cnt = 4;
  attr.license = address("Dual BSD/GPL");
  std::strcpy(attr.prog_name, "prog.1");
  int fd = static_cast<int>(call(BPF_PROG_LOAD, attr));
  ASSERT_GE(fd, 0);
  arch::ebpf::RawInsn dumped[4];
  uint32_t ids[2] = {};
  bpf_prog_info told{};
  told.xlated_prog_len = sizeof dumped;
  told.xlated_prog_insns = address(dumped);
  told.nr_map_ids = 2;
  told.map_ids = address(ids);
  ASSERT_EQ(read_info(fd, told), 0);
  EXPECT_EQ(told.type, BPF_PROG_TYPE_XDP);
  EXPECT_STREQ(told.name, "prog.1");
  EXPECT_EQ(told.gpl_compatible, 1u);
  EXPECT_EQ(told.xlated_prog_len, sizeof dumped);
  EXPECT_EQ(told.nr_map_ids, 1u);
  EXPECT_EQ(ids[0], info<bpf_map_info>(map).id);
  EXPECT_EQ(dumped[0].src_reg, BPF_PSEUDO_MAP_VALUE);
  EXPECT_EQ(dumped[0].imm, static_cast<int>(ids[0]));
  EXPECT_EQ(dumped[1].imm, 4);
  EXPECT_EQ(dumped[3], insns[3]);
  int extra = array();
  attr = zero();
  attr.prog_bind_map.prog_fd = static_cast<uint32_t>(fd);
  attr.prog_bind_map.map_fd = static_cast<uint32_t>(extra);
  EXPECT_EQ(call(BPF_PROG_BIND_MAP, attr), 0);
  EXPECT_EQ(call(BPF_PROG_BIND_MAP, attr), 0);
  EXPECT_EQ(info<bpf_prog_info>(fd).nr_map_ids, 2u);
  close(extra);
  EXPECT_NE(next_id(BPF_MAP_GET_NEXT_ID, ids[0]), -ENOENT);  // held by the program
  for (int each : {fd, map}) close(each);
}

// The tag is the kernel's, when the kernel can be asked.
TEST_F(ProgramCommands, TagsAreThoseOfTheKernel) {
  Insns insns = {{0xb7, 1, 0, 0, 77}, {0x18, 2, 0, 0, 5}, {0, 0, 0, 0, 6}, {0xb7, 0, 0, 0, 2}, {0x95, 0, 0, 0, 0}};
  auto attr = zero();
  attr.prog_type = BPF_PROG_TYPE_XDP;
  attr.insns = address(insns.data());
  attr.insn_cnt = static_cast<uint32_t>(insns.size());
  attr.license = address("GPL");
  auto again = attr;
  long in_kernel = syscall(SYS_bpf, BPF_PROG_LOAD, &again, sizeof again);  // no device is installed
  if (in_kernel < 0) GTEST_SKIP() << "the kernel takes no programs from this user";
  int fd = static_cast<int>(call(BPF_PROG_LOAD, attr));
  ASSERT_GE(fd, 0);
  bpf_prog_info theirs{};
  auto ask = zero();
  ask.info.bpf_fd = static_cast<uint32_t>(in_kernel);
  ask.info.info_len = sizeof theirs;
  ask.info.info = address(&theirs);
  ASSERT_EQ(syscall(SYS_bpf, BPF_OBJ_GET_INFO_BY_FD, &ask, sizeof ask), 0);
  auto ours = info<bpf_prog_info>(fd);
  EXPECT_EQ(std::string(reinterpret_cast<char*>(ours.tag), 8), std::string(reinterpret_cast<char*>(theirs.tag), 8));
  close(fd);
  close(static_cast<int>(in_kernel));
}

TEST_F(ProgramCommands, OtherTypesAreTakenOnlyWithoutTheirContext) {
  EXPECT_GE(load(returning(0), BPF_PROG_TYPE_SOCKET_FILTER, 0), 0);
  EXPECT_GE(load(returning(0), BPF_PROG_TYPE_TRACEPOINT, 0), 0);
  EXPECT_EQ(load({{0x61, 0, 1, 0, 0}, {0xb7, 0, 0, 0, 0}, {0x95, 0, 0, 0, 0}}, BPF_PROG_TYPE_SOCKET_FILTER, 0),
            -EINVAL);
  long fd = load(returning(0), BPF_PROG_TYPE_SOCKET_FILTER, 0);
  auto attr = zero();
  attr.test.prog_fd = static_cast<uint32_t>(fd);
  EXPECT_EQ(call(BPF_PROG_TEST_RUN, attr), -524);
}

TEST_F(ProgramCommands, BtfIsCheckedAndComesBackAsItWas) {
  btf_header header{};
  header.magic = BTF_MAGIC;
  header.version = BTF_VERSION;
  header.hdr_len = sizeof header;
  header.type_len = header.str_off = 16;
  header.str_len = 5;
  struct {
    btf_header header;
    btf_type type;
    uint32_t encoding;
    char strings[5];
  } __attribute__((packed)) blob = {header, {1, BTF_KIND_INT << 24, {4}}, 32, "\0int"};
  auto attr = zero();
  attr.btf = address(&blob);
  attr.btf_size = sizeof blob;
  int fd = static_cast<int>(call(BPF_BTF_LOAD, attr));
  ASSERT_GE(fd, 0);
  std::vector<char> back(sizeof blob);
  bpf_btf_info told{};
  told.btf = address(back.data());
  told.btf_size = sizeof blob;
  ASSERT_EQ(read_info(fd, told), 0);
  EXPECT_EQ(std::memcmp(back.data(), &blob, sizeof blob), 0);
  EXPECT_EQ(told.btf_size, sizeof blob);
  // A map with typed keys and values: sizes must agree.
  attr = zero();
  attr.map_type = BPF_MAP_TYPE_ARRAY;
  attr.key_size = attr.value_size = 4;
  attr.max_entries = 1;
  attr.btf_fd = static_cast<uint32_t>(fd);
  attr.btf_key_type_id = attr.btf_value_type_id = 1;
  auto wrong = attr;
  wrong.value_size = 8;
  EXPECT_EQ(call(BPF_MAP_CREATE, wrong), -EINVAL);
  int map = static_cast<int>(call(BPF_MAP_CREATE, attr));
  ASSERT_GE(map, 0);
  EXPECT_EQ(info<bpf_map_info>(map).btf_id, told.id);
  close(fd);
  EXPECT_EQ(next_id(BPF_BTF_GET_NEXT_ID, 0), told.id);  // held by the map
  close(map);
  EXPECT_EQ(next_id(BPF_BTF_GET_NEXT_ID, 0), -ENOENT);
  blob.type.info = 63u << 24 | 0x00ff0000;
  attr = zero();
  attr.btf = address(&blob);
  attr.btf_size = sizeof blob;
  attr.btf_log_buf = address(log);
  attr.btf_log_size = sizeof log;
  attr.btf_log_level = 1;
  EXPECT_EQ(call(BPF_BTF_LOAD, attr), -EINVAL);
  EXPECT_NE(std::string(log).find("type [1]"), std::string::npos) << log;
}

TEST_F(ProgramCommands, PinsKeepObjectsAndGiveThemBack) {
  int fd = array();
  auto id = info<bpf_map_info>(fd).id;
  auto attr = zero();
  attr.pathname = address("/sys/fs/bpf/xnic/../counters");
  attr.bpf_fd = static_cast<uint32_t>(fd);
  EXPECT_EQ(call(BPF_OBJ_PIN, attr), 0);
  EXPECT_EQ(call(BPF_OBJ_PIN, attr), -EEXIST);
  close(fd);
  EXPECT_EQ(next_id(BPF_MAP_GET_NEXT_ID, 0), id);
  attr = zero();
  attr.pathname = address("/sys/fs/bpf/counters");
  int again = static_cast<int>(call(BPF_OBJ_GET, attr));
  ASSERT_GE(again, 0);
  EXPECT_EQ(info<bpf_map_info>(again).id, id);
  close(again);
  attr.file_flags = BPF_F_RDONLY;
  again = static_cast<int>(call(BPF_OBJ_GET, attr));
  EXPECT_EQ(update(again, 0, 1), -EPERM);
  close(again);
  attr.pathname = address("/sys/fs/bpf/none");
  EXPECT_EQ(call(BPF_OBJ_GET, attr), -ENOENT);
  EXPECT_FALSE(device.unpin("/sys/fs/bpf/none"));
  EXPECT_TRUE(device.unpin("/sys/fs/bpf/counters"));
  EXPECT_EQ(next_id(BPF_MAP_GET_NEXT_ID, 0), -ENOENT);
}

class Links : public CommandTest {
 protected:
  long link(int program, uint32_t ifindex, uint32_t flags = 0) {
    auto attr = zero();
    attr.link_create.prog_fd = static_cast<uint32_t>(program);
    attr.link_create.target_ifindex = ifindex;
    attr.link_create.attach_type = BPF_XDP;
    attr.link_create.flags = flags;
    return call(BPF_LINK_CREATE, attr);
  }
};

TEST_F(Links, AttachReplaceAndDetach) {
  ASSERT_TRUE(device.add_port(5, "port0", 2));
  EXPECT_FALSE(device.add_port(5, "port1", 2));
  EXPECT_FALSE(device.add_port(6, "port0", 2));
  int first = static_cast<int>(load(returning(1)));
  int second = static_cast<int>(load(returning(2)));
  int filter = static_cast<int>(load(returning(2), BPF_PROG_TYPE_SOCKET_FILTER, 0));
  int in_devmap = static_cast<int>(load(returning(2), BPF_PROG_TYPE_XDP, BPF_XDP_DEVMAP));
  EXPECT_EQ(link(first, 99), -EINVAL);
  EXPECT_EQ(link(filter, 5), -EINVAL);
  EXPECT_EQ(link(in_devmap, 5), -EINVAL);
  EXPECT_EQ(link(first, 5, XDP_FLAGS_SKB_MODE | XDP_FLAGS_DRV_MODE), -EINVAL);
  EXPECT_EQ(link(first, 5, XDP_FLAGS_REPLACE), -EINVAL);
  int fd = static_cast<int>(link(first, 5, XDP_FLAGS_DRV_MODE));
  ASSERT_GE(fd, 0);
  EXPECT_EQ(link(second, 5, XDP_FLAGS_DRV_MODE), -EBUSY);
  EXPECT_EQ(link(second, 5, XDP_FLAGS_SKB_MODE), -EEXIST);
  EXPECT_EQ(device.port_program(5), device.program(first));
  auto told = info<bpf_link_info>(fd);
  EXPECT_EQ(told.type, BPF_LINK_TYPE_XDP);
  EXPECT_EQ(told.prog_id, info<bpf_prog_info>(first).id);
  EXPECT_EQ(told.xdp.ifindex, 5u);

  auto attr = zero();
  attr.link_update.link_fd = static_cast<uint32_t>(fd);
  attr.link_update.new_prog_fd = static_cast<uint32_t>(second);
  attr.link_update.flags = BPF_F_REPLACE;
  attr.link_update.old_prog_fd = static_cast<uint32_t>(second);
  EXPECT_EQ(call(BPF_LINK_UPDATE, attr), -EPERM);
  attr.link_update.old_prog_fd = static_cast<uint32_t>(first);
  EXPECT_EQ(call(BPF_LINK_UPDATE, attr), 0);
  EXPECT_EQ(device.port_program(5), device.program(second));

  attr = zero();
  attr.link_detach.link_fd = static_cast<uint32_t>(fd);
  EXPECT_EQ(call(BPF_LINK_DETACH, attr), 0);
  EXPECT_EQ(device.port_program(5), nullptr);
  attr = zero();
  attr.link_update.link_fd = static_cast<uint32_t>(fd);
  attr.link_update.new_prog_fd = static_cast<uint32_t>(first);
  EXPECT_EQ(call(BPF_LINK_UPDATE, attr), -ENOLINK);
  for (int each : {fd, first, second, filter, in_devmap}) close(each);
}

TEST_F(Links, ClosingTheLastHandleDetaches) {
  int program = static_cast<int>(load(returning(1)));
  int fd = static_cast<int>(link(program, 1));
  ASSERT_GE(fd, 0);
  close(program);
  EXPECT_NE(device.port_program(1), nullptr);  // the link holds it
  close(fd);
  EXPECT_EQ(next_id(BPF_LINK_GET_NEXT_ID, 0), -ENOENT);
  EXPECT_EQ(device.port_program(1), nullptr);
  EXPECT_EQ(next_id(BPF_PROG_GET_NEXT_ID, 0), -ENOENT);
}

TEST_F(Links, APortThatGoesLeavesItsLinkBehind) {
  device.add_port(7, "gone", 1);
  int program = static_cast<int>(load(returning(1)));
  int fd = static_cast<int>(link(program, 7));
  EXPECT_TRUE(device.remove_port(7));
  EXPECT_FALSE(device.remove_port(7));
  EXPECT_EQ(info<bpf_link_info>(fd).xdp.ifindex, 0u);
  close(fd);
  close(program);
  EXPECT_EQ(next_id(BPF_LINK_GET_NEXT_ID, 0), -ENOENT);
}

}  // namespace
}  // namespace xnic::device
