// SPDX-License-Identifier: Apache-2.0
// What must hold of an object before libbpf may look at it. Internal to this folder.
#pragma once

#include <string>

#include "device/elf_object.hpp"

namespace xnic::device {

// libbpf follows sizes, offsets and type ids of an object in places without a look at their bounds; this refuses every
// object in which such a step would leave its table or never end. Errors: kBadInput, `where` is `name`.
base::Result<void> screen_object(const ElfObject& object, const std::string& name);

}  // namespace xnic::device
