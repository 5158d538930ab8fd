// SPDX-License-Identifier: Apache-2.0
// bpf(2) over a socket: this process is the client, a thread serves it.
#include "device/remote/session.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <thread>

#include "device/remote/client.hpp"

namespace xnic::device::remote {
namespace {

class Self final : public Process {
 public:
  int read(uint64_t address, void* to, size_t bytes) override { return LocalCaller().read(address, to, bytes); }
  int write(uint64_t address, const void* from, size_t bytes) override {
    return LocalCaller().write(address, from, bytes);
  }
  int borrow(int fd) override { return fcntl(fd, F_GETFD) < 0 ? -EBADF : fd; }
  void release(int) override {}
  int install(int fd) override { return fd; }
};

class RemoteSession : public testing::Test {
 protected:
  RemoteSession() : RemoteSession(Peer{.pid = getpid(), .uid = 7, .read_only = false}) {}
  explicit RemoteSession(const Peer& peer) : device_({.cpus = 2}) {
    int sockets[2];
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets), 0);
    socket_ = exec::kernel::Fd(sockets[0]);
    server_ = std::thread([this, peer, theirs = sockets[1]] {
      Session session(device_, network_, Channel(exec::kernel::Fd(theirs)), peer);
      while (session.serve_one()) {
      }
    });
  }
  ~RemoteSession() override {
    shutdown(socket_.get(), SHUT_RDWR);
    server_.join();
  }
  long bpf(int command, bpf_attr& attr, int descriptor = -1) {
    Call call;
    call.command = command;
    call.attr = reinterpret_cast<uint64_t>(&attr);
    call.size = sizeof attr;
    call.descriptor = descriptor;
    call.token = token_;
    bool broken = true;
    const long result = client_->bpf(socket_.get(), self_, call, hints_, broken);
    EXPECT_FALSE(broken);
    return result;
  }
  exec::kernel::Fd make_map(uint32_t type, uint32_t value_size, uint32_t entries) {
    bpf_attr attr{};
    attr.map_type = type;
    attr.key_size = 4;
    attr.value_size = value_size;
    attr.max_entries = entries;
    const long fd = bpf(BPF_MAP_CREATE, attr);
    EXPECT_GE(fd, 0);
    return exec::kernel::Fd(static_cast<int>(fd));
  }
  static bpf_attr element(int fd, const void* key, const void* value) {
    bpf_attr attr{};
    attr.map_fd = static_cast<uint32_t>(fd);
    attr.key = reinterpret_cast<uint64_t>(key);
    attr.value = reinterpret_cast<uint64_t>(value);
    return attr;
  }

  Device device_;
  struct Reverser final : Network {
    std::vector<uint8_t> netlink(const Caller&, base::Bytes request, uint64_t) override {
      return {request.rbegin(), request.rend()};
    }
    std::vector<PortRecord> ports(uint64_t namespace_inode) override {
      return std::vector<PortRecord>(namespace_inode);
    }
  } network_;
  exec::kernel::Fd socket_;
  std::thread server_;
  Self self_;
  std::unique_ptr<Client> client_ = std::make_unique<Client>();
  Hints hints_;
  uint32_t token_ = 0;
};

class ReadOnlySession : public RemoteSession {
 protected:
  ReadOnlySession() : RemoteSession(Peer{.pid = getpid(), .uid = 1000, .read_only = true}) {}
};

TEST_F(RemoteSession, elements_go_there_and_back) {
  const auto map = make_map(BPF_MAP_TYPE_HASH, 8, 4);
  uint32_t key = 5;
  uint64_t value = 77, found = 0;
  auto attr = element(map.get(), &key, &value);
  EXPECT_EQ(bpf(BPF_MAP_UPDATE_ELEM, attr, map.get()), 0);
  attr = element(map.get(), &key, &found);
  EXPECT_EQ(bpf(BPF_MAP_LOOKUP_ELEM, attr, map.get()), 0);
  EXPECT_EQ(found, 77u);
  EXPECT_EQ(hints_.key_bytes, 4u);
  EXPECT_EQ(hints_.value_bytes, 8u);
  key = 6;
  EXPECT_EQ(bpf(BPF_MAP_LOOKUP_ELEM, attr, map.get()), -ENOENT);
}

TEST_F(RemoteSession, a_token_stands_for_the_descriptor_that_was_shown) {
  const auto map = make_map(BPF_MAP_TYPE_ARRAY, 8, 4);
  uint32_t key = 0;
  uint64_t value = 3;
  auto attr = element(map.get(), &key, &value);
  EXPECT_EQ(bpf(BPF_MAP_UPDATE_ELEM, attr, map.get()), 0);
  token_ = hints_.token;
  ASSERT_NE(token_, 0u);
  EXPECT_EQ(bpf(BPF_MAP_UPDATE_ELEM, attr, map.get()), 0);
  EXPECT_EQ(hints_.token, token_);
  token_ = 99;  // of nothing: the daemon asks for the descriptor
  EXPECT_EQ(bpf(BPF_MAP_UPDATE_ELEM, attr, map.get()), 0);
}

TEST_F(RemoteSession, wild_addresses_are_efault) {
  const auto map = make_map(BPF_MAP_TYPE_HASH, 8, 4);
  uint32_t key = 1;
  uint64_t value = 2;
  auto attr = element(map.get(), reinterpret_cast<void*>(8), &value);
  EXPECT_EQ(bpf(BPF_MAP_UPDATE_ELEM, attr, map.get()), -EFAULT);
  attr = element(map.get(), &key, &value);
  EXPECT_EQ(bpf(BPF_MAP_UPDATE_ELEM, attr, map.get()), 0);
  attr = element(map.get(), &key, reinterpret_cast<void*>(8));
  EXPECT_EQ(bpf(BPF_MAP_LOOKUP_ELEM, attr, map.get()), -EFAULT);
  Call call;
  call.command = BPF_MAP_CREATE;
  call.attr = 16;
  call.size = sizeof attr;
  bool broken = true;
  EXPECT_EQ(client_->bpf(socket_.get(), self_, call, hints_, broken), -EFAULT);
  call.size = 4097;
  EXPECT_EQ(client_->bpf(socket_.get(), self_, call, hints_, broken), -E2BIG);
  EXPECT_FALSE(broken);
}

TEST_F(RemoteSession, descriptors_that_are_not_the_cards_are_refused) {
  uint32_t key = 1;
  uint64_t value = 2;
  auto attr = element(0, &key, &value);
  EXPECT_EQ(bpf(BPF_MAP_LOOKUP_ELEM, attr, -1), -EINVAL);  // asked for; standard input is none
  attr = element(-1, &key, &value);
  EXPECT_EQ(bpf(BPF_MAP_LOOKUP_ELEM, attr, -1), -EBADF);
}

TEST_F(RemoteSession, large_batches_go_in_pieces) {
  constexpr uint32_t kCount = 20000;
  const auto map = make_map(BPF_MAP_TYPE_HASH, 64, kCount);
  std::vector<uint32_t> keys(kCount);
  std::vector<std::array<uint8_t, 64>> values(kCount);
  for (uint32_t i = 0; i < kCount; ++i) {
    keys[i] = i;
    values[i].fill(static_cast<uint8_t>(i * 7));
  }
  bpf_attr attr{};
  attr.batch.map_fd = static_cast<uint32_t>(map.get());
  attr.batch.keys = reinterpret_cast<uint64_t>(keys.data());
  attr.batch.values = reinterpret_cast<uint64_t>(values.data());
  attr.batch.count = kCount;
  ASSERT_EQ(bpf(BPF_MAP_UPDATE_BATCH, attr, map.get()), 0);
  EXPECT_EQ(attr.batch.count, kCount);
  std::vector<uint32_t> read_keys(kCount);
  std::vector<std::array<uint8_t, 64>> read_values(kCount);
  uint64_t token = 0;
  attr.batch.keys = reinterpret_cast<uint64_t>(read_keys.data());
  attr.batch.values = reinterpret_cast<uint64_t>(read_values.data());
  attr.batch.out_batch = reinterpret_cast<uint64_t>(&token);
  ASSERT_EQ(bpf(BPF_MAP_LOOKUP_BATCH, attr, map.get()), 0);
  for (uint32_t i = 0; i < kCount; ++i) ASSERT_EQ(read_values[i], values[read_keys[i]]);
}

TEST_F(RemoteSession, objects_go_with_the_last_handle_of_the_client) {
  bpf_attr attr{};
  {
    const auto map = make_map(BPF_MAP_TYPE_ARRAY, 4, 1);
    EXPECT_EQ(bpf(BPF_MAP_GET_NEXT_ID, attr), 0);
    EXPECT_NE(attr.next_id, 0u);
  }
  attr = {};
  EXPECT_EQ(bpf(BPF_MAP_GET_NEXT_ID, attr), -ENOENT);
}

TEST_F(RemoteSession, mapped_values_are_shared_with_the_card) {
  bpf_attr attr{};
  attr.map_type = BPF_MAP_TYPE_ARRAY;
  attr.key_size = 4;
  attr.value_size = 8;
  attr.max_entries = 1;
  attr.map_flags = BPF_F_MMAPABLE;
  const exec::kernel::Fd map(static_cast<int>(bpf(BPF_MAP_CREATE, attr)));
  void* page = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, map.get(), 0);
  ASSERT_NE(page, MAP_FAILED);
  uint32_t key = 0;
  uint64_t value = 0x1234;
  attr = element(map.get(), &key, &value);
  EXPECT_EQ(bpf(BPF_MAP_UPDATE_ELEM, attr, map.get()), 0);
  EXPECT_EQ(*static_cast<volatile uint64_t*>(page), 0x1234u);
  munmap(page, 4096);
}

TEST_F(RemoteSession, questions_are_answered) {
  const auto map = make_map(BPF_MAP_TYPE_HASH, 8, 4);
  bpf_attr attr{};
  attr.pathname = reinterpret_cast<uint64_t>("/sys/fs/bpf/folder/name");
  attr.bpf_fd = static_cast<uint32_t>(map.get());
  ASSERT_EQ(bpf(BPF_OBJ_PIN, attr, map.get()), 0);
  bool broken = true;
  const std::string folder = "/sys/fs/bpf", pin = folder + "/folder/name";
  const auto ask = [&](Question question, const std::string& text, int shown) {
    return client_->ask(socket_.get(), self_, question, 0, text.data(), text.size(), shown, nullptr, broken);
  };
  const auto answer = [&] { return std::string(reinterpret_cast<const char*>(client_->bytes()), client_->size()); };
  EXPECT_EQ(ask(Question::kPins, folder, -1), 1);
  EXPECT_EQ(answer(), pin + '\0');
  EXPECT_EQ(ask(Question::kPins, "/sys/fs/b", -1), 0);
  EXPECT_EQ(ask(Question::kFdinfo, "", map.get()), 0);
  EXPECT_NE(answer().find("\nmax_entries:\t4\n"), std::string::npos) << answer();
  EXPECT_EQ(ask(Question::kFdinfo, "", 0), -EBADF);
  EXPECT_EQ(ask(Question::kWakeup, "", map.get()), -EPERM);
  EXPECT_EQ(ask(Question::kNetlink, "abc", -1), 0);
  EXPECT_EQ(answer(), "cba");
  EXPECT_EQ(client_->ask(socket_.get(), self_, Question::kPorts, 3, nullptr, 0, -1, nullptr, broken), 3);
  EXPECT_EQ(client_->size(), 3 * sizeof(PortRecord));
  EXPECT_EQ(ask(Question::kUnpin, pin, -1), 0);
  EXPECT_EQ(ask(Question::kUnpin, pin, -1), -ENOENT);
}

TEST_F(ReadOnlySession, may_look_but_not_change) {
  bpf_attr attr{};
  attr.map_type = BPF_MAP_TYPE_HASH;
  attr.key_size = attr.value_size = 4;
  attr.max_entries = 1;
  EXPECT_EQ(bpf(BPF_MAP_CREATE, attr), -EPERM);
  const long mine = device_.bpf(BPF_MAP_CREATE, &attr, sizeof attr);
  ASSERT_GE(mine, 0);
  const exec::kernel::Fd kept(static_cast<int>(mine));
  attr = {};
  ASSERT_EQ(bpf(BPF_MAP_GET_NEXT_ID, attr), 0);
  const uint32_t id = attr.next_id;
  attr = {};
  attr.map_id = id;
  const exec::kernel::Fd map(static_cast<int>(bpf(BPF_MAP_GET_FD_BY_ID, attr)));
  ASSERT_GE(map.get(), 0);
  uint32_t key = 0, value = 1;
  attr = element(map.get(), &key, &value);
  EXPECT_EQ(bpf(BPF_MAP_LOOKUP_ELEM, attr, map.get()), -ENOENT);
  EXPECT_EQ(bpf(BPF_MAP_UPDATE_ELEM, attr, map.get()), -EPERM);
  EXPECT_EQ(fcntl(map.get(), F_GETFL) & O_ACCMODE, O_RDONLY);
}

TEST_F(RemoteSession, nonsense_ends_the_connection) {
  EXPECT_EQ(send(socket_.get(), "nonsense", 8, MSG_NOSIGNAL), 8);
  char byte;
  EXPECT_EQ(recv(socket_.get(), &byte, 1, 0), 0);
}

}  // namespace
}  // namespace xnic::device::remote
