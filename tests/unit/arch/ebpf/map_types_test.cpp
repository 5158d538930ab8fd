// SPDX-License-Identifier: Apache-2.0
#include "arch/ebpf/map_types.hpp"

#include <gtest/gtest.h>

namespace xnic::arch::ebpf {
namespace {

TEST(MapTypes, AreNamedAsBpftoolNamesThem) {
  EXPECT_EQ(find_map_type(kMapHash)->name, "hash");
  EXPECT_EQ(find_map_type(kMapLruPercpuHash)->name, "lru_percpu_hash");
  EXPECT_EQ(find_map_type(kMapDevmapHash)->name, "devmap_hash");
  EXPECT_EQ(find_map_type(kMapArena)->name, "arena");
}

TEST(MapTypes, UnknownNumbersHaveNone) {
  EXPECT_EQ(find_map_type(0), nullptr);
  EXPECT_EQ(find_map_type(34), nullptr);
}

TEST(MapTypes, EveryUnsupportedOneSaysWhy) {
  for (MapType type = 1; type <= kMapArena; ++type) {
    const MapTypeInfo* info = find_map_type(type);
    ASSERT_NE(info, nullptr);
    EXPECT_EQ(info->type, type);
    EXPECT_TRUE(info->supported || !info->note.empty()) << info->name;
  }
}

}  // namespace
}  // namespace xnic::arch::ebpf
