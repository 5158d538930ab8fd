// SPDX-License-Identifier: Apache-2.0
// Two threads, one at each end of a link, send each other numbered messages of random length; what a message holds
// follows from its number, so the receiver knows every byte of it.
#include <poll.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <cstdio>
#include <thread>

#include "transport/link/fault.hpp"
#include "transport/link/memory.hpp"
#include "transport/link/messenger.hpp"

namespace {

using namespace xnic::transport;
using xnic::base::Bytes;

struct Message {
  explicit Message(uint64_t number) {
    xnic::base::Rng rng(number);
    size = static_cast<uint32_t>(8 + (rng.chance(1, 16) ? rng.below(1000) : rng.below(64)));
    fill = static_cast<uint8_t>(rng.next());
  }
  uint32_t size;
  uint8_t fill;
};

struct Side {
  std::unique_ptr<link::Messenger> messenger;
  uint64_t sent = 0, received = 0, sleeps = 0;
  const char* wrong = nullptr;
};

std::atomic<bool> failed{false};

void send_some(Side& side, uint64_t messages) {
  for (int i = 0; i < 64 && side.sent < messages; ++i) {
    const Message next(side.sent);
    if (side.messenger->room(next.size, next.size) < next.size) return;
    uint8_t* body = side.messenger->body();
    std::memset(body, next.fill, next.size);
    xnic::base::store(body, side.sent);
    side.messenger->put(message::Type::kData, 1, next.size);
    ++side.sent;
  }
}

bool check(Side& side, Bytes body) {
  const Message expected(side.received);
  if (body.size() < 8 || xnic::base::load<uint64_t>(body.data()) != side.received)
    side.wrong = "a message is lost, doubled or out of order";
  else if (body.size() != expected.size)
    side.wrong = "a message has another length";
  for (const uint8_t byte : body.subspan(side.wrong == nullptr ? 8 : body.size()))
    if (byte != expected.fill) side.wrong = "a message is damaged";
  ++side.received;
  return side.wrong == nullptr;
}

void run(Side& side, uint64_t messages) {
  int idle = 0;
  while ((side.received < messages || side.sent < messages || !side.messenger->idle()) && !failed) {
    const uint64_t sent_before = side.sent;
    send_some(side, messages);
    side.messenger->flush();
    const uint32_t taken =
        side.messenger->poll([&](const message::MessageHeader&, Bytes body) { return check(side, body); });
    side.messenger->release();
    if (side.wrong == nullptr && side.messenger->down()) side.wrong = "the link is down";
    if (side.wrong != nullptr) failed = true;
    idle = taken == 0 && side.sent == sent_before ? idle + 1 : 0;
    if (idle < 2000 || !side.messenger->prepare_sleep()) continue;
    // The other side may have ended, having nothing more to say: so never for long.
    ++side.sleeps;
    pollfd bell{side.messenger->wait_fd(), POLLIN, 0};
    (void)poll(&bell, 1, 2);
    side.messenger->woken();
    idle = 0;
  }
  // The other side may still wait for an acknowledgement.
  for (int i = 0; i < 200'000 && !failed; ++i) {
    side.messenger->poll([&](const message::MessageHeader&, Bytes) {
      side.wrong = "a message too many";
      failed = true;
      return false;
    });
    side.messenger->release();
  }
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"link_campaign: messages by the million, none lost, doubled or out of order"};
  uint64_t messages = 1'000'000;
  link::FaultOptions faults;
  link::MemoryGeometry geometry{.entries = 256, .frame_bytes = 4096};
  app.add_option("--messages", messages, "messages each way")->capture_default_str();
  app.add_option("--drop", faults.drop, "frames of 10,000 that are lost");
  app.add_option("--duplicate", faults.duplicate, "doubled");
  app.add_option("--reorder", faults.reorder, "overtaken by the next");
  app.add_option("--corrupt", faults.corrupt, "with a bit changed");
  app.add_option("--stall", faults.stall, "after which the sender finds no room for a while");
  app.add_option("--window", faults.window, "frames under way, behind faults")->check(CLI::Range(1, 4096));
  app.add_option("--frames", geometry.entries, "frames of the link; a power of two");
  app.add_option("--seed", faults.seed, "of the faults");
  CLI11_PARSE(app, argc, argv);

  auto made = link::MemoryLink::make(geometry);
  if (!made) return std::fprintf(stderr, "link_campaign: %s\n", made.error().message().c_str()), 3;
  auto mapped = link::MemoryLink::map(made->memfd, std::move(made->bell));
  if (!mapped) return std::fprintf(stderr, "link_campaign: %s\n", mapped.error().message().c_str()), 3;
  const bool faulty = (faults.drop | faults.duplicate | faults.reorder | faults.corrupt | faults.stall) != 0;
  const xnic::base::SystemClock clock;
  Side sides[2];
  std::unique_ptr<link::Link> links[2] = {std::move(made->link), std::move(*mapped)};
  for (int i = 0; i < 2; ++i) {
    if (faulty) links[i] = std::make_unique<link::FaultLink>(std::move(links[i]), faults);
    sides[i].messenger = std::make_unique<link::Messenger>(std::move(links[i]), 1, clock);
    ++faults.seed;
  }
  const uint64_t start_ns = clock.monotonic_ns();
  std::thread other([&] { run(sides[1], messages); });
  run(sides[0], messages);
  other.join();
  const double seconds = static_cast<double>(clock.monotonic_ns() - start_ns) / 1e9;
  for (const Side& side : sides) {
    const link::MessengerCounters& counters = side.messenger->counters();
    std::printf("%llu messages sent, %llu received, %llu frames (%llu sent again, %llu dropped), %llu sleeps\n",
                static_cast<unsigned long long>(side.sent), static_cast<unsigned long long>(side.received),
                static_cast<unsigned long long>(counters.frames_sent),
                static_cast<unsigned long long>(counters.frames_resent),
                static_cast<unsigned long long>(counters.frames_dropped), static_cast<unsigned long long>(side.sleeps));
    if (side.wrong != nullptr) std::printf("WRONG: %s\n", side.wrong);
  }
  std::printf("%.1f s, %.2f million messages a second both ways\n", seconds,
              static_cast<double>(2 * messages) / seconds / 1e6);
  return failed ? 1 : 0;
}
