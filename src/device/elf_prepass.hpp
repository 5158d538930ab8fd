// SPDX-License-Identifier: Apache-2.0
// The pre-pass over ELF objects: checks the file's structure and brings older forms into the one that libbpf takes.
#pragma once

#include <string>
#include <vector>

#include "base/bytes.hpp"
#include "base/result.hpp"

namespace xnic::device {

// Returns the object in today's form; a copy of `elf` when nothing had to change. Errors: kBadInput (not an ELF object
// for BPF, cut off), kUnsupported (a map definition in a form nobody uses).
base::Result<std::vector<uint8_t>> modernise_object(base::Bytes elf, const std::string& name);

}  // namespace xnic::device
