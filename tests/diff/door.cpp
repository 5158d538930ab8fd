// SPDX-License-Identifier: Apache-2.0
// The commands, in libbpf's order: maps, BTF, program. Descriptors are closed again; the loaded program keeps its maps.
#include "door.hpp"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

#include "base/check.hpp"
#include "compare.hpp"

namespace xnic::tests {
namespace {

uint64_t pointer(const void* at) { return reinterpret_cast<uint64_t>(at); }

// Closes descriptors at the end of the scope.
struct Descriptors {
  std::vector<int> fds;
  ~Descriptors() {
    for (int fd : fds) close(fd);
  }
  int add(long fd) {
    if (fd >= 0) fds.push_back(int(fd));
    return int(fd);
  }
};

// Whether the code names a map that isn't in the list. A bpf(2) caller does not tell how long its list is, so such code
// would read whatever lies behind it.
bool names_missing_map(const arch::ebpf::Program& program) {
  return std::ranges::any_of(program.raw, [&](const arch::ebpf::RawInsn& insn) {
    const bool by_index = insn.src_reg == BPF_PSEUDO_MAP_IDX || insn.src_reg == BPF_PSEUDO_MAP_IDX_VALUE;
    return insn.opcode == 0x18 && by_index && uint32_t(insn.imm) >= program.maps.size();
  });
}

}  // namespace

DoorResult Door::load(const arch::ebpf::Program& program, uint64_t contents_seed) {
  DoorResult result;
  if (names_missing_map(program)) {
    result.error = EINVAL;
    result.log = "the code names a map that does not exist";
    return result;
  }
  Descriptors open;
  std::vector<int> maps;
  base::Rng rng(contents_seed);
  for (const arch::ebpf::MapSpec& spec : program.maps) {
    union bpf_attr attr{};
    attr.map_type = spec.type;
    attr.key_size = spec.key_size;
    attr.value_size = spec.value_size;
    attr.max_entries = spec.max_entries;
    attr.map_flags = spec.flags;
    maps.push_back(open.add(device_.bpf(BPF_MAP_CREATE, &attr, sizeof attr)));
    CHECK(maps.back() >= 0);
    fill_map(*device_.map(maps.back()), rng);
  }
  union bpf_attr attr{};
  attr.prog_type = BPF_PROG_TYPE_XDP;
  attr.insns = pointer(program.raw.data());
  attr.insn_cnt = uint32_t(program.raw.size());
  attr.license = pointer("GPL");
  attr.expected_attach_type = program.expected_attach_type;
  attr.prog_flags = program.load_flags;
  attr.fd_array = pointer(maps.data());
  std::memcpy(attr.prog_name, "random", sizeof "random");
  if (program.btf) {
    union bpf_attr btf{};
    btf.btf = pointer(program.btf->btf.data());
    btf.btf_size = uint32_t(program.btf->btf.size());
    const int fd = open.add(device_.bpf(BPF_BTF_LOAD, &btf, sizeof btf));
    CHECK(fd >= 0);
    attr.prog_btf_fd = uint32_t(fd);
    attr.func_info = pointer(program.btf->func_info.data());
    attr.func_info_rec_size = program.btf->func_info_rec_size;
    attr.func_info_cnt = uint32_t(program.btf->func_info.size() / program.btf->func_info_rec_size);
  }
  std::vector<char> log(1 << 16);
  attr.log_buf = pointer(log.data());
  attr.log_size = uint32_t(log.size());
  attr.log_level = 1;
  const int fd = open.add(device_.bpf(BPF_PROG_LOAD, &attr, sizeof attr));
  if (fd >= 0)
    result.loaded = device_.program(fd);
  else
    result.error = -fd;
  result.log = log.data();
  return result;
}

}  // namespace xnic::tests
