// SPDX-License-Identifier: Apache-2.0
// Map definitions from before BTF, brought into the form of today. Internal to this folder.
#pragma once

#include <string>

#include "base/result.hpp"
#include "device/elf_object.hpp"

namespace xnic::device {

// True if the object has sections "maps" or "maps/…".
bool has_legacy_maps(const ElfObject& object);

// Replaces them by a section ".maps" and BTF that describes it. Errors: kBadInput (a definition cut off, a reference to
// a map that does not exist), kUnsupported (a definition of unknown form, both forms in one object).
base::Result<void> convert_legacy_maps(ElfObject& object, const std::string& name);

}  // namespace xnic::device
