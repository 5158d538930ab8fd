// SPDX-License-Identifier: Apache-2.0
#include "kernel.hpp"

#include <linux/bpf.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <span>
#include <string_view>

#include "arch/ebpf/flat_entry.hpp"
#include "base/check.hpp"

namespace xnic::conformance {
namespace {

using arch::ebpf::RawInsn;

constexpr size_t kPacketBytes = 64;

int load(std::span<const RawInsn> program, std::string& log) {
  std::vector<char> buffer(1 << 20);
  bpf_attr attr;
  std::memset(&attr, 0, sizeof attr);
  attr.prog_type = BPF_PROG_TYPE_XDP;
  attr.insn_cnt = static_cast<uint32_t>(program.size());
  attr.insns = reinterpret_cast<uint64_t>(program.data());
  attr.license = reinterpret_cast<uint64_t>("GPL");
  attr.log_level = 1;
  attr.log_size = static_cast<uint32_t>(buffer.size());
  attr.log_buf = reinterpret_cast<uint64_t>(buffer.data());
  const auto fd = static_cast<int>(syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof attr));
  log = buffer.data();
  return fd;
}

std::optional<uint32_t> test_run(int fd, const std::vector<uint8_t>& memory) {
  std::array<uint8_t, kPacketBytes> packet{};
  CHECK(memory.size() <= packet.size());
  std::copy(memory.begin(), memory.end(), packet.begin());
  bpf_attr attr;
  std::memset(&attr, 0, sizeof attr);
  attr.test.prog_fd = static_cast<uint32_t>(fd);
  attr.test.data_in = reinterpret_cast<uint64_t>(packet.data());
  attr.test.data_size_in = packet.size();
  attr.test.repeat = 1;
  if (syscall(SYS_bpf, BPF_PROG_TEST_RUN, &attr, sizeof attr) != 0) return std::nullopt;
  return attr.test.retval;
}

}  // namespace

bool kernel_is_usable() {
  utsname name;
  if (uname(&name) != 0 || std::string_view(name.release).substr(0, 5) != "6.18.") return false;
  Vector trivial;
  trivial.program = {{0xb7, 0, 0, 0, 2}, {0x95, 0, 0, 0, 0}};
  return verify_in_kernel(trivial).accepted;
}

KernelOutcome run_in_kernel(const Vector& vector) {
  KernelOutcome outcome;
  for (const bool upper : {false, true}) {
    const auto memory_bytes =
        vector.memory ? std::optional(static_cast<uint32_t>(vector.memory->size())) : std::nullopt;
    const int fd = load(arch::ebpf::with_flat_entry(vector.program, memory_bytes, upper), outcome.log);
    if (fd < 0) return outcome;
    const auto half = test_run(fd, vector.memory.value_or(std::vector<uint8_t>{}));
    close(fd);
    if (!half) {
      outcome.log = "BPF_PROG_TEST_RUN failed";
      return outcome;
    }
    outcome.result |= uint64_t{*half} << (upper ? 32 : 0);
  }
  outcome.accepted = true;
  return outcome;
}

KernelOutcome verify_in_kernel(const Vector& vector) {
  KernelOutcome outcome;
  const int fd = load(vector.program, outcome.log);
  outcome.accepted = fd >= 0;
  if (fd >= 0) close(fd);
  return outcome;
}

}  // namespace xnic::conformance
