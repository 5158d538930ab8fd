// SPDX-License-Identifier: Apache-2.0
// `xnic run` and the other commands on good input: each option has the effect that it is described with.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "process.hpp"

namespace xnic::tests::cli {
namespace {

using nlohmann::json;

constexpr const char* kVerdicts[] = {"aborted", "drop", "pass", "tx", "redirect"};

// Runs with --json and gives the document; fails the test unless the exit code is as wanted.
json run_json(std::vector<std::string> arguments, int exit_code = 0, const std::string& input = "") {
  arguments.insert(arguments.begin(), "run");
  arguments.push_back("--json");
  const Finished finished = run(Command{.arguments = arguments, .input = input});
  EXPECT_EQ(finished.exit_code, exit_code) << "signal " << finished.signal << "\n" << finished.err;
  json document = json::parse(finished.out, nullptr, false);
  EXPECT_FALSE(document.is_discarded()) << finished.out;
  return document;
}

std::set<std::string> keys(const json& object) {
  std::set<std::string> names;
  for (const auto& [name, value] : object.items()) names.insert(name);
  return names;
}

uint64_t verdicts(const json& document, const char* name) { return document["engines"][0]["verdicts"][name]; }

// The rules of docs/run-json.md for one entry of "engines".
void expect_engine(const json& engine, const std::string& name, uint64_t packets, uint64_t bytes) {
  EXPECT_EQ(keys(engine),
            (std::set<std::string>{"engine", "packets", "bytes", "verdicts", "ns_per_packet", "packets_per_second"}));
  EXPECT_EQ(engine["engine"], name);
  EXPECT_TRUE(engine["packets"].is_number_unsigned());
  EXPECT_EQ(engine["packets"], packets);
  EXPECT_TRUE(engine["bytes"].is_number_unsigned());
  EXPECT_EQ(engine["bytes"], bytes);
  EXPECT_EQ(keys(engine["verdicts"]), std::set<std::string>(std::begin(kVerdicts), std::end(kVerdicts)));
  uint64_t sum = 0;
  for (const json& count : engine["verdicts"]) {
    EXPECT_TRUE(count.is_number_unsigned());
    sum += count.get<uint64_t>();
  }
  EXPECT_EQ(sum, packets);
  ASSERT_TRUE(engine["ns_per_packet"].is_number());
  ASSERT_TRUE(engine["packets_per_second"].is_number());
  EXPECT_GT(engine["ns_per_packet"], 0);
  EXPECT_NEAR(engine["ns_per_packet"].get<double>() * engine["packets_per_second"].get<double>(), 1e9, 1e6);
}

TEST(Json, HasTheDocumentedFieldsAndNoOthers) {
  const json document = run_json({object("context"), "--in", trace()});
  EXPECT_EQ(keys(document), (std::set<std::string>{"program", "trace", "engines"}));
  EXPECT_EQ(document["program"], "context.bpf.o:context");
  EXPECT_EQ(document["trace"], "5_flows_64_bytes.pcap");
  ASSERT_EQ(document["engines"].size(), 1u);
  expect_engine(document["engines"][0], "interp", 5, 320);
}

TEST(Json, OfSeveralProgramsIsAList) {
  const json document = run_json({object("context"), object("random"), "--in", trace()});
  ASSERT_TRUE(document.is_array());
  ASSERT_EQ(document.size(), 2u);
  EXPECT_EQ(document[0]["program"], "context.bpf.o:context");
  EXPECT_EQ(document[1]["program"], "random.bpf.o:random_verdict");
}

TEST(Json, OfAComparisonHasTheReferenceAndCountsEqualPackets) {
  if (geteuid() != 0) GTEST_SKIP() << "the kernel engine needs root";
  const json document = run_json({object("context"), "--in", trace(), "--engine", "interp", "--compare", "kernel"});
  EXPECT_EQ(keys(document), (std::set<std::string>{"program", "trace", "engines", "compare"}));
  ASSERT_EQ(document["engines"].size(), 2u);
  expect_engine(document["engines"][0], "interp", 5, 320);
  expect_engine(document["engines"][1], "kernel", 5, 320);
  const json& compare = document["compare"];
  EXPECT_EQ(keys(compare),
            (std::set<std::string>{"reference", "packets", "different", "maps_different", "differences"}));
  EXPECT_EQ(compare["reference"], "kernel");
  EXPECT_EQ(compare["packets"], 5u);
  EXPECT_EQ(compare["different"], 0u);
  EXPECT_EQ(compare["maps_different"], 0u);
  EXPECT_EQ(compare["differences"], json::array());
}

TEST(Compare, ADifferenceIsExitCode1AndIsToldInWords) {
  if (geteuid() != 0) GTEST_SKIP() << "the kernel engine needs root";
  // 100 packets by chance all equal: once in 2^100 runs.
  const std::vector<std::string> arguments = {object("random"), "--in",  trace(), "--repeat", "20",
                                              "--compare",      "kernel"};
  const json compare = run_json(arguments, 1)["compare"];
  EXPECT_EQ(compare["packets"], 100u);
  EXPECT_GT(compare["different"], 0u);
  ASSERT_GT(compare["differences"].size(), 0u);
  EXPECT_NE(compare["differences"][0].get<std::string>().find("verdict"), std::string::npos);

  std::vector<std::string> table = arguments;
  table.insert(table.begin(), "run");
  const Finished finished = run(table);
  EXPECT_EQ(finished.exit_code, 1);
  EXPECT_NE(finished.out.find("DIFFERENT random.bpf.o:random_verdict"), std::string::npos) << finished.out;
  EXPECT_NE(finished.out.find("100 packets compared, "), std::string::npos) << finished.out;
}

TEST(Json, CountsShortAndCutFrames) {
  std::string bytes = read_file(trace());
  // Record 1 starts at byte 24: captured length at 32, length on the wire at 36.
  bytes[36] = 100;
  write_file(scratch("cut-frame.pcap"), bytes);
  json document = run_json({object("context"), "--in", scratch("cut-frame.pcap")});
  EXPECT_EQ(document["cut_by_capture"], 1u);
  EXPECT_EQ(document["engines"][0]["packets"], 5u);

  bytes = read_file(trace()).substr(0, 24 + 16 + 13);
  bytes[32] = bytes[36] = 13;
  write_file(scratch("short.pcap"), bytes);
  document = run_json({object("context"), "--in", scratch("short.pcap")});
  EXPECT_EQ(document["skipped_short"], 1u);
  EXPECT_EQ(document["engines"][0]["packets"], 0u);
  EXPECT_EQ(document["engines"][0]["ns_per_packet"], 0);
  EXPECT_EQ(document["engines"][0]["packets_per_second"], 0);
}

TEST(Run, ReceiveQueueAndIngressPortReachTheProgram) {
  EXPECT_EQ(verdicts(run_json({object("context"), "--in", trace()}), "pass"), 5u);
  EXPECT_EQ(verdicts(run_json({object("context"), "--in", trace(), "--rx-queue", "7"}), "tx"), 5u);
  EXPECT_EQ(verdicts(run_json({object("context"), "--in", trace(), "--ingress-ifindex", "3"}), "drop"), 5u);
}

TEST(Run, RepeatAndLimitCountPackets) {
  const auto packets = [](std::vector<std::string> more) {
    std::vector<std::string> arguments = {object("context"), "--in", trace()};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run_json(arguments)["engines"][0]["packets"].get<uint64_t>();
  };
  EXPECT_EQ(packets({"--repeat", "7"}), 35u);
  EXPECT_EQ(packets({"--limit", "3"}), 3u);
  EXPECT_EQ(packets({"--repeat", "7", "--limit", "3"}), 21u);
  EXPECT_EQ(packets({"--limit", "100"}), 5u);
}

TEST(Run, ChoosesTheProgramByFunctionOrSection) {
  const std::string two = object("two_programs");
  EXPECT_EQ(verdicts(run_json({two, "--in", trace(), "--program", "second"}), "tx"), 5u);
  EXPECT_EQ(verdicts(run_json({two, "--in", trace(), "--program", "xdp/one"}), "drop"), 5u);
}

TEST(Run, PrintsATableForPeople) {
  const Finished finished = run({"run", object("context"), "--in", trace()});
  EXPECT_EQ(finished.exit_code, 0);
  EXPECT_TRUE(finished.out.starts_with("program ")) << finished.out;
  EXPECT_NE(finished.out.find("context.bpf.o:context  5_flows_64_bytes.pcap  interp "), std::string::npos);
  EXPECT_EQ(finished.err, "");
}

TEST(Maps, FilledFromTypedJsonTheyGuideTheProgramAndAreDumpedAgain) {
  write_file(
      scratch("table.json"),
      R"([{"key": 9, "value": {"verdict": 3, "signed_number": -2, "colour": "GREEN", "address": [10, 0, 0, 1]}}])");
  write_file(scratch("rodata.json"), R"({".rodata": [{"chosen": 9}]})");
  write_file(scratch("counters.json"), R"([{"key": 0, "values": [{"cpu": 0, "value": 1000}]}])");
  const std::vector<std::string> fill = {"--map", "table=" + scratch("table.json"),
                                         "--map", ".rodata=" + scratch("rodata.json"),
                                         "--map", "counters=" + scratch("counters.json")};
  std::vector<std::string> arguments = {object("maps"), "--in", trace(), "--dump-maps"};
  arguments.insert(arguments.end(), fill.begin(), fill.end());
  const json first = run_json(arguments);
  EXPECT_EQ(verdicts(first, "tx"), 5u);
  const json& maps = first["maps"];
  EXPECT_EQ(keys(maps), (std::set<std::string>{"table", "counters", ".rodata", ".bss"}));
  ASSERT_EQ(maps["table"].size(), 1u);
  EXPECT_EQ(maps["table"][0]["key"], json({"0x09", "0x00", "0x00", "0x00"}));
  const json value = maps["table"][0]["formatted"]["value"];
  EXPECT_EQ(value["verdict"], 3);
  EXPECT_EQ(value["signed_number"], -2);
  EXPECT_EQ(value["colour"], "GREEN");
  EXPECT_EQ(value["address"], json({10, 0, 0, 1}));
  EXPECT_EQ(maps[".rodata"][0]["formatted"]["value"][".rodata"][0]["chosen"], 9);
  EXPECT_EQ(maps[".bss"][0]["formatted"]["value"][".bss"][0]["packets"], 5);
  ASSERT_GE(maps["counters"][0]["formatted"]["values"].size(), 1u);
  EXPECT_EQ(maps["counters"][0]["formatted"]["values"][0], json({{"cpu", 0}, {"value", 1005}}));

  // What was dumped is taken again: counters go on from there, and the table and the constant are as they were.
  std::vector<std::string> again = {object("maps"), "--in", trace(), "--dump-maps"};
  for (const auto& [name, elements] : maps.items()) {
    write_file(scratch("dump" + name), elements.dump());
    again.insert(again.end(), {"--map", name + "=" + scratch("dump" + name)});
  }
  const json second = run_json(again);
  EXPECT_EQ(verdicts(second, "tx"), 5u);
  EXPECT_EQ(second["maps"]["table"], maps["table"]);
  EXPECT_EQ(second["maps"][".rodata"], maps[".rodata"]);
  EXPECT_EQ(second["maps"]["counters"][0]["formatted"]["values"][0]["value"], 1010);
  EXPECT_EQ(second["maps"][".bss"][0]["formatted"]["value"][".bss"][0]["packets"], 10);
}

TEST(Gen, GivesTheSameBytesForTheSameSeed) {
  const std::vector<std::string> arguments = {"gen",      "--count", "500", "--sizes",     "imix", "--protocols",
                                              "udp,tcp6", "--vlan",  "1",   "--malformed", "10",   "--seed"};
  const auto capture = [&](const std::string& seed) {
    std::vector<std::string> with_seed = arguments;
    with_seed.push_back(seed);
    const Finished finished = run(with_seed);
    EXPECT_EQ(finished.exit_code, 0) << finished.err;
    return finished.out;
  };
  const std::string one = capture("1");
  EXPECT_GT(one.size(), 500u * 60);
  EXPECT_EQ(one, capture("1"));
  EXPECT_NE(one, capture("2"));
}

TEST(Pipes, GenRunRun) {
  const Finished made = run({"gen", "--count", "300", "--flows", "10", "--protocols", "udp,tcp,arp"});
  ASSERT_EQ(made.exit_code, 0) << made.err;
  const Finished through = run(Command{
      .arguments = {"run", object("context"), "--in", "-", "--out", "-", "--rx-queue", "7"}, .input = made.out});
  ASSERT_EQ(through.exit_code, 0) << through.err;
  EXPECT_TRUE(through.err.starts_with("program ")) << "the table goes to standard error: " << through.err;
  // pcapng from both; the second has the verdicts as well.
  EXPECT_EQ(through.out.substr(0, 4), made.out.substr(0, 4));
  EXPECT_GT(through.out.size(), made.out.size());
  const json document = run_json({object("context"), "--in", "-", "--repeat", "2"}, 0, through.out);
  EXPECT_EQ(document["trace"], "-");
  EXPECT_EQ(document["engines"][0]["packets"], 600u);
}

TEST(Progress, IsShownOnATerminalOnly) {
  const std::vector<std::string> arguments = {"run", object("context"), "--in", trace(), "--repeat", "300000"};
  EXPECT_EQ(run(arguments).err, "");
  const Finished shown = run(Command{.arguments = arguments, .terminal = true});
  EXPECT_EQ(shown.exit_code, 0);
  EXPECT_NE(shown.err.find("context.bpf.o:context on 5_flows_64_bytes.pcap: "), std::string::npos) << shown.err;
  EXPECT_NE(shown.err.find(" per second"), std::string::npos);
}

TEST(Help, HasExamplesForEveryCommandAndSucceeds) {
  const Finished main = run({"--help"});
  EXPECT_EQ(main.exit_code, 0);
  EXPECT_NE(main.out.find("Exit codes: 0 done; 1 "), std::string::npos);
  for (const std::string command : {"run", "check", "disasm", "gen"}) {
    EXPECT_NE(main.out.find("\n  " + command + " "), std::string::npos) << command;
    const Finished finished = run({command, "--help"});
    EXPECT_EQ(finished.exit_code, 0);
    EXPECT_NE(finished.out.find("Example"), std::string::npos);
    EXPECT_NE(finished.out.find("xnic " + command), std::string::npos);
    EXPECT_EQ(finished.err, "");
  }
}

TEST(Check, SaysAcceptedOrRejectedByExitCodeAndJson) {
  EXPECT_EQ(run({"check", object("context"), object("maps")}).exit_code, 0);
  const Finished mixed = run({"check", object("context"), object("unchecked"), "--json"});
  EXPECT_EQ(mixed.exit_code, 1) << mixed.err;
  const json list = json::parse(mixed.out, nullptr, false);
  ASSERT_EQ(list.size(), 2u);
  EXPECT_EQ(list[0]["accepted"], true);
  EXPECT_GT(list[0]["instructions"], 0);
  EXPECT_EQ(list[1]["accepted"], false);
  EXPECT_EQ(list[1]["rejection"]["kind"], "memory");
  EXPECT_EQ(list[1]["rejection"]["errno"], EACCES);
  EXPECT_NE(list[1]["rejection"]["source"].get<std::string>().find("unchecked.bpf.c:9"), std::string::npos);
}

TEST(Disasm, PrintsInstructionsAndSourceLinesOfRejectedProgramsToo) {
  const Finished finished = run({"disasm", object("unchecked")});
  EXPECT_EQ(finished.exit_code, 0) << finished.err;
  EXPECT_NE(finished.out.find("unchecked (xdp):"), std::string::npos) << finished.out;
  EXPECT_NE(finished.out.find("(95) exit"), std::string::npos) << finished.out;
  EXPECT_NE(finished.out.find("data[14] == 1"), std::string::npos) << finished.out;
}

}  // namespace
}  // namespace xnic::tests::cli
