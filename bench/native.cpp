// SPDX-License-Identifier: Apache-2.0
// Native code beside its peers. usage: bench_native CASES_DIR PROGRAMS_DIR OUT.json
//
// Programs: one packet, 64 bytes where the case allows, on native code and in the live kernel's JIT, with the same
// maps. Where the frame is what it was after one or two runs, the kernel loops over it (BPF_PROG_TEST_RUN with a repeat
// that takes about kWindowNs), which keeps its caches and predictors as warm as ours; else it runs packets one at a
// time. In both ways the same with the program `pass` is taken off, which is the kernel's own time. Nothing is taken
// off ours: the loop, counters and verdicts of the engine are in the figure.
//
// Micro-programs: the same C compiled for the host by clang -O2, called in a loop over the same packets, with a map of
// ours. Loading: from the object's file to a card's port, in time on the processor.
#include "exec/native/native.hpp"

#include <time.h>
#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>

#include "device/native_images.hpp"
#include "exec/kernel/kernel.hpp"
#include "exec/kernel/objects.hpp"
#include "native_dpdk.hpp"
#include "nic/datapath/card.hpp"
#include "nic/port/memory.hpp"
#include "program_case.hpp"
#include "report.hpp"

namespace fs = std::filesystem;
using nlohmann::ordered_json;
using xnic::base::ErrorKind;
using xnic::base::make_error;
using xnic::base::Result;

// The micro-programs for the host (bench/micro).
struct MicroContext {
  unsigned char* data;
  unsigned char* data_end;
};
extern "C" int parse_drop(MicroContext* context);
extern "C" int parse_count(MicroContext* context);
extern "C" int checksum(MicroContext* context);
static xnic::exec::maps::Map* micro_map;
extern "C" void* micro_lookup(const void* key) { return micro_map->lookup(key, 0); }

namespace xnic::bench {
namespace {

constexpr int kBatchPackets = 64;
constexpr int kRounds = 21;  // ours and the kernel in turn
constexpr int kWarmUp = 20;
constexpr int kSamples = 101;       // of ours in a round
constexpr int kBatchesAtOnce = 16;  // between two looks at the clock, which cost as much as many packets
constexpr int kLoads = 5;
constexpr size_t kFrameBytes = 64;
constexpr double kNoiseNs = 2;  // kernel times below this, less its loop, are noise
const base::SystemClock kClock;

double now_ns() { return static_cast<double>(kClock.monotonic_ns()); }
double thread_ns() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e9 + static_cast<double>(now.tv_nsec);
}

// A program on the card with its packet.
struct Subject {
  std::string name;
  device::Object object;
  exec::packet::Packet packet;
  std::shared_ptr<const exec::LoadedProgram> program() const { return object.programs().at(0).loaded; }
};

class NativeSide {
 public:
  explicit NativeSide(const exec::packet::Packet& packet)
      : first_(packet), frame_(packet.bytes()), packets_(kBatchPackets), verdicts_(kBatchPackets) {}
  Result<void> load(std::shared_ptr<const exec::LoadedProgram> program) { return engine_.load(std::move(program)); }

  void lay_out() {
    for (auto& packet : packets_) {
      packet.assign(frame_);
      packet.ingress_ifindex = first_.ingress_ifindex;
      packet.rx_queue = first_.rx_queue;
    }
  }
  // Nanoseconds of this many runs over the packets.
  Result<double> batches(int count) {
    const exec::RunContext context{.clock = &kClock, .random_state = &random_state_, .count_time = false};
    const double start = now_ns();
    for (int i = 0; i < count; ++i) XNIC_TRY(engine_.run(packets_, verdicts_, context));
    return now_ns() - start;
  }
  // Whether one or two runs leave the frame as it was, with the same verdict: then a loop over it measures one path.
  Result<bool> repeats() {
    lay_out();
    XNIC_TRY(batches(1));
    const uint32_t code = verdicts_[0].code;
    bool same = packets_[0].bytes() == frame_;
    for (int run = 0; run < 2; ++run) {
      XNIC_TRY(batches(1));
      if (verdicts_[0].code != code) return false;
      same |= packets_[0].bytes() == frame_;
    }
    return same;
  }
  // Adds samples. They are short, so few are hit by what else the machine does, and the median is of those that are
  // not.
  Result<void> sample(bool loop, std::vector<double>& samples) {
    const int at_once = loop ? kBatchesAtOnce : 1;
    lay_out();
    for (int i = 0; i < kWarmUp + kSamples; ++i) {
      if (!loop) lay_out();
      XNIC_ASSIGN(const double one, batches(at_once));
      if (i >= kWarmUp) samples.push_back(one / (at_once * double{kBatchPackets}));
    }
    return {};
  }
  uint32_t verdict() const { return verdicts_[0].code; }

 private:
  const exec::packet::Packet& first_;
  std::vector<uint8_t> frame_;
  std::vector<exec::packet::Packet> packets_;
  std::vector<exec::Verdict> verdicts_;
  exec::native::Native engine_;
  uint64_t random_state_ = 1;
};

// The live kernel's JIT with one program.
class KernelSide {
 public:
  explicit KernelSide(const exec::packet::Packet& packet) : packet_(packet), frame_(packet.bytes()) {}
  Result<void> load(const std::shared_ptr<const exec::LoadedProgram>& program) {
    XNIC_ASSIGN(fd_, objects_.program(program));
    return objects_.push();
  }
  // This thread's time on the processor for one call with this repeat: without the wait for an RCU period at its end,
  // and without what others do meanwhile.
  Result<double> call(uint32_t repeat) {
    xdp_md context{};
    context.data_end = static_cast<uint32_t>(frame_.size());
    context.ingress_ifindex = packet_.ingress_ifindex;
    context.rx_queue_index = packet_.rx_queue;
    union bpf_attr attr{};
    attr.test.prog_fd = static_cast<uint32_t>(fd_);
    attr.test.data_in = reinterpret_cast<uint64_t>(frame_.data());
    attr.test.data_size_in = static_cast<uint32_t>(frame_.size());
    attr.test.ctx_in = reinterpret_cast<uint64_t>(&context);
    attr.test.ctx_size_in = sizeof context;
    attr.test.repeat = repeat;
    const double start = thread_ns();
    if (const long error = exec::kernel::bpf_call(BPF_PROG_TEST_RUN, attr); error < 0)
      return exec::kernel::kernel_error("kernel", "the test run failed", error);
    verdict_ = attr.test.retval;
    duration_ns_ = attr.test.duration;
    return thread_ns() - start;
  }
  // Adds the time of one packet, of many in a row.
  Result<void> looped(std::vector<double>& samples) {
    constexpr uint32_t kRepeat = 100'000;
    XNIC_ASSIGN(const double spent, call(kRepeat));
    samples.push_back(spent / kRepeat);
    return {};
  }
  // Adds the time of single packets, as the kernel says it.
  Result<void> single(std::vector<double>& samples) {
    for (size_t i = 0; i < kBatchPackets; ++i) {
      XNIC_TRY(call(1));
      samples.push_back(duration_ns_);
    }
    return {};
  }
  uint32_t verdict() const { return verdict_; }

 private:
  const exec::packet::Packet& packet_;
  std::vector<uint8_t> frame_;
  exec::kernel::Objects objects_;
  int fd_ = -1;
  uint32_t verdict_ = 0;
  double duration_ns_ = 0;
};

struct Pair {
  double native_ns;
  double native_loop_ns;            // of native_ns what the program `pass` takes
  std::optional<double> kernel_ns;  // nothing: noise, or no root
  bool loop;
};

class Bench {
 public:
  Bench(fs::path cases, fs::path programs)
      : cases_(std::move(cases)),
        programs_(std::move(programs)),
        state_(machine_state()),
        report_({{"what", 34},
                 {"value", 9, 2},
                 {"unit", 4},
                 {"peer", 18},
                 {"peer_value", 9, 2},
                 {"ratio", 6, 2, "x"},
                 {"program_ratio", 6, 2, "x"},
                 {"reach", 6, 2},
                 {"holds", 5},
                 {"method", 6},
                 {"note", 20}}) {}
  Result<void> run();
  const Report& report() const { return report_; }

 private:
  Result<Subject> ours(const std::string& name);
  Result<Pair> measure(const Subject& subject);
  Result<void> programs();
  Result<void> installed();
  Result<void> add_micro(const std::string& name, int (*function)(MicroContext*), const Subject& udp);
  Result<void> micro();
  Result<void> loading();
  struct Ratios {
    std::vector<double> whole, alone;
  };
  void add_ratio(const std::string& what, const Pair& pair, Ratios& ratios);
  // `holds`: nothing when there is no figure to judge.
  void add(ordered_json row, std::optional<double> ratio, double reach, std::optional<bool> holds) {
    if (ratio) row["ratio"] = *ratio;
    row["reach"] = reach;
    row["holds"] = holds ? ordered_json(*holds) : ordered_json();
    row["state"] = state_;
    report_.add(std::move(row));
  }
  void geometric_mean(const std::string& what, const Ratios& ratios);

  fs::path cases_, programs_;
  std::string state_;
  Report report_;
  device::Device device_;
  const bool root_ = geteuid() == 0;
  Ratios all_ratios_;
};

Result<Subject> Bench::ours(const std::string& name) {
  XNIC_ASSIGN(const ordered_json test, main_case(cases_, name));
  XNIC_ASSIGN(auto object, tests::load_case(device_, programs_ / (name + ".bpf.o"), test));
  return Subject{name, std::move(object), tests::packet_of(test, kFrameBytes)};
}

Result<Pair> Bench::measure(const Subject& subject) {
  NativeSide native(subject.packet);
  XNIC_TRY(native.load(subject.program()));
  Pair pair{};
  XNIC_ASSIGN(pair.loop, native.repeats());
  XNIC_ASSIGN(const Subject empty, ours("pass"));
  NativeSide loop(empty.packet);
  XNIC_TRY(loop.load(empty.program()));
  std::vector<double> ours, our_loop, theirs, their_loop;
  std::optional<KernelSide> kernel, harness;
  if (root_) {
    kernel.emplace(subject.packet);
    XNIC_TRY(kernel->load(subject.program()));
    harness.emplace(empty.packet);
    XNIC_TRY(harness->load(empty.program()));
  }
  const auto add_kernel = [&](KernelSide& side, std::vector<double>& samples) {
    return pair.loop ? side.looped(samples) : side.single(samples);
  };
  for (int round = 0; round < kRounds; ++round) {
    XNIC_TRY(native.sample(pair.loop, ours));
    XNIC_TRY(loop.sample(pair.loop, our_loop));
    if (!root_) continue;
    XNIC_TRY(add_kernel(*kernel, theirs));
    XNIC_TRY(add_kernel(*harness, their_loop));
  }
  pair.native_ns = median(ours);
  pair.native_loop_ns = median(our_loop);
  if (!root_) return pair;
  pair.kernel_ns = median(theirs) - median(their_loop);
  if (kernel->verdict() != native.verdict())
    return make_error(ErrorKind::kBadInput, subject.name, "native code says {}, the kernel {}", native.verdict(),
                      kernel->verdict());
  if (*pair.kernel_ns < kNoiseNs) pair.kernel_ns.reset();
  return pair;
}

void Bench::add_ratio(const std::string& what, const Pair& pair, Ratios& ratios) {
  constexpr double kReach = 0.9;
  ordered_json row = {{"what", what}, {"value", pair.native_ns}, {"unit", "ns"}, {"peer", "kernel JIT"}};
  row["method"] = pair.loop ? "loop" : "single";
  std::optional<double> ratio;
  if (pair.kernel_ns) {
    row["peer_value"] = *pair.kernel_ns;
    ratio = *pair.kernel_ns / pair.native_ns;
    ratios.whole.push_back(*ratio);
    // Ours may vanish in the loop; then it counts as a tenth of a nanosecond.
    const double alone = *pair.kernel_ns / std::max(0.1, pair.native_ns - pair.native_loop_ns);
    row["program_ratio"] = alone;
    ratios.alone.push_back(alone);
  }
  add(std::move(row), ratio, kReach, ratio ? std::optional(*ratio >= kReach) : std::nullopt);
}

void Bench::geometric_mean(const std::string& what, const Ratios& ratios) {
  constexpr double kReach = 1.3;
  if (ratios.whole.empty()) return;
  const auto mean = [](const std::vector<double>& list) {
    double sum = 0;
    for (const double ratio : list) sum += std::log(ratio);
    return std::exp(sum / static_cast<double>(list.size()));
  };
  ordered_json row = {{"what", fmt::format("geometric mean, {} {}", ratios.whole.size(), what)},
                      {"unit", ""},
                      {"peer", "kernel JIT"},
                      {"program_ratio", mean(ratios.alone)}};
  const double whole = mean(ratios.whole);
  add(std::move(row), whole, kReach, whole >= kReach);
}

Result<void> Bench::programs() {
  Ratios ratios;
  for (const std::string& name : programs_in(programs_)) {
    XNIC_ASSIGN(const Subject subject, ours(name));
    XNIC_ASSIGN(const Pair pair, measure(subject));
    add_ratio(name, pair, ratios);
  }
  geometric_mean("of programs/", ratios);
  all_ratios_ = ratios;
  return {};
}

// Debian's XDP objects on a UDP packet of 64 bytes, with empty maps. What the kernel does not run alone is left out.
Result<void> Bench::installed() {
  const fs::path folder = "/usr/lib/x86_64-linux-gnu/bpf";
  if (!root_ || !fs::is_directory(folder)) return {};
  XNIC_ASSIGN(const Subject udp, ours("xdp2"));
  Ratios ratios;
  std::vector<fs::path> paths;
  for (const auto& entry : fs::directory_iterator(folder)) paths.push_back(entry.path());
  std::sort(paths.begin(), paths.end());
  for (const fs::path& path : paths) {
    device::LoadOptions options;
    options.complete_maps = true;
    const auto reports = device::Object::check(device_, path.string(), options);
    if (!reports) continue;
    for (const auto& report : *reports) {
      options.program = report.name;
      auto object = device::Object::load(device_, path.string(), options);
      if (!object) continue;
      Subject subject{report.name, std::move(*object), exec::packet::Packet()};
      subject.packet.assign(udp.packet.bytes());
      const auto pair = measure(subject);
      if (!pair) {
        fmt::print("{}: left out: {}\n", report.name, pair.error().message());
        continue;
      }
      add_ratio(path.stem().string() + " " + report.name, *pair, ratios);
    }
  }
  geometric_mean("of Debian", ratios);
  all_ratios_.whole.insert(all_ratios_.whole.end(), ratios.whole.begin(), ratios.whole.end());
  all_ratios_.alone.insert(all_ratios_.alone.end(), ratios.alone.begin(), ratios.alone.end());
  return {};
}

// A peer's machine code over the packets, as the engine's loop does it. `call` runs one packet.
template <class Call>
class CodeSide {
 public:
  CodeSide(const exec::packet::Packet& packet, Call call)
      : call_(std::move(call)), packets_(kBatchPackets), verdicts_(kBatchPackets) {
    const std::vector<uint8_t> frame = packet.bytes();
    for (auto& one : packets_) one.assign(frame);
  }
  void sample(std::vector<double>& samples) {
    for (int i = 0; i < kWarmUp + kSamples; ++i) {
      const double start = now_ns();
      for (int batch = 0; batch < kBatchesAtOnce; ++batch)
        for (size_t at = 0; at < kBatchPackets; ++at) verdicts_[at].code = static_cast<uint32_t>(call_(packets_[at]));
      if (i >= kWarmUp) samples.push_back((now_ns() - start) / (kBatchesAtOnce * double{kBatchPackets}));
    }
  }
  uint32_t verdict() const { return verdicts_[0].code; }

 private:
  Call call_;
  std::vector<exec::packet::Packet> packets_;
  std::vector<exec::Verdict> verdicts_;
};

// The map of a micro-program with the packet's flow in it, for our side and for the peers.
void enter_flow(const Subject& subject) {
  const auto* flows = subject.object.find_map("flows");
  if (flows == nullptr) return;
  micro_map = flows->map.get();
  const uint8_t* ip = subject.packet.data + 14;
  uint8_t key[16] = {};
  std::copy(ip + 12, ip + 24, key);
  key[12] = ip[9];
  const uint64_t zero = 0;
  micro_map->host_update(key, &zero, 0);
}

Result<void> Bench::add_micro(const std::string& name, int (*function)(MicroContext*), const Subject& udp) {
  const std::string stem = (programs_.parent_path() / "bench" / name).string();
  XNIC_ASSIGN(auto object, device::Object::load(device_, stem + ".o"));
  Subject subject{name, std::move(object), exec::packet::Packet()};
  subject.packet.assign(udp.packet.bytes());
  enter_flow(subject);
  NativeSide native(subject.packet);
  XNIC_TRY(native.load(subject.program()));
  CodeSide host(subject.packet, [function = function](const exec::packet::Packet& one) {
    MicroContext context{one.data, one.data_end};
    return function(&context);
  });
  const auto jitted = dpdk_function(stem + "_flat.o", [](uint64_t key, uint64_t, uint64_t, uint64_t, uint64_t) {
    return reinterpret_cast<uint64_t>(micro_lookup(reinterpret_cast<const void*>(key)));
  });
  CodeSide dpdk(subject.packet,
                [function = jitted.value_or(nullptr)](const exec::packet::Packet& one) { return function(one.data); });
  std::vector<double> ours, limit, theirs;
  for (int round = 0; round < kRounds; ++round) {
    XNIC_TRY(native.sample(true, ours));
    host.sample(limit);
    if (jitted) dpdk.sample(theirs);
  }
  if (host.verdict() != native.verdict() || (jitted && dpdk.verdict() != native.verdict()))
    return make_error(ErrorKind::kBadInput, name, "the peers' verdicts differ");
  const auto row = [&](const char* peer, std::optional<double> value) {
    ordered_json json = {
        {"what", "micro " + name}, {"value", median(ours)}, {"unit", "ns"}, {"peer", peer}, {"method", "loop"}};
    if (value) json["peer_value"] = *value;
    return json;
  };
  constexpr double kLimitReach = 1.25, kDpdkReach = 1;
  const double to_limit = median(ours) / median(limit);
  add(row("C, clang -O2", median(limit)), to_limit, kLimitReach, to_limit <= kLimitReach);
  if (!jitted) {
    ordered_json missing = row("DPDK librte_bpf", std::nullopt);
    missing["note"] = jitted.error().message();
    add(std::move(missing), std::nullopt, kDpdkReach, std::nullopt);
  } else {
    const double ratio = median(theirs) / median(ours);
    add(row("DPDK librte_bpf", median(theirs)), ratio, kDpdkReach, ratio >= kDpdkReach);
  }
  XNIC_ASSIGN(const Pair pair, measure(subject));
  Ratios ignored;
  add_ratio("micro " + name, pair, ignored);
  return {};
}

Result<void> Bench::micro() {
  const std::pair<const char*, int (*)(MicroContext*)> kMicro[] = {
      {"parse_drop", parse_drop}, {"parse_count", parse_count}, {"checksum", checksum}};
  XNIC_ASSIGN(const Subject udp, ours("xdp2"));
  for (const auto& [name, function] : kMicro) XNIC_TRY(add_micro(name, function, udp));
  return {};
}

// A program of about 1,000 instructions, from its object's file to a running card's port: libbpf, maps, verifier, and
// the compiler or its cache.
Result<void> Bench::loading() {
  constexpr uint32_t kPort = 2;
  const std::string cache = std::getenv("XNIC_CACHE");
  XNIC_ASSIGN(const auto card, nic::datapath::Card::create(device_, {}));
  nic::port::Info info;
  info.name = "port";
  info.ifindex = kPort;
  nic::port::MemoryOptions memory;
  memory.path = cache + ".socket";
  XNIC_ASSIGN(auto port, nic::port::open_memory(info, memory));
  XNIC_TRY(card->add_port(std::move(port)));
  card->start();
  size_t insns = 0;
  const auto milliseconds = [&](std::vector<double>& samples) -> Result<void> {
    const double start = thread_ns();
    XNIC_ASSIGN(const auto object, device::Object::load(device_, programs_ / "katran_lb.bpf.o"));
    union bpf_attr attr{};
    attr.link_create.prog_fd = static_cast<uint32_t>(object.programs().at(0).fd);
    attr.link_create.target_ifindex = kPort;
    attr.link_create.attach_type = BPF_XDP;
    const long link = device_.bpf(BPF_LINK_CREATE, &attr, sizeof attr);
    samples.push_back((thread_ns() - start) / 1e6);
    if (link < 0) return make_error(ErrorKind::kIo, "attach", "{}", std::strerror(static_cast<int>(-link)));
    close(static_cast<int>(link));
    insns = object.programs().at(0).loaded->program->insns.size();
    return {};
  };
  std::vector<double> cold, warm;
  for (int i = 0; i < kLoads; ++i) {
    fs::remove_all(cache);
    fs::create_directory(cache);
    fs::permissions(cache, fs::perms::owner_all);
    XNIC_TRY(milliseconds(cold));
    XNIC_TRY(milliseconds(warm));
  }
  const auto row = [&](const char* how, const std::vector<double>& samples, double reach) {
    ordered_json json = {
        {"what", fmt::format("load and attach {} insns, {}", insns, how)}, {"value", median(samples)}, {"unit", "ms"}};
    add(std::move(json), std::nullopt, reach, median(samples) <= reach);
  };
  row("cold", cold, 300);
  row("cached", warm, 5);
  return {};
}

Result<void> Bench::run() {
  device::install_device(&device_);
  report_.print_head();
  XNIC_TRY(programs());
  XNIC_TRY(installed());
  geometric_mean("of both", all_ratios_);
  XNIC_TRY(micro());
  XNIC_TRY(loading());
  fmt::print("{}\n", state_);
  return {};
}

}  // namespace
}  // namespace xnic::bench

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "usage: bench_native CASES_DIR PROGRAMS_DIR OUT.json\n");
    return 2;
  }
  const std::string cache = (fs::temp_directory_path() / fmt::format("xnic-bench-native-{}", getpid())).string();
  setenv("XNIC_CACHE", cache.c_str(), 1);
  xnic::device::install_native();
  xnic::bench::pin_to_cpu(0);
  xnic::bench::Bench bench(argv[1], argv[2]);
  auto done = bench.run();
  if (done) done = bench.report().write(argv[3]);
  fs::remove_all(cache);
  if (done) return 0;
  std::fprintf(stderr, "bench_native: %s\n", done.error().message().c_str());
  return 1;
}
