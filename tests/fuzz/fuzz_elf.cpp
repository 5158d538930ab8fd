// SPDX-License-Identifier: Apache-2.0
// Any bytes as an object file.
#include <nlohmann/json.hpp>

#include "base/check.hpp"
#include "device/map_json.hpp"
#include "device/object.hpp"
#include "targets.hpp"

namespace xnic::tests::fuzz {

void fuzz_elf(base::Bytes input) {
  // Large maps are printed slowly and tell no more than small ones.
  constexpr uint64_t kMaxPrintedBytes = 1 << 14;
  device::Device device({.cpus = 2});
  const auto object = device::Object::load_bytes(device, input, "fuzz.o");
  if (!object) {
    CHECK(!object.error().message().empty());
    return;
  }
  CHECK(!object->programs().empty());
  for (const device::ObjectMap& map : object->maps()) {
    if (uint64_t{map.map->host_value_bytes()} * map.map->spec().max_entries > kMaxPrintedBytes) continue;
    if (const auto json = device::dump_map(map)) (void)json->dump();
  }
}

}  // namespace xnic::tests::fuzz
