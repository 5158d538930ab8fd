// SPDX-License-Identifier: Apache-2.0
// Parsing of the commands that speak to xnicd.
#include "xnic/daemon.hpp"

#include <CLI/CLI.hpp>

namespace xnic::tools {
namespace {

CLI::App* add(CLI::App& app, DaemonOptions& options, const char* name, const char* help,
              std::function<int(const DaemonOptions&)> job) {
  CLI::App* command = app.add_subcommand(name, help);
  command->add_option("--socket", options.socket,
                      "Control socket; without it $XNIC_SOCKET, else /run/xnic/control.sock");
  command->callback([&options, job = std::move(job)] {
    // The innermost command is called first, and it is the one that is meant.
    if (!options.job) options.job = [&options, job] { return job(options); };
  });
  return command;
}

void add_life(CLI::App& app, DaemonOptions& options) {
  CLI::App* command = add(app, options, "up", "Start xnicd in the background and wait until packets can flow", up);
  command->add_option("FILE", options.file, "Configuration (docs/operations.md)")->required();
  command->add_option("--log", options.log, "Where xnicd writes its log; without it beside the control socket");
  command->footer("Example:\n  xnic up card.toml && xnic ports");
  command = add(app, options, "down", "Stop xnicd when the packets under way are out", down);
  command->footer("Example:\n  xnic down");
}

void add_filters(CLI::App& app, DaemonOptions& options) {
  CLI::App* command = app.add_subcommand("filter", "Which received packets of a port go elsewhere, before its program");
  command->require_subcommand(1);
  const auto one = [&](const char* name, const char* help, int (*job)(const DaemonOptions&)) {
    CLI::App* sub = add(*command, options, name, help, job);
    sub->add_option("PORT", options.port, "Its name")->required();
    return sub;
  };
  one("list", "Show a port's filters with their numbers", filters);
  one("add", "Add one", add_filter)
      ->add_option(
          "KEY=VALUE", options.filters,
          "What has to match: vlan, src_mac, dst_mac, ethertype, protocol, src, dst, sport, dport, multicast, "
          "own_address; mode=steal, copy or sniff; and to_port=NAME, to_host=true, to_queue=NUMBER or drop=true")
      ->required();
  one("del", "Delete one; those behind it move up", remove_filter)
      ->add_option("NUMBER", options.number, "As shown by list")
      ->required();
  command->footer(
      "Examples:\n"
      "  xnic filter add wan protocol=tcp dport=179 to_host=true\n"
      "  xnic filter add lan mode=sniff to_port=monitor\n"
      "  xnic filter list wan\n"
      "  xnic filter del wan 0");
}

void add_ports(CLI::App& app, DaemonOptions& options) {
  CLI::App* command = add(app, options, "ports", "Show the ports; add and remove them while packets flow", ports);
  command->add_flag("--json", options.json, "Machine-readable output");
  CLI::App* one = add(*command, options, "add", "Open a port", add_port);
  one->add_option("FILE", options.file, "The keys of a [[port]] table, without its header; - is standard input")
      ->required();
  one = add(*command, options, "remove", "Close a port", remove_port);
  one->add_option("PORT", options.port, "Its name")->required();
  one = add(*command, options, "change", "Change what a port does beside its program", change_port);
  one->add_option("PORT", options.port, "Its name")->required();
  one->add_option("FILE", options.file,
                  "The tables [features], [rss], [[filter]], each in place of the one before; - is "
                  "standard input")
      ->required();
  command->footer(
      "Examples:\n"
      "  xnic ports\n"
      "  printf 'name = \"m\"\\nkind = \"memory\"\\npath = \"/run/xnic/m.sock\"\\n' | xnic ports add -\n"
      "  xnic ports remove m\n"
      "  printf '[features]\\ncheck_checksums = \"drop\"\\n' | xnic ports change m -");
  add_filters(app, options);

  command = add(app, options, "attach", "Attach a program to ports, in place of the one that runs there", attach);
  command->add_option("WHAT", options.ports, "PORT [PORT...] PROG.o: the ports share the object's maps")
      ->required()
      ->expected(2, 256);
  command->add_option("--program", options.program, "Program in the object, by function name or section");
  command->add_option("--engine", options.engine, "Engine: native, interp, hxdp; without it as the port has it");
  command->add_option("--map", options.fills, "NAME=FILE.json: fill a map first, in bpftool's JSON form");
  command->footer("Examples:\n  xnic attach lan wan firewall.bpf.o\n  xnic attach lan lb.o --map vips=vips.json");
  command = add(app, options, "detach", "Detach a port's program: all packets pass", detach);
  command->add_option("PORT", options.port, "Its name")->required();
  command->footer("Example:\n  xnic detach lan");
}

void add_watching(CLI::App& app, DaemonOptions& options) {
  CLI::App* command = add(app, options, "stats", "Show what the card and its ports have counted", stats);
  command->add_flag("--json", options.json, "Machine-readable output, with every counter");
  command->footer("Example:\n  xnic stats --json");
  command = add(app, options, "top", "Show the ports' rates as they change; q or Ctrl-C ends it", top);
  command->add_flag("--once", options.once, "One table, after one interval");
  command->add_option("--interval", options.interval_ms, "Milliseconds between two looks")
      ->capture_default_str()
      ->check(CLI::Range(50, 60000));
  command->footer("Examples:\n  xnic top\n  xnic top --once --interval 5000");
  command = add(app, options, "trace", "Show packets with their verdicts as they pass", trace);
  command->add_option("--filter", options.filters,
                      "KEY=VALUE, all have to hold: port, verdict (aborted, drop, pass, tx, redirect; several by "
                      "commas), src, dst, protocol, sport and dport (with protocol), ethertype, vlan");
  command->add_option("--limit", options.limit, "Stop after this many packets");
  command->add_option("--out", options.out, "Write them as pcapng, with their verdicts; - is standard output");
  command->add_flag("--json", options.json, "A JSON object a line");
  command->footer(
      "Examples:\n"
      "  xnic trace --filter port=lan --filter verdict=drop,aborted --limit 20\n"
      "  xnic trace --filter dst=10.0.0.1 --filter protocol=tcp --filter dport=80 --out dropped.pcapng");
}

void add_maps(CLI::App& app, DaemonOptions& options) {
  CLI::App* command = app.add_subcommand("map", "Look into the maps of running programs, and change them");
  command->require_subcommand(1);
  const auto one = [&](const char* name, const char* help, const char* what) {
    CLI::App* sub =
        add(*command, options, name, help, [what](const DaemonOptions& given) { return map_command(given, what); });
    if (std::string_view(name) != "list")
      sub->add_option("MAP", options.map, "Its name, PORT/NAME, or its id")->required();
    return sub;
  };
  const char* key_help = "JSON: a number, a typed value, or bytes [\"0x01\", ...]";
  one("list", "Show the maps", "list")->add_flag("--json", options.json, "Machine-readable output");
  one("dump", "Print every element, in bpftool's JSON form", "dump");
  one("get", "Print one element", "get")->add_option("KEY", options.key, key_help)->required();
  CLI::App* set = one("set", "Add or change an element, or many of a file", "set");
  CLI::Option* key = set->add_option("KEY", options.key, key_help);
  CLI::Option* value = set->add_option("VALUE", options.value, "JSON, as KEY");
  key->needs(value);
  set->add_option("--file", options.file, "Elements in the form of dump; - is standard input")->excludes(key);
  one("delete", "Delete an element", "delete")->add_option("KEY", options.key, key_help)->required();
  CLI::App* watch = one("watch", "Print all elements, then those that change", "watch");
  watch->add_option("--interval", options.interval_ms, "Milliseconds between two looks")->capture_default_str();
  watch->add_option("--limit", options.limit, "Stop after this many looks that showed a change");
  command->footer(
      "Examples:\n"
      "  xnic map list\n"
      "  xnic map dump lan/flows\n"
      "  xnic map set limits 3 '{\"rate\": 1000, \"burst\": 10}'\n"
      "  xnic map watch packets --interval 200");
}

}  // namespace

void add_daemon_commands(CLI::App& app, DaemonOptions& options) {
  add_life(app, options);
  add_ports(app, options);
  add_watching(app, options);
  add_maps(app, options);
}

}  // namespace xnic::tools
