// SPDX-License-Identifier: Apache-2.0
// The command line of xnic: one subcommand a job. Parsing only; the jobs are in the files of their names.
#include <CLI/CLI.hpp>
#include <cstdio>

#include <fmt/ranges.h>

#include "arch/nfp/card.hpp"
#include "compile/target/nfp/passes.hpp"
#include "xnic/card.hpp"
#include "xnic/command.hpp"
#include "xnic/nfp_card.hpp"
#include "xnic/daemon.hpp"
#include "xnic/exec.hpp"
#include "xnic/offload_run.hpp"
#include "xnic/testnet.hpp"

namespace xnic::tools {

int report(const base::Error& error) {
  std::fprintf(stderr, "xnic: error: %s\n", error.message().c_str());
  switch (error.kind) {
    case base::ErrorKind::kBadInput:
      return kExitBadInput;
    case base::ErrorKind::kLimit:
    case base::ErrorKind::kUnsupported:
      return kExitUnsupported;
    case base::ErrorKind::kIo:
      return kExitIo;
  }
  return kExitBadInput;
}

namespace {

template <class Table>
std::vector<std::string> list(const Table& table) {
  std::vector<std::string> all;
  for (const auto& entry : table) all.emplace_back(entry.name);
  return all;
}
template <class Table>
std::string names(const Table& table) {
  return fmt::format("{}", fmt::join(list(table), ", "));
}

void add_run(CLI::App& app, RunOptions& options) {
  CLI::App* run = app.add_subcommand("run", "Run XDP programs over captured packets and count the verdicts");
  run->add_option("PROG.o", options.programs, "XDP objects")->required();
  run->add_option("--in", options.inputs, "Captures (pcap or pcapng, Ethernet); - is standard input")->required();
  run->add_option("--program", options.program_name, "Program in the object, by function name or section");
  run->add_option("--engine", options.engines, "Engines to run, separated by commas: interp, native, kernel, hxdp, nfp")
      ->delimiter(',')
      ->capture_default_str();
  run->add_option("--compare", options.compare, "Compare verdict, bytes and maps of every engine with this one");
  run->add_option("--out", options.output,
                  "Write the packets after the program, with their verdicts, as pcapng; - is standard output");
  run->add_option("--map", options.maps, "NAME=FILE.json: fill a map first, in bpftool's JSON form");
  run->add_flag("--dump-maps", options.dump_maps, "Print the maps at the end, in bpftool's JSON form");
  run->add_option("--ingress-ifindex", options.ingress_ifindex, "ctx->ingress_ifindex")->capture_default_str();
  run->add_option("--rx-queue", options.rx_queue, "ctx->rx_queue_index")->capture_default_str();
  run->add_option("--repeat", options.repeat, "Run each capture this many times")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  run->add_option("--limit", options.limit, "Stop after this many packets of each capture");
  run->add_option("--card", options.card, card_help());
  run->add_option("--nfp", options.nfp, nfp_help());
  run->add_option("--image", options.image, "Image file of xnic compile for the hxdp card, instead of compiling again");
  run->add_option("--rate", options.rate,
                  "Offer the packets to the hxdp card at a rate: 10Gbps (on the wire), 2.5Mpps, trace (the capture's "
                  "time stamps), max (search the highest without loss)");
  run->add_option("--trace-cycles", options.trace_cycles,
                  "Show what the hxdp card does in each cycle of this many packets");
  run->add_flag("--json", options.json, "Machine-readable output (schema: docs/run-json.md)");
  run->footer(
      "Examples:\n"
      "  xnic run build/release/programs/xdp1.bpf.o --in data/traces/5_flows_64_bytes.pcap\n"
      "  xnic run fw.o --in a.pcap --engine interp --compare kernel      (kernel needs root)\n"
      "  xnic run fw.o --in a.pcap --engine interp,hxdp --compare interp --card lanes=8 --card cores=2\n"
      "  xnic compile fw.o -o fw.hxdp && xnic run fw.o --in a.pcap --engine hxdp --image fw.hxdp\n"
      "  xnic run fw.o --in imix.pcapng --engine hxdp --rate 10Gbps --card cores=4\n"
      "  xnic run fw.o --in a.pcap --engine nfp --nfp board=cx-2x10 --nfp off=values\n"
      "  xnic gen --flows 1000 --sizes imix | xnic run fw.o --in - --out after.pcapng\n"
      "  xnic run lb.o --in a.pcap --map vips=vips.json --dump-maps");
}

void add_others(CLI::App& app, CheckOptions& check, DisasmOptions& disasm, GenOptions& gen) {
  CLI::App* command = app.add_subcommand("check", "Verify the programs of objects and say why one is rejected");
  command->add_option("PROG.o", check.objects, "XDP objects")->required();
  command->add_option("--program", check.program_name, "Program in the object, by function name or section");
  command->add_flag("--log", check.log, "Print the verifier's log of every visited instruction");
  command->add_flag("--json", check.json, "Machine-readable output");
  CLI::Option* target = command->add_option("--target", check.target, "Also: would this card take the program? nfp")
                            ->check(CLI::IsMember({"nfp"}));
  command->add_option("--board", check.board, "Board of the nfp target: " + names(arch::nfp::boards()))
      ->check(CLI::IsMember(list(arch::nfp::boards())))
      ->needs(target);
  command
      ->add_option("--firmware", check.firmware,
                   "Firmware of the nfp target: " + names(arch::nfp::firmwares()) + "; else each")
      ->check(CLI::IsMember(list(arch::nfp::firmwares())))
      ->needs(target);
  command->add_option("--mtu", check.mtu, "MTU of the port on the nfp target")
      ->capture_default_str()
      ->check(CLI::Range(68, 9216))
      ->needs(target);
  command->footer(
      "Examples:\n"
      "  xnic check build/release/programs/katran_lb.bpf.o\n"
      "  xnic check build/release/programs/changepoint_fixed.bpf.o --target nfp --firmware corenic");

  command = app.add_subcommand("disasm", "Print the instructions as bpftool does, with their source lines");
  command->add_option("PROG.o", disasm.object, "XDP object")->required();
  CLI::Option* one = command->add_option("--program", disasm.program_name, "Program in the object, by name or section");
  command->add_option("--target", disasm.target, "The file holds words of this card (compile -o, bpftool): nfp")
      ->check(CLI::IsMember({"nfp"}))
      ->excludes(one);
  command->footer("Example:\n  xnic disasm build/release/programs/drop.bpf.o");

  command = app.add_subcommand("gen", "Write a synthetic capture");
  command->add_option("--out", gen.output, "pcapng file; - is standard output")->capture_default_str();
  command->add_option("--count", gen.count, "Packets")->capture_default_str();
  command->add_option("--flows", gen.flows, "Distinct flows")->capture_default_str()->check(CLI::PositiveNumber);
  command->add_option("--sizes", gen.sizes, "Frame bytes without FCS: N, MIN-MAX, or imix")->capture_default_str();
  command->add_option("--protocols", gen.protocols, "Of udp, tcp, icmp, udp6, tcp6, icmp6, arp, other; repeat to weigh")
      ->capture_default_str();
  command->add_option("--vlan", gen.vlan_tags, "VLAN tags: 0, 1, 2 (QinQ)")
      ->capture_default_str()
      ->check(CLI::Range(0, 2));
  command->add_option("--malformed", gen.malformed_percent, "Percent of damaged frames")
      ->capture_default_str()
      ->check(CLI::Range(0, 100));
  command->add_option("--seed", gen.seed, "Same seed, same capture")->capture_default_str();
  command->add_option("--rate", gen.rate_pps, "Packets per second in the timestamps")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  command->footer(
      "Example:\n  xnic gen --protocols tcp,udp,udp6 --sizes imix --malformed 5 --count 100000 --out mix.pcapng");
}

void add_card_commands(CLI::App& app, CompileOptions& compile, ExplainOptions& explain, SweepOptions& sweep) {
  const auto common = [](CLI::App* command, auto& options) {
    command->add_option("PROG.o", options.object, "XDP object")->required();
    command->add_option("--program", options.program_name, "Program in the object, by function name or section");
    command->add_option("--card", options.card, card_help());
  };
  CLI::App* command = app.add_subcommand("compile", "Compile a program for a card");
  common(command, compile);
  command->add_option("--target", compile.target, "Card: hxdp or nfp")
      ->capture_default_str()
      ->check(CLI::IsMember({"hxdp", "nfp"}));
  command->add_option("--firmware", compile.firmware, "Firmware of the nfp card: " + names(arch::nfp::firmwares()))
      ->capture_default_str()
      ->check(CLI::IsMember(list(arch::nfp::firmwares())));
  command->add_option("--mtu", compile.mtu, "MTU of the port, for the nfp card")
      ->capture_default_str()
      ->check(CLI::Range(68, 9216));
  std::vector<std::string> passes;
  for (const auto& pass : compile::target::nfp::kPasses) passes.emplace_back(pass.name);
  command
      ->add_option("--no-pass", compile.nfp_off,
                   fmt::format("Passes that the nfp target leaves out: {}", fmt::join(passes, ", ")))
      ->check(CLI::IsMember(passes));
  command->add_option("-o,--out", compile.output, "Image file; of the nfp card the words as bpftool dumps them");
  command->add_flag("--listing", compile.listing, "Print rows and lanes with the source lines beside them");
  command
      ->add_option("--schedule", compile.schedule,
                   "exact: search each part for a shorter schedule than the heuristics', or prove that there is none")
      ->capture_default_str()
      ->check(CLI::IsMember({"heuristic", "exact"}));
  command->add_option("--schedule-nodes", compile.schedule_nodes, "Limit of an exact search: fillings of rows")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  command->add_flag("--json", compile.json, "Machine-readable output (schema: docs/run-json.md)");
  command
      ->add_option(
          "--prove", compile.prove,
          "Show that the image does what the program does: regions says which parts are not proved, full exits "
          "with 1 unless all are")
      ->capture_default_str()
      ->check(CLI::IsMember({"off", "regions", "full"}));
  command->footer("Example:\n  xnic compile build/release/programs/xdp1.bpf.o --listing -o xdp1.hxdp");

  command = app.add_subcommand("explain", "Say where a program's cycles go on a card, and what would help");
  common(command, explain);
  command->add_option("--target", explain.target, "Card: hxdp")->capture_default_str()->check(CLI::IsMember({"hxdp"}));
  command->add_option("--in", explain.input, "Capture with the packets to explain")->required();
  command->add_option("--map", explain.maps, "NAME=FILE.json: fill a map first, in bpftool's JSON form");
  command->add_flag("--json", explain.json, "Machine-readable output (schema: docs/run-json.md)");
  command->footer("Example:\n  xnic explain build/release/programs/xdp1.bpf.o --in a.pcap");

  command = app.add_subcommand("sweep", "Measure a program on cards of many sizes");
  common(command, sweep);
  command->add_option("--in", sweep.input, "Capture")->required();
  command->add_option("--map", sweep.maps, "NAME=FILE.json: fill a map first, in bpftool's JSON form");
  command->add_option("--repeat", sweep.repeat, "Run the capture this many times")->check(CLI::PositiveNumber);
  command->add_option("--lanes", sweep.lanes, "Lanes")->delimiter(',')->capture_default_str();
  command->add_option("--cores", sweep.cores, "Cores")->delimiter(',')->capture_default_str();
  command->add_option("--frame-bytes", sweep.frame_bytes, "Bus width in bytes")->delimiter(',')->capture_default_str();
  command->add_option("--clock-mhz", sweep.clock_mhz, "Clock")->delimiter(',')->capture_default_str();
  command->add_flag("--csv", sweep.csv, "Comma-separated values");
  command->footer(
      "Example:\n  xnic sweep build/release/programs/xdp1.bpf.o --in a.pcap --lanes 2,4,8 --cores 1,4 --csv");
}

CLI::App* add_testnet(CLI::App& app, TestnetOptions& options) {
  CLI::App* command = app.add_subcommand(
      "testnet",
      "Hosts in network namespaces, joined by veth pairs to interfaces in the card's namespace (needs root)");
  command->require_subcommand(1);
  const auto net = [&](CLI::App* one) {
    one->add_option("--net", options.net, "Name of the network: its namespaces are NET-card and NET-HOST")
        ->capture_default_str();
    return one;
  };
  CLI::App* up = net(command->add_subcommand("up", "Make the network; does nothing when it is up already"));
  up->add_option("--host", options.hosts, "NAME or NAME=ADDRESS/LENGTH,...; also its interface on the card; repeat")
      ->capture_default_str();
  up->add_option("--mtu", options.mtu, "MTU of all interfaces")->capture_default_str()->check(CLI::Range(68, 65535));
  up->add_option("--queues", options.queues, "Queues of all interfaces")
      ->capture_default_str()
      ->check(CLI::Range(1, 64));
  up->add_option("--ipv4", options.ipv4, "Prefix of hosts that name no address; empty: none")->capture_default_str();
  up->add_option("--ipv6", options.ipv6, "Prefix of hosts that name no address; empty: none")->capture_default_str();
  net(command->add_subcommand("down", "Remove what `up` made, and nothing else"));
  CLI::App* exec =
      net(command->add_subcommand("exec", "HOST COMMAND ...: run a command on a host, or with `card` beside the card"));
  exec->add_option("HOST", options.where, "Host, or card")->required();
  // What follows the host is the command's, options too.
  exec->prefix_command();
  exec->callback([exec, &options] {
    options.command = exec->remaining();
    if (!options.command.empty() && options.command[0] == "--") options.command.erase(options.command.begin());
    if (options.command.empty()) throw CLI::RequiredError("COMMAND");
  });
  command->footer(
      "Examples:\n"
      "  xnic testnet up\n"
      "  xnic testnet exec h1 ping -c 3 10.77.0.2\n"
      "  xnic testnet up --net nat --host inside=192.168.1.2/24 --host outside=198.51.100.7/24 --mtu 9000 --queues 2\n"
      "  xnic testnet down");
  return command;
}

int parse_and_run(int argc, char** argv) {
  CLI::App app{"xnic: run, check and measure XDP programs on a network card made of software"};
  app.require_subcommand(1);
  app.footer(
      "Exit codes: 0 done; 1 packets differ, or check rejects a program; 2 wrong use or bad input; 3 unsupported or "
      "over "
      "a limit; 4 I/O error.");
  RunOptions run_options;
  CheckOptions check_options;
  DisasmOptions disasm_options;
  GenOptions gen_options;
  CompileOptions compile_options;
  ExplainOptions explain_options;
  SweepOptions sweep_options;
  TestnetOptions testnet_options;
  DaemonOptions daemon_options;
  ExecOptions exec_options;
  OffloadRunOptions offload_options;
  add_run(app, run_options);
  add_card_commands(app, compile_options, explain_options, sweep_options);
  add_others(app, check_options, disasm_options, gen_options);
  const CLI::App* testnet = add_testnet(app, testnet_options);
  add_daemon_commands(app, daemon_options);
  add_exec(app, daemon_options, exec_options);
  add_offload(app, offload_options);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kExitOk : kExitBadInput;
  }
  if (daemon_options.job) return daemon_options.job();
  if (offload_options.job) return offload_options.job();
  if (app.got_subcommand("run")) return run(run_options);
  if (app.got_subcommand("compile")) return compile(compile_options);
  if (app.got_subcommand("explain")) return explain(explain_options);
  if (app.got_subcommand("sweep")) return sweep(sweep_options);
  if (app.got_subcommand("check")) return check(check_options);
  if (app.got_subcommand("disasm")) return disasm(disasm_options);
  if (testnet->got_subcommand("up")) return testnet_up(testnet_options);
  if (testnet->got_subcommand("down")) return testnet_down(testnet_options);
  if (testnet->got_subcommand("exec")) return testnet_exec(testnet_options);
  return gen(gen_options);
}

}  // namespace
}  // namespace xnic::tools

int main(int argc, char** argv) { return xnic::tools::parse_and_run(argc, argv); }
