// SPDX-License-Identifier: Apache-2.0
// A card with vectors for ports and programs that do what the frame says, for the tests of the datapath.
#pragma once

#include <gtest/gtest.h>
#include <linux/bpf.h>

#include <cstring>
#include <map>

#include "device/object.hpp"
#include "fake_port.hpp"
#include "nic/datapath/card.hpp"

namespace xnic::nic::datapath {

// What the program `obey` does, in byte 14 of the frame; bytes 15 and 16 are its arguments.
enum Order : uint8_t {
  kReturn = 0,     // byte 15
  kInterface = 4,  // bpf_redirect to byte 15
  kDevmap = 5,     // entry byte 15, flags byte 16
  kCpumap = 6,
  kXskmap = 7,
  kDevmapHash = 8,
};
// Places where programs leave a mark.
enum Mark : size_t {
  kVersionMark = 20,  // `obey` writes 1, `obey_newer` 2
  kEgressMark = 21,   // the devmap program writes egress_ifindex; it drops when byte 22 is 1
  kCpuMark = 23,      // the cpumap program writes its processor plus one; byte 24: what it does
  kQueueMark = 25,    // `obey` writes rx_queue
};

// The object with the test programs; compiled once for all tests.
const std::vector<uint8_t>& test_object();

class CardTest : public testing::Test {
 protected:
  explicit CardTest(uint32_t workers = 1) : device_(device_options()) {
    CardOptions options;
    options.workers = workers;
    options.engine = "interp";
    options.frames_per_worker = 1024;
    options.clock = &clock_;
    make_card(options);
  }
  static device::DeviceOptions device_options() {
    device::DeviceOptions options;
    options.cpus = 4;
    return options;
  }
  void make_card(const CardOptions& options) {
    card_.reset();
    auto card = Card::create(device_, options);
    ASSERT_TRUE(card) << card.error().message();
    card_ = std::move(*card);
    before_ = free_frames();
  }
  // Every packet accounted for, and every frame at home.
  void TearDown() override {
    if (card_ == nullptr) return;
    card_->stop();
    poll_all();
    const Totals totals = card_->totals();
    EXPECT_TRUE(totals.balanced()) << totals.received << " + " << totals.copied << " != " << totals.sent << " + "
                                   << totals.dropped() << " + " << totals.held;
    if (totals.held == 0) {
      EXPECT_EQ(free_frames(), before_);
    }
  }

  std::shared_ptr<Wire> add_port(uint32_t ifindex, PortOptions options = {}, port::Info info = {}) {
    info.name = "port" + std::to_string(ifindex);
    info.kind = "fake";
    info.ifindex = ifindex;
    auto wire = std::make_shared<Wire>(info.queues);
    wires_[ifindex] = wire;
    auto added = card_->add_port(std::make_unique<FakePort>(info, wire, sleeps_), std::move(options));
    EXPECT_TRUE(added) << added.error().message();
    return wire;
  }
  device::Object& object() {
    if (!object_) {
      auto loaded = device::Object::load_bytes(device_, test_object(), "obey.o", {});
      if (!loaded) ADD_FAILURE() << loaded.error().message();
      object_ = std::make_unique<device::Object>(std::move(*loaded));
    }
    return *object_;
  }
  int program(const std::string& name) {
    for (const auto& one : object().programs())
      if (one.name == name) return one.fd;
    ADD_FAILURE() << "no program " << name;
    return -1;
  }
  int map(const std::string& name) {
    const auto* found = object().find_map(name);
    EXPECT_NE(found, nullptr) << name;
    return found == nullptr ? -1 : found->fd;
  }
  // Returns the link.
  long attach(uint32_t ifindex, const std::string& name) {
    union bpf_attr attr;
    std::memset(&attr, 0, sizeof attr);
    attr.link_create.prog_fd = static_cast<uint32_t>(program(name));
    attr.link_create.target_ifindex = ifindex;
    attr.link_create.attach_type = BPF_XDP;
    const long link = device_.bpf(BPF_LINK_CREATE, &attr, sizeof attr);
    if (link >= 0) links_.push_back(static_cast<int>(link));
    return link;
  }
  long replace(long link, const std::string& name) {
    union bpf_attr attr;
    std::memset(&attr, 0, sizeof attr);
    attr.link_update.link_fd = static_cast<uint32_t>(link);
    attr.link_update.new_prog_fd = static_cast<uint32_t>(program(name));
    return device_.bpf(BPF_LINK_UPDATE, &attr, sizeof attr);
  }
  long detach(long link) {
    union bpf_attr attr;
    std::memset(&attr, 0, sizeof attr);
    attr.link_detach.link_fd = static_cast<uint32_t>(link);
    return device_.bpf(BPF_LINK_DETACH, &attr, sizeof attr);
  }
  void set(const std::string& name, uint32_t key, uint32_t value, int program_fd = 0) {
    const uint32_t words[2] = {value, static_cast<uint32_t>(program_fd)};
    union bpf_attr attr;
    std::memset(&attr, 0, sizeof attr);
    attr.map_fd = static_cast<uint32_t>(map(name));
    attr.key = reinterpret_cast<uint64_t>(&key);
    attr.value = reinterpret_cast<uint64_t>(words);
    EXPECT_EQ(device_.bpf(BPF_MAP_UPDATE_ELEM, &attr, sizeof attr), 0) << name << " " << key;
  }
  // An order for `obey`, in a frame of an EtherType that nothing else knows.
  static Frame order(uint8_t what, uint8_t argument = 0, uint8_t flags = 0) {
    Frame frame(60);
    for (size_t i = 0; i < 12; ++i) frame[i] = static_cast<uint8_t>(i * 2);
    frame[12] = 0x88;
    frame[13] = 0xb5;
    frame[14] = what;
    frame[15] = argument;
    frame[16] = flags;
    return frame;
  }
  // Until nothing moves any more.
  void poll_all() {
    for (bool moved = true; moved;) {
      moved = false;
      for (uint32_t i = 0; i < card_->workers(); ++i) moved |= card_->worker(i).poll_once() != 0;
    }
  }
  uint64_t dropped(Drop reason) const { return card_->totals().drop(reason); }
  uint64_t free_frames() const {
    uint64_t sum = 0;
    for (uint32_t i = 0; i < card_->workers(); ++i) sum += card_->memory().pool(i).free();
    return sum;
  }

  base::ManualClock clock_{1'000'000};
  device::Device device_;
  std::unique_ptr<Card> card_;
  std::unique_ptr<device::Object> object_;
  std::map<uint32_t, std::shared_ptr<Wire>> wires_;
  std::vector<int> links_;
  uint64_t before_ = 0;
  bool sleeps_ = false;
  ~CardTest() override {
    for (const int link : links_) close(link);
  }
};

class TwoWorkers : public CardTest {
 protected:
  TwoWorkers() : CardTest(2) {}
};

}  // namespace xnic::nic::datapath
