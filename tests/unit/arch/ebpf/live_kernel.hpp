// SPDX-License-Identifier: Apache-2.0
// The running kernel's verifier as a reference for tables and texts: a program goes in by BPF_PROG_LOAD, the log comes
// out. Tests that need it skip themselves where bpf(2) is not permitted or the kernel is another release than 6.18.
#pragma once

#include <linux/bpf.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <span>
#include <string>
#include <vector>

#include "arch/ebpf/instruction.hpp"

namespace xnic::arch::ebpf {

struct KernelVerdict {
  int error = 0;  // 0: accepted; else errno
  std::string log;
};

// Has the kernel verify `insns` as an XDP program. `log_level` as in bpf(2): 1 errors, 2 every instruction.
inline KernelVerdict ask_kernel(std::span<const RawInsn> insns, const char* license = "GPL", unsigned log_level = 1) {
  std::vector<char> log(1 << 20);
  bpf_attr attr;
  std::memset(&attr, 0, sizeof attr);
  attr.prog_type = BPF_PROG_TYPE_XDP;
  attr.insn_cnt = static_cast<uint32_t>(insns.size());
  attr.insns = reinterpret_cast<uint64_t>(insns.data());
  attr.license = reinterpret_cast<uint64_t>(license);
  attr.log_level = log_level;
  attr.log_size = static_cast<uint32_t>(log.size());
  attr.log_buf = reinterpret_cast<uint64_t>(log.data());
  const auto fd = static_cast<int>(syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof attr));
  KernelVerdict verdict{fd < 0 ? errno : 0, log.data()};
  if (fd >= 0) close(fd);
  return verdict;
}

// True when the reference is there: release 6.18, and bpf(2) allowed.
inline bool have_live_kernel() {
  utsname name;
  if (uname(&name) != 0 || std::string_view(name.release).substr(0, 5) != "6.18.") return false;
  const RawInsn pass[] = {{0xb7, 0, 0, 0, 2}, {0x95, 0, 0, 0, 0}};
  return ask_kernel(pass).error == 0;
}

}  // namespace xnic::arch::ebpf
