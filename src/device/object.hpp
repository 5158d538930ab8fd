// SPDX-License-Identifier: Apache-2.0
// Loading an ELF object through the bpf(2) door with libbpf.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.hpp"
#include "base/result.hpp"
#include "compile/verify/verify.hpp"
#include "device/device.hpp"

namespace xnic::device {

// A section of global data before the object is loaded, as the object sets it.
struct GlobalData {
  std::string name;  // ".rodata", ".data", ".bss"
  base::Bytes btf;   // the object's BTF, empty if it has none
  uint32_t btf_value_type_id = 0;
  base::MutableBytes value;  // may be changed; read-only data is a constant to the verifier from the load on
};

struct LoadOptions {
  // Load only the program of this name (function or section); empty: all XDP programs of the object.
  std::string program;
  bool verifier_log = false;  // keep the verifier's log of accepted programs too
  // Fill in what an object leaves to its own loader, so that the verdict on a program depends on the program alone:
  // max_entries 0 becomes 64 (ring buffers 4096), more than 1,000,000 becomes 65,536, pins are dropped, a map of maps
  // without a template gets an inner array of one u32. Without it max_entries 0 becomes the number of processors.
  bool complete_maps = false;
  // Called for each section of global data before the load; an error ends it.
  std::function<base::Result<void>(const GlobalData&)> set_global_data;
};

// What became of one program that was offered to the card alone.
struct ProgramReport {
  std::string name;
  std::string section;
  bool accepted = false;
  // Null when the object or its instructions could not be read so far.
  std::shared_ptr<const arch::ebpf::Program> program;
  std::shared_ptr<const arch::ebpf::Facts> facts;       // when accepted
  std::optional<compile::verify::Rejection> rejection;  // when the verifier said no
  std::optional<base::Error> error;                     // when not accepted, for whatever reason
  std::string log;                                      // the verifier's, at the level of LoadOptions
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

  // Offers each program of the object (or the one of options.program) to the card alone, so that one that is rejected
  // does not keep the others from being looked at. Nothing stays loaded. Errors: of the object as a whole.
  static base::Result<std::vector<ProgramReport>> check(Device& device, const std::string& path,
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
