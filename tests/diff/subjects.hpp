// SPDX-License-Identifier: Apache-2.0
// The real programs that comparisons run: those of programs/ at every CPU version with the map contents of their cases
// (tests/programs), and the XDP programs that Debian's xdp-tools, libxdp1 and xdp-tests install.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "device/object.hpp"

namespace xnic::tests {

// What one case of tests/programs writes to a map.
struct CaseEntry {
  std::string map;
  std::vector<uint8_t> key;
  std::vector<uint8_t> value;
};

struct Subject {
  std::string path;
  std::string program;                        // empty: the only one of the object
  std::string label;                          // "katran_lb v2", "xdp_kern.o xdp_main"
  std::vector<std::vector<uint8_t>> packets;  // of its cases
  std::vector<CaseEntry> entries;             // of its cases, in order
};

// All *.bpf.o under programs_dir/v1 … v4, by version and name.
std::vector<Subject> our_programs(const std::string& cases_dir, const std::string& programs_dir);

// Every XDP program of an object; an object without one gives none. Errors: the object cannot be read.
base::Result<std::vector<Subject>> programs_of(device::Device& device, const std::string& path);

// Paths of the objects that those Debian packages installed; empty when none is.
std::vector<std::string> installed_objects();

// Loads with global data as the first case that writes it has them, and maps completed (LoadOptions::complete_maps).
base::Result<device::Object> load(device::Device& device, const Subject& subject);

// Writes what the cases write, one after the other; later ones overwrite. Names longer than the 15 bytes that a map
// keeps are found by those.
void fill_from_cases(const exec::LoadedProgram& program, const Subject& subject);

}  // namespace xnic::tests
