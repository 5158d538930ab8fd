// SPDX-License-Identifier: Apache-2.0
// Device: the card as an operating system sees it. Programs, maps, BTF and links are objects with ids and real file
// descriptors; the bpf(2) commands are the only way to make and change them.
//
// Handles: each object has a memfd. The device keeps one open file description, every handle given out is another one,
// so dup, close, fcntl, fork and SCM_RIGHTS work on handles as on any descriptor. An object lives while a handle, a
// pin, a link or another object holds it; the device finds out that no handle is left by asking for a write lease on
// its own description (fcntl F_SETLEASE fails with EAGAIN as long as another description or a mapping exists) whenever
// ids are looked at.
#pragma once

#include <linux/bpf.h>

#include <cstdint>
#include <memory>
#include <string>

#include "exec/engine.hpp"

namespace xnic::device {

struct DeviceOptions {
  uint32_t cpus = 0;  // copies in per-CPU maps; 0: as many as the machine has possible CPUs, which libbpf expects
  const base::Clock* clock = nullptr;      // null: SystemClock
  std::string test_run_engine = "interp";  // engine of BPF_PROG_TEST_RUN
};

class Device {
 public:
  explicit Device(const DeviceOptions& options = {});
  ~Device();
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  // bpf(2): same commands, attributes and results; a negative errno instead of -1 and errno. `attr` may be written.
  // Thread-safe.
  long bpf(int command, union bpf_attr* attr, uint32_t size);

  // The object behind a handle of this process, or null if the descriptor isn't a handle of this device of that kind.
  std::shared_ptr<const exec::LoadedProgram> program(int fd) const;
  std::shared_ptr<exec::maps::Map> map(int fd) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// The process-wide device that the wrapped syscall() answers for. libbpf (linked statically with --wrap=syscall) enters
// here. While none is installed, bpf(2) goes to the kernel. Not owned; null to uninstall.
void install_device(Device* device);

}  // namespace xnic::device
