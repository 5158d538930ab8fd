// SPDX-License-Identifier: Apache-2.0
// One job: frames are read in batches, every session gets its own copy of each, runs it, and the results are compared
// while the batch is in the cache. Each engine has an object of its own, so that the maps of one never see the packets
// of another.
#include "xnic/job.hpp"

#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "base/file.hpp"
#include "device/map_json.hpp"

namespace xnic::tools {

using base::ErrorKind;
using base::make_error;
using base::Result;
using nlohmann::ordered_json;

namespace {

constexpr size_t kBatchPackets = 64;

// "loaded.o" has several programs: the user says which.
Result<const device::ObjectProgram*> choose_program(const device::Object& object, const std::string& path,
                                                    const std::string& wanted) {
  std::string names;
  for (const device::ObjectProgram& program : object.programs()) {
    if (!wanted.empty() && (program.name == wanted || program.section == wanted)) return &program;
    names += (names.empty() ? "" : ", ") + program.name;
  }
  if (!wanted.empty()) return make_error(ErrorKind::kBadInput, path, "has no program '{}'; it has {}", wanted, names);
  if (object.programs().size() != 1) {
    return make_error(ErrorKind::kBadInput, path, "has {} programs ({}): choose one with --program",
                      object.programs().size(), names);
  }
  return &object.programs().front();
}

struct MapFile {
  std::string map;
  std::string path;
  ordered_json json;
};

// --map NAME=FILE.json
Result<std::vector<MapFile>> read_map_files(const std::vector<std::string>& assignments) {
  std::vector<MapFile> files;
  for (const std::string& assignment : assignments) {
    const size_t equals = assignment.find('=');
    if (equals == std::string::npos)
      return make_error(ErrorKind::kBadInput, "--map " + assignment, "needs NAME=FILE.json");
    MapFile file{assignment.substr(0, equals), assignment.substr(equals + 1), {}};
    XNIC_ASSIGN(const auto text, base::read_file(file.path));
    file.json = ordered_json::parse(text, nullptr, false);
    if (file.json.is_discarded()) return make_error(ErrorKind::kBadInput, file.path, "is not valid JSON");
    files.push_back(std::move(file));
  }
  return files;
}

bool is_global_data(const std::string& map) { return map.starts_with('.'); }

Result<void> set_global_data(const device::GlobalData& data, const std::vector<MapFile>& files) {
  for (const MapFile& file : files) {
    if (file.map == data.name) XNIC_TRY(device::fill_global_data(data, file.json, file.path));
  }
  return {};
}

Result<void> fill_maps(const device::Object& object, const std::vector<MapFile>& files) {
  for (const MapFile& file : files) {
    const device::ObjectMap* map = object.find_map(file.map);
    if (map == nullptr) {
      std::string names;
      for (const device::ObjectMap& other : object.maps()) names += (names.empty() ? "" : ", ") + other.name;
      return make_error(ErrorKind::kBadInput, file.path, "the object has no map '{}'; it has {}", file.map,
                        names.empty() ? "none" : names);
    }
    if (!is_global_data(file.map)) XNIC_TRY(device::fill_map(*map, file.json, file.path));
  }
  return {};
}

// Reads a capture `repeat` times; the second time from memory, so that standard input and slow disks repeat as well.
class FrameSource {
 public:
  static Result<FrameSource> open(const std::string& path, uint64_t repeat, uint64_t limit) {
    XNIC_ASSIGN(auto reader, nic::port::PcapReader::open(path));
    return FrameSource(std::move(reader), repeat, limit);
  }
  // The next frame, or nothing at the end of the last round.
  Result<std::optional<nic::port::Frame>> next() {
    if (round_ == 0 && (limit_ == 0 || in_round_ < limit_)) {
      XNIC_ASSIGN(std::optional<nic::port::Frame> frame, reader_.next());
      if (frame) {
        ++in_round_;
        if (repeat_ > 1)
          kept_.push_back({{frame->bytes.begin(), frame->bytes.end()}, frame->wire_bytes, frame->timestamp_ns});
        return frame;
      }
    }
    if (round_ == 0 || in_round_ == kept_.size()) {
      ++round_;
      in_round_ = 0;
      if (round_ >= repeat_ || kept_.empty()) return std::nullopt;
    }
    const Kept& kept = kept_[in_round_++];
    return nic::port::Frame{kept.bytes, kept.wire_bytes, kept.timestamp_ns};
  }

 private:
  struct Kept {
    std::vector<uint8_t> bytes;
    uint32_t wire_bytes;
    uint64_t timestamp_ns;
  };
  FrameSource(nic::port::PcapReader reader, uint64_t repeat, uint64_t limit)
      : reader_(std::move(reader)), repeat_(repeat), limit_(limit) {}
  nic::port::PcapReader reader_;
  uint64_t repeat_;
  uint64_t limit_;
  uint64_t round_ = 0;
  uint64_t in_round_ = 0;
  std::vector<Kept> kept_;
};

// A line on standard error that is rewritten ten times a second; only on a terminal.
class Progress {
 public:
  Progress(std::string what, bool wanted) : what_(std::move(what)), on_(wanted && isatty(STDERR_FILENO) != 0) {}
  ~Progress() {
    if (shown_) std::fprintf(stderr, "\r\033[K");
  }
  void update(uint64_t packets) {
    if (!on_) return;
    const auto now = std::chrono::steady_clock::now();
    if (now - last_ < std::chrono::milliseconds(100)) return;
    last_ = now;
    shown_ = true;
    const double seconds = std::chrono::duration<double>(now - start_).count();
    std::fprintf(stderr, "\r\033[K%s: %lu packets, %.0f per second", what_.c_str(), packets,
                 static_cast<double>(packets) / seconds);
  }

 private:
  std::string what_;
  bool on_;
  bool shown_ = false;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  std::chrono::steady_clock::time_point last_ = start_;
};

std::string describe(const exec::Redirect& redirect) {
  switch (redirect.kind) {
    case exec::RedirectKind::kNone:
      return "";
    case exec::RedirectKind::kInterface:
      return fmt::format("to interface {}", redirect.target);
    case exec::RedirectKind::kDevmap:
      return fmt::format("by devmap {} to interface {}", redirect.map_id, redirect.target);
    case exec::RedirectKind::kCpumap:
      return fmt::format("by cpumap {} to CPU {}", redirect.map_id, redirect.target);
    case exec::RedirectKind::kXskmap:
      return fmt::format("by xskmap {} to socket {}", redirect.map_id, redirect.target);
  }
  return "";
}

// Runs what is in the first `count` packets of every session, and compares and writes the results.
Result<void> run_batch(std::vector<Session>& sessions, size_t reference, size_t count, uint64_t first_packet,
                       std::optional<nic::port::PcapngWriter>& output, const std::vector<std::string>& names,
                       JobResult& result) {
  for (Session& session : sessions) XNIC_TRY(session.run(count));
  for (size_t i = 0; i < sessions.size() && !result.reference.empty(); ++i) {
    if (i != reference)
      compare_packets(sessions[reference], sessions[i], names[reference] + " | " + names[i], count, first_packet,
                      result);
  }
  for (size_t i = 0; i < count && output; ++i) {
    const exec::Verdict& verdict = sessions[0].verdicts[i];
    std::string comment(arch::ebpf::action_name(verdict.code));
    if (verdict.code == arch::ebpf::kXdpRedirect) comment += " " + describe(verdict.redirect);
    XNIC_TRY(output->write(sessions[0].packets[i].bytes(), sessions[0].packets[i].arrival_ns, verdict.code, comment));
  }
  return {};
}

Result<ordered_json> dump_maps(const Session& session) {
  ordered_json all = ordered_json::object();
  for (const device::ObjectMap& map : session.object().maps()) {
    XNIC_ASSIGN(all[map.name], device::dump_map(map));
  }
  return all;
}

struct Sessions {
  std::vector<Session> list;
  std::vector<std::string> names;
  size_t reference = 0;
};

Result<Sessions> open_sessions(device::Device& device, const std::string& object, const RunOptions& options) {
  Sessions sessions;
  sessions.names = options.engines;
  if (!options.compare.empty()) {
    auto at = std::find(sessions.names.begin(), sessions.names.end(), options.compare);
    if (at == sessions.names.end()) at = sessions.names.insert(at, options.compare);
    sessions.reference = static_cast<size_t>(at - sessions.names.begin());
  }
  for (const std::string& name : sessions.names) {
    XNIC_ASSIGN(Session session, Session::open(device, object, name, options));
    sessions.list.push_back(std::move(session));
  }
  return sessions;
}

// Copies the frame into every session; false when it is too short to be Ethernet.
bool place_frame(const nic::port::Frame& frame, const RunOptions& options, std::vector<Session>& sessions, size_t at,
                 JobResult& result) {
  if (frame.bytes.size() < exec::packet::kMinFrameBytes) {
    ++result.skipped_short;
    return false;
  }
  if (frame.wire_bytes > frame.bytes.size()) ++result.cut_by_capture;
  for (Session& session : sessions) {
    exec::packet::Packet& packet = session.packets[at];
    packet.assign(frame.bytes);
    packet.ingress_ifindex = options.ingress_ifindex;
    packet.rx_queue = options.rx_queue;
    packet.arrival_ns = frame.timestamp_ns;
  }
  return true;
}

}  // namespace

Session::Session(device::Object object, std::unique_ptr<exec::Engine> engine)
    : packets(kBatchPackets),
      verdicts(kBatchPackets),
      object_(std::move(object)),
      engine_(std::move(engine)),
      clock_(std::make_unique<base::SystemClock>()) {}

Result<Session> Session::open(device::Device& device, const std::string& object_path, const std::string& engine_name,
                              const RunOptions& options) {
  auto engine = exec::make_engine(engine_name);
  if (engine == nullptr) {
    std::string names;
    for (std::string_view name : exec::engine_names()) names += (names.empty() ? "" : ", ") + std::string(name);
    return make_error(ErrorKind::kBadInput, "--engine " + engine_name, "no such engine; there are {}", names);
  }
  XNIC_ASSIGN(const std::vector<MapFile> files, read_map_files(options.maps));
  device::LoadOptions load_options;
  load_options.program = options.program_name;
  load_options.set_global_data = [&](const device::GlobalData& data) { return set_global_data(data, files); };
  XNIC_ASSIGN(auto object, device::Object::load(device, object_path, load_options));
  XNIC_ASSIGN(const device::ObjectProgram* program, choose_program(object, object_path, options.program_name));
  XNIC_TRY(fill_maps(object, files));
  XNIC_TRY(engine->load(program->loaded));
  XNIC_TRY(engine->push_maps());
  const std::string name = program->name;
  Session session(std::move(object), std::move(engine));
  session.program_name_ = name;
  return session;
}

Result<void> Session::run(size_t count) {
  const exec::RunContext context{.clock = clock_.get(), .random_state = &random_state_};
  return engine_->run(std::span(packets).first(count), std::span(verdicts).first(count), context);
}

Result<JobResult> run_job(device::Device& device, const std::string& object, const std::string& trace,
                          const RunOptions& options, std::optional<nic::port::PcapngWriter>& output,
                          ordered_json* map_dump, const std::function<void(Session&)>& inspect) {
  XNIC_ASSIGN(FrameSource source, FrameSource::open(trace, options.repeat, options.limit));
  XNIC_ASSIGN(Sessions sessions, open_sessions(device, object, options));
  JobResult result;
  result.program = object.substr(object.rfind('/') + 1) + ":" + sessions.list[0].program_name();
  result.trace = trace.substr(trace.rfind('/') + 1);
  result.reference = options.compare;
  Progress progress(result.program + " on " + result.trace, !options.json);

  uint64_t packets = 0;
  for (bool more = true; more;) {
    size_t count = 0;
    while (count < kBatchPackets) {
      XNIC_ASSIGN(const std::optional<nic::port::Frame> frame, source.next());
      more = frame.has_value();
      if (!more) break;
      if (place_frame(*frame, options, sessions.list, count, result)) ++count;
    }
    if (count == 0) continue;
    XNIC_TRY(run_batch(sessions.list, sessions.reference, count, packets, output, sessions.names, result));
    packets += count;
    progress.update(packets);
  }
  for (Session& session : sessions.list) XNIC_TRY(session.engine().pull_maps());
  for (size_t i = 0; i < sessions.list.size(); ++i) {
    result.engines.push_back({.engine = sessions.names[i], .counters = sessions.list[i].engine().counters()});
    if (result.reference.empty() || i == sessions.reference) continue;
    XNIC_TRY(compare_maps(sessions.list[sessions.reference], sessions.list[i],
                          sessions.names[sessions.reference] + " | " + sessions.names[i], result));
  }
  for (Session& session : sessions.list) {
    if (inspect) inspect(session);
  }
  if (map_dump != nullptr) {
    XNIC_ASSIGN(*map_dump, dump_maps(sessions.list[0]));
  }
  return result;
}

}  // namespace xnic::tools
