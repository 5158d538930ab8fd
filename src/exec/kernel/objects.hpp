// SPDX-License-Identifier: Apache-2.0
// The kernel's counterparts of a loaded program, of its maps, and of all that these refer to.
#pragma once

#include <map>
#include <memory>
#include <vector>

#include "exec/engine.hpp"
#include "exec/kernel/bpf_call.hpp"

namespace xnic::exec::kernel {

// Makes each map and each program once; owns their descriptors.
class Objects {
 public:
  struct KernelMap {
    std::shared_ptr<maps::Map> map;
    Fd fd;
    bool sealed = false;     // pushed and frozen before its program was loaded: never changes again
    std::vector<Fd> events;  // perf event array: a software event per CPU
    bool pushed = false;     // its contents have been written at least once
  };

  // Errors: kIo with the kernel's errno and, for programs, the end of its verifier's log.
  base::Result<KernelMap*> map(const std::shared_ptr<maps::Map>& map);
  base::Result<int> program(const std::shared_ptr<const LoadedProgram>& program);

  // Copies contents of all maps that exist so far, and of those that come into being on the way (inner maps, maps of
  // tail-called programs).
  base::Result<void> push();
  base::Result<void> pull();

 private:
  base::Result<Fd> create_map(const arch::ebpf::MapSpec& spec);
  base::Result<Fd> load_program(const LoadedProgram& loaded);
  base::Result<void> seal(KernelMap& map);
  int btf(const std::shared_ptr<const std::vector<uint8_t>>& blob);
  int btf(const arch::ebpf::ProgramBtf& tables);

  std::vector<std::unique_ptr<KernelMap>> maps_;
  std::map<const maps::Map*, KernelMap*> map_of_;
  std::map<const LoadedProgram*, Fd> programs_;
  std::vector<std::shared_ptr<const LoadedProgram>> keep_;  // so that the keys above stay unique
  std::map<const void*, Fd> btf_;                           // by the blob's address; -1: the kernel refuses it
};

// contents.cpp: one map's contents to the kernel's counterpart, and back. Entries that the kernel doesn't take (an
// interface that does not exist here) are errors that name the key.
base::Result<void> push_contents(Objects& objects, Objects::KernelMap& map);
base::Result<void> pull_contents(Objects::KernelMap& map);

}  // namespace xnic::exec::kernel
