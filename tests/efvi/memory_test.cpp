// SPDX-License-Identifier: Apache-2.0
// Registered memory: contents and addresses stay, ranges are shared between domains, and come back.
#include <gmock/gmock.h>

#include "vi_fixture.hpp"

namespace xnic::nic::vi {
namespace {

using testing::ElementsAre;

class RegisteredMemoryTest : public ViTest {
 protected:
  uint8_t* map(size_t bytes, int flags = MAP_PRIVATE | MAP_ANONYMOUS) {
    return static_cast<uint8_t*>(mmap(nullptr, bytes, PROT_READ | PROT_WRITE, flags, -1, 0));
  }
  int add(Endpoint& endpoint, void* memory, size_t bytes) {
    ef_memreg registered;
    const int error = ef_memreg_alloc(&registered, endpoint.dh, &endpoint.pd, endpoint.dh, memory, bytes);
    if (error == 0) ef_memreg_free(&registered, endpoint.dh);
    return error;
  }
};

TEST_F(RegisteredMemoryTest, KeepsItsContentsAndItsAddress) {
  Endpoint left("left");
  uint8_t* const memory = map(64 * 4096);
  for (size_t i = 0; i < 64 * 4096; ++i) memory[i] = static_cast<uint8_t>(i * 7 >> 3);
  ASSERT_EQ(add(left, memory, 64 * 4096), 0);
  for (size_t i = 0; i < 64 * 4096; ++i) ASSERT_EQ(memory[i], static_cast<uint8_t>(i * 7 >> 3));
  munmap(memory, 64 * 4096);
}

TEST_F(RegisteredMemoryTest, HeapMemoryOfHalfAPageCanBeRegisteredAndFreed) {
  Endpoint left("left");
  for (int i = 0; i < 50; ++i) {
    void* memory;
    ASSERT_EQ(posix_memalign(&memory, 4096, 2048), 0);
    std::memset(memory, i, 2048);
    ASSERT_EQ(add(left, memory, 2048), 0);
    EXPECT_EQ(static_cast<uint8_t*>(memory)[2047], i);
    std::free(memory);
  }
}

TEST_F(RegisteredMemoryTest, OneMemoryInTwoDomainsHasOneAddress) {
  Endpoint left("left"), right("right");
  uint8_t* const memory = map(8 * 4096);
  ef_memreg first, second;
  ASSERT_EQ(ef_memreg_alloc(&first, left.dh, &left.pd, left.dh, memory, 8 * 4096), 0);
  ASSERT_EQ(ef_memreg_alloc(&second, right.dh, &right.pd, right.dh, memory + 4096, 3 * 4096), 0);
  EXPECT_EQ(ef_memreg_dma_addr(&first, 4096 + 77), ef_memreg_dma_addr(&second, 77));
  ef_memreg_free(&first, left.dh);
  ef_memreg_free(&second, right.dh);
  munmap(memory, 8 * 4096);
}

TEST_F(RegisteredMemoryTest, RefusesWhatCannotBeRegistered) {
  Endpoint left("left");
  uint8_t* const memory = map(2 * 4096);
  EXPECT_EQ(add(left, memory + 64, 4096), -EINVAL);
  EXPECT_EQ(add(left, memory, 0), -EINVAL);
  uint8_t* const shared = map(4096, MAP_SHARED | MAP_ANONYMOUS);
  EXPECT_EQ(add(left, shared, 4096), -EOPNOTSUPP);
  mprotect(memory, 4096, PROT_READ);
  EXPECT_EQ(add(left, memory, 4096), -EFAULT);
  munmap(memory, 2 * 4096);
  EXPECT_EQ(add(left, memory, 4096), -EFAULT);
  munmap(shared, 4096);
}

TEST_F(RegisteredMemoryTest, StaysReadableAfterTheHandleWasClosedAndReturnsWhenUnmapped) {
  Endpoint keeper("left");
  uint8_t* const memory = map(1024 * 4096);
  {
    Endpoint left("left");
    std::memset(memory, 0x5a, 1024 * 4096);
    ASSERT_EQ(add(left, memory, 1024 * 4096), 0);
  }
  EXPECT_EQ(memory[0], 0x5a);
  EXPECT_EQ(memory[1024 * 4096 - 1], 0x5a);
  munmap(memory, 1024 * 4096);
  uint8_t* const other = map(4096);
  ASSERT_EQ(add(keeper, other, 4096), 0);
  for (int i = 0; i < 200 && service_->pages_in_use() > 1000; ++i) usleep(10000);
  EXPECT_LT(service_->pages_in_use(), 1000u);
  munmap(other, 4096);
}

TEST_F(RegisteredMemoryTest, APlainNameOrIndexFindsThePortAndOthersDoNot) {
  ef_driver_handle dh;
  ASSERT_EQ(ef_driver_open(&dh), 0);
  ef_pd pd;
  EXPECT_EQ(ef_pd_alloc(&pd, dh, 72, EF_PD_DEFAULT), 0);
  EXPECT_STREQ(ef_pd_interface_name(&pd), "right");
  EXPECT_EQ(ef_pd_free(&pd, dh), 0);
  EXPECT_EQ(ef_pd_alloc(&pd, dh, 73, EF_PD_DEFAULT), -ENODEV);
  EXPECT_EQ(ef_pd_alloc_by_name(&pd, dh, "2@right", EF_PD_DEFAULT), -ENODEV);
  EXPECT_EQ(ef_pd_alloc(&pd, dh, 72, EF_PD_VF), -ENODEV);
  EXPECT_EQ(ef_pd_alloc_with_vport(&pd, dh, "right", EF_PD_DEFAULT, EF_PD_VLAN_NONE), -EOPNOTSUPP);
  EXPECT_EQ(ef_driver_close(dh), 0);
  EXPECT_EQ(ef_driver_close(dh), -EBADF);
  EXPECT_EQ(ef_pd_alloc(&pd, dh, 72, EF_PD_DEFAULT), -EBADF);
}

}  // namespace
}  // namespace xnic::nic::vi
