// SPDX-License-Identifier: Apache-2.0
// The running card of a daemon: opens the ports that the configuration or a request names, loads programs and attaches
// them by links through the card's bpf(2) door, and answers requests.
//
// Threads: every public function may be called by any thread; one works at a time. Packets are never waited for, except
// by stop().
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "device/object.hpp"
#include "nic/control/config.hpp"
#include "nic/control/server.hpp"
#include "nic/datapath/card.hpp"
#include "nic/door/netlink.hpp"

namespace xnic::nic::control {

enum class Level { kDebug, kInfo, kWarning, kError };
using Log = std::function<void(Level, const std::string&)>;

// A loaded object. Ports that have programs of the same one share its maps.
struct LoadedObject {
  std::string file;  // as it was named
  device::Object object;
};

struct Counts {
  uint64_t received = 0, received_bytes = 0, transmitted = 0, transmitted_bytes = 0;
  uint64_t drop_no_frame = 0, drop_bad = 0, drop_too_long = 0, drop_down = 0, drop_kernel = 0;
};
// What a bad link did, both ways, over all queues.
struct FaultCounts {
  struct Direction {
    uint64_t dropped = 0, duplicated = 0, reordered = 0, corrupted = 0, delayed = 0, stalls = 0;
  };
  Direction receive, transmit;
};
struct PortStats {
  std::string name, kind;
  uint32_t ifindex = 0;
  std::string side_of;                // a host side: of this port
  std::string error;                  // why it is down; empty: it is up
  std::string file, program, engine;  // empty: no program
  Counts port;                        // what the port itself counts
  std::optional<FaultCounts> faults;  // of a port behind a bad link
  datapath::Totals datapath;
  std::vector<datapath::QueueTotals> queues;
  std::vector<datapath::WorkerEngine> engines;
};
struct Stats {
  datapath::Totals card;
  uint64_t trace_missed = 0;
  std::vector<PortStats> ports;
};

// What an attach request brings.
struct AttachOrder {
  std::vector<std::string> ports;
  std::string file;          // name of the object, for people
  std::string program_name;  // function or section; empty: the only one
  std::string engine;        // empty: as the port has it
};

class Service {
 public:
  // The card without ports. Errors: the card's.
  static base::Result<std::unique_ptr<Service>> create(const Config& config, Log log);
  ~Service();
  // Reads the objects and map files that the configuration names, and loads the objects; no thread yet. Errors: of the
  // first that fails, with its place in the configuration.
  base::Result<void> load_programs();
  // Opens the ports of the configuration and attaches their programs. Errors: of the first that fails, with its place;
  // what was opened closes with the service.
  base::Result<void> open();
  // Lets packets flow.
  void run();
  // Receives nothing more, waits a second at most for what is under way, and stops. False: packets were lost.
  bool stop();

  Reply handle(const Message& message, const Peer& peer);
  // Now and then: says in the log what changed by itself (ports that went down, packets whose program aborted).
  void tick();
  bool stop_wanted() const { return stop_wanted_; }

  Stats stats();
  // The ports as interfaces, and the card as bpf(2) sees it, for the door.
  std::vector<door::PortFacts> facts();
  device::Device& device() { return device_; }

 private:
  friend class TraceStream;
  struct Port {
    PortConfig config;
    port::Port* port = nullptr;         // the card's
    port::Port* host = nullptr;         // its host side, the card's; null: none
    port::FaultPort* faults = nullptr;  // the port, when it is behind a bad link
    std::string engine;                 // of its program
    std::shared_ptr<LoadedObject> object;
    const device::ObjectProgram* program = nullptr;  // of the object; null: none
    exec::kernel::Fd link;
    bool was_up = true;
  };
  using Json = nlohmann::ordered_json;
  using Fills = std::vector<std::pair<std::string, Json>>;  // map, list of elements
  explicit Service(const Config& config, Log log);

  // ports.cpp
  base::Result<Port*> open_port(PortConfig config);
  base::Result<std::unique_ptr<port::Port>> make_port(const PortConfig& config);
  base::Result<std::unique_ptr<port::Port>> behind_bad_link(std::unique_ptr<port::Port> port,
                                                            const port::FaultOptions& options,
                                                            port::FaultPort*& faults);
  base::Result<void> add_host(Port& port);
  base::Result<void> close_port(const std::string& name);
  base::Result<Port*> find_port(const std::string& name);
  uint32_t free_ifindex(uint32_t from = 2) const;
  base::Result<void> reserve_frames(const PortConfig& config);
  void release_frames(const PortConfig& config);

  // programs.cpp
  base::Result<void> load_file(const std::string& file, const std::vector<const PortConfig*>& users);
  base::Result<std::shared_ptr<LoadedObject>> load(base::Bytes elf, const std::string& file,
                                                   const std::string& program_name, const Fills& fills);
  base::Result<void> attach(Port& port, std::shared_ptr<LoadedObject> object, const std::string& program_name,
                            const std::string& engine);
  base::Result<void> detach(Port& port);

  // requests.cpp
  base::Result<Reply> answer(const Message& message, const Peer& peer);
  base::Result<Json> ports_request();
  base::Result<Json> add_port_request(const Json& request);
  base::Result<Json> attach_request(const Json& request, base::Bytes elf);
  base::Result<Reply> trace_request(const Json& request);

  // settings_requests.cpp
  base::Result<std::vector<datapath::Filter>> resolve(const Port& port, const std::vector<FilterRule>& rules);
  base::Result<void> apply(Port& port, PortSettings settings);
  base::Result<Json> change_port_request(const Json& request);
  base::Result<Json> filter_request(const std::string& what, const Json& request);

  // map_requests.cpp
  struct NamedMap {
    std::shared_ptr<LoadedObject> object;
    device::ObjectMap map;
    std::vector<std::string> ports;
    uint32_t id;
  };
  std::vector<NamedMap> running_maps();
  base::Result<NamedMap> find_map(const std::string& name);
  base::Result<Json> maps_request();
  base::Result<Reply> map_request(const std::string& what, const Json& request);

  const Config config_;
  const Log log_;
  base::SystemClock clock_;
  device::Device device_;
  std::unique_ptr<datapath::Card> card_;
  std::recursive_mutex mutex_;
  std::map<std::string, Port> ports_;      // by name
  std::vector<uint32_t> reserved_frames_;  // of each worker, by ports that hold frames for the kernel
  std::map<std::string, std::shared_ptr<LoadedObject>> configured_;  // by file, until open()
  const std::shared_ptr<int> tracing_ = std::make_shared<int>();     // held by the one trace that may run
  std::atomic<bool> stop_wanted_{false};
  bool started_ = false;
};

// Of a request: the member, checked. Errors: kBadInput naming the member and what it may be.
base::Result<std::string> text_member(const nlohmann::ordered_json& request, const char* key, bool needed);
base::Result<uint64_t> number_member(const nlohmann::ordered_json& request, const char* key, uint64_t otherwise,
                                     uint64_t max);
nlohmann::ordered_json stats_json(const Stats& stats);
// The trace request's filter. `ifindex` is of the port that it names, 0 for all. Errors: kBadInput.
base::Result<datapath::TraceOptions> read_trace_options(const nlohmann::ordered_json& request, uint32_t ifindex);

}  // namespace xnic::nic::control
