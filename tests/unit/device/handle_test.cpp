// SPDX-License-Identifier: Apache-2.0
#include "device/handle.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace xnic::device {
namespace {

Handle make() {
  int error = 0;
  Handle handle = Handle::create("test", error);
  EXPECT_EQ(error, 0);
  return handle;
}

TEST(Handle, IsNotHeldUntilItIsOpened) {
  Handle handle = make();
  EXPECT_FALSE(handle.is_held());
  for (Access access : {Access::kReadWrite, Access::kReadOnly, Access::kWriteOnly}) {
    int fd = handle.open(access);
    ASSERT_GE(fd, 0);
    EXPECT_TRUE(handle.is_held());
    close(fd);
    EXPECT_FALSE(handle.is_held());
  }
}

TEST(Handle, IsHeldByADuplicate) {
  Handle handle = make();
  int fd = handle.open(Access::kReadWrite);
  int copy = dup(fd);
  close(fd);
  EXPECT_TRUE(handle.is_held());
  close(copy);
  EXPECT_FALSE(handle.is_held());
}

TEST(Handle, IsHeldByAMappingAfterClose) {
  Handle handle = make();
  ASSERT_EQ(ftruncate(handle.own_fd(), 4096), 0);
  int fd = handle.open(Access::kReadWrite);
  void* mapped = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  ASSERT_NE(mapped, MAP_FAILED);
  close(fd);
  EXPECT_TRUE(handle.is_held());
  munmap(mapped, 4096);
  EXPECT_FALSE(handle.is_held());
}

TEST(Handle, IsNotHeldByTheDevicesOwnMapping) {
  Handle handle = make();
  ASSERT_EQ(ftruncate(handle.own_fd(), 4096), 0);
  void* mapped = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, handle.own_fd(), 0);
  EXPECT_FALSE(handle.is_held());
  munmap(mapped, 4096);
}

TEST(Handle, HasOneIdentityThroughAllItsDescriptors) {
  Handle handle = make();
  Handle other = make();
  int fd = handle.open(Access::kReadOnly);
  struct stat status;
  ASSERT_EQ(fstat(fd, &status), 0);
  EXPECT_EQ(status.st_ino, handle.inode());
  EXPECT_EQ(status.st_dev, handle.device());
  EXPECT_NE(other.inode(), handle.inode());
  EXPECT_TRUE(fcntl(fd, F_GETFD) & FD_CLOEXEC);
  close(fd);
}

TEST(Handle, SealsRefuseResizingAndNewWritableMappings) {
  Handle handle = make();
  ASSERT_EQ(ftruncate(handle.own_fd(), 4096), 0);
  handle.seal_size();
  int fd = handle.open(Access::kReadWrite);
  EXPECT_NE(ftruncate(fd, 0), 0);
  handle.seal_writes();
  EXPECT_EQ(mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), MAP_FAILED);
  void* readable = mmap(nullptr, 4096, PROT_READ, MAP_SHARED, fd, 0);
  EXPECT_NE(readable, MAP_FAILED);
  munmap(readable, 4096);
  close(fd);
}

}  // namespace
}  // namespace xnic::device
