// SPDX-License-Identifier: Apache-2.0
// The library's interface is declared here, from its documentation and with the layout of ABI 23 (DPDK 22.11, Debian
// 12), which is part of the library's file name.
#include "native_dpdk.hpp"

#include <dlfcn.h>

namespace xnic::bench {
namespace {

enum ArgumentType : uint32_t { kRaw = 1, kPointer = 16 };
struct Argument {
  ArgumentType type;
  size_t size, buffer_size;
};
struct ExternalFunction {
  const char* name;
  uint32_t type;  // 0: a function
  uint64_t (*function)(uint64_t, uint64_t, uint64_t, uint64_t, uint64_t);
  uint32_t argument_count;
  Argument arguments[5];
  Argument result;
};
struct Parameters {
  const void* insns;
  uint32_t insn_count;
  const ExternalFunction* externals;
  uint32_t external_count;
  Argument argument;
};
struct Jitted {
  DpdkFunction function;
  size_t size;
};

base::Unexpected unsupported(const char* what) {
  return base::make_error(base::ErrorKind::kUnsupported, "librte_bpf", "{}", what);
}

}  // namespace

base::Result<DpdkFunction> dpdk_function(const std::string& object,
                                         uint64_t (*lookup)(uint64_t, uint64_t, uint64_t, uint64_t, uint64_t)) {
  static void* const library = dlopen("librte_bpf.so.23", RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return unsupported("dpdk-dev is not installed");
  const auto load =
      reinterpret_cast<void* (*)(const Parameters*, const char*, const char*)>(dlsym(library, "rte_bpf_elf_load"));
  const auto jit = reinterpret_cast<int (*)(const void*, Jitted*)>(dlsym(library, "rte_bpf_get_jit"));
  if (load == nullptr || jit == nullptr) return unsupported("the library has not the interface of DPDK 22.11");
  constexpr uint32_t kErrors = 4;  // RTE_LOG_ERR; below that it tells of every load
  const auto set_log_level = reinterpret_cast<void (*)(uint32_t)>(dlsym(library, "rte_log_set_global_level"));
  if (set_log_level != nullptr) set_log_level(kErrors);
  ExternalFunction external{};
  external.name = "micro_lookup";
  external.function = lookup;
  external.argument_count = 1;
  external.arguments[0] = {kPointer, 16, 0};
  external.result = {kPointer, 8, 0};
  Parameters parameters{};
  parameters.externals = &external;
  parameters.external_count = 1;
  parameters.argument = {kPointer, 64, 0};
  const void* program = load(&parameters, object.c_str(), "xdp");
  Jitted jitted{};
  if (program == nullptr || jit(program, &jitted) != 0 || jitted.function == nullptr)
    return unsupported("it does not take the program");
  return jitted.function;
}

}  // namespace xnic::bench
