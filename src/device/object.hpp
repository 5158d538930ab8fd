// SPDX-License-Identifier: Apache-2.0
// Loading an ELF object through the bpf(2) door with libbpf.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/bytes.hpp"
#include "base/result.hpp"
#include "device/device.hpp"

namespace xnic::device {

struct LoadOptions {
  std::string
      program;  // load only the program of this name (function or section); empty: all XDP programs of the object
  bool verifier_log = false;  // keep the verifier's log of accepted programs too
};

struct ObjectMap {
  std::string name;  // as in the object; ".rodata", ".data", ".bss" for global data
  int fd;            // owned by the Object
  uint32_t btf_key_type_id;
  uint32_t btf_value_type_id;
  std::shared_ptr<exec::maps::Map> map;
};

struct ObjectProgram {
  std::string name;
  std::string section;
  int fd;  // owned by the Object
  std::shared_ptr<const exec::LoadedProgram> loaded;
  std::string log;
};

// A loaded object: its programs and maps live as long as it does (or longer, if pinned). Move-only; closes its handles.
class Object {
 public:
  // Reads and loads `path` ("-": standard input is not accepted). Objects in forms that libbpf >= 1.0 refuses (legacy
  // `maps` sections, static entry functions, functions without a type) are converted first. Errors: kIo (unreadable),
  // kBadInput (not an ELF, truncated, no XDP program, rejected by the verifier: detail holds source line, instruction,
  // register state, what to change), kUnsupported (unknown helper, map type), kLimit.
  static base::Result<Object> load(Device& device, const std::string& path, const LoadOptions& options = {});
  static base::Result<Object> load_bytes(Device& device, base::Bytes elf, const std::string& name,
                                         const LoadOptions& options = {});

  Object(Object&&) noexcept;
  Object& operator=(Object&&) noexcept;
  ~Object();

  const std::vector<ObjectProgram>& programs() const;
  const std::vector<ObjectMap>& maps() const;
  const ObjectMap* find_map(const std::string& name) const;

  struct State;  // defined in object.cpp

 private:
  explicit Object(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace xnic::device
