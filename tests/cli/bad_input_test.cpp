// SPDX-License-Identifier: Apache-2.0
// Every kind of bad input: the exit code, and the words that help. Nothing ends by a signal, nothing prints a table.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "process.hpp"

namespace xnic::tests::cli {
namespace {

constexpr int kBadInput = 2;
constexpr int kUnsupported = 3;  // and limits
constexpr int kIo = 4;

// Ended with this code and an error that has all the words.
void expect_error(const Finished& finished, int exit_code, const std::vector<std::string>& words) {
  EXPECT_EQ(finished.exit_code, exit_code) << "signal " << finished.signal << "\n" << finished.err;
  EXPECT_TRUE(finished.err.starts_with("xnic: error: ")) << finished.err;
  for (const std::string& word : words) EXPECT_NE(finished.err.find(word), std::string::npos) << finished.err;
  EXPECT_EQ(finished.out, "");
}

struct Case {
  const char* name;
  std::vector<std::string> arguments;
  int exit_code;
  std::vector<std::string> words;
};

std::vector<std::string> run_object(const std::string& name, std::vector<std::string> more = {}) {
  std::vector<std::string> arguments = {"run", object(name), "--in", trace()};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

class BadInput : public testing::TestWithParam<Case> {};

TEST_P(BadInput, IsToldWithItsReasonAndExitCode) {
  expect_error(run(GetParam().arguments), GetParam().exit_code, GetParam().words);
}

const Case kObjects[] = {
    {"NotAnElf", {"run", trace(), "--in", trace()}, kBadInput, {trace(), "not an ELF file"}},
    {"ElfOfTheHost", {"run", XNIC_PROGRAM, "--in", trace()}, kBadInput, {"not a little-endian BPF object"}},
    {"Folder", {"run", "/", "--in", trace()}, kIo, {"/: cannot read: Is a directory"}},
    {"MissingObject", {"run", "/nowhere.o", "--in", trace()}, kIo, {"/nowhere.o", "No such file"}},
    {"NoProgramAtAll", run_object("no_program"), kBadInput, {"no_program.bpf.o", "no program in this object"}},
    {"NoXdpProgram", run_object("no_xdp"), kBadInput, {"no XDP program in this object; it has: classify"}},
    {"WantedProgramIsNotXdp",
     run_object("no_xdp", {"--program", "classify"}),
     kBadInput,
     {"'classify' in section 'tc' is not an XDP program"}},
    {"SeveralPrograms", run_object("two_programs"), kBadInput, {"has 2 programs (first, second)", "--program"}},
    {"UnknownProgram",
     run_object("two_programs", {"--program", "third"}),
     kBadInput,
     {"no program 'third' in this object; it has: first, second"}},
    {"UnknownHelper",
     run_object("unknown_helper"),
     kUnsupported,
     {"'call_unknown'", "unknown#9999", "unknown_helper.bpf.c:9: ", "no helper of this number"}},
    {"HelperOfOtherTypes",
     run_object("wrong_helper"),
     kUnsupported,
     {"bpf_skb_vlan_pop#19", "wrong_helper.bpf.c:7: ", "other program types only"}},
    {"UnsupportedMap",
     run_object("unsupported_map"),
     kUnsupported,
     {"map 'sockets' has the type reuseport_sockarray", "holds sockets of the host"}},
    {"TooManyInstructions",
     run_object("too_long"),
     kUnsupported,
     {"'too_long'", "has 1000001 instructions, but at most 1000000 are allowed"}},
    {"TooManyVisits",
     run_object("endless"),
     kUnsupported,
     {"BPF program is too large. Processed 1000001 insn", "endless.bpf.c:9: ", "bound the loops more tightly"}},
    {"TooDeepCalls",
     run_object("deep_calls"),
     kUnsupported,
     {"the call stack of 8 frames is too deep", "deep_calls.bpf.c:"}},
    {"TooMuchStack",
     run_object("big_stack"),
     kBadInput,
     {"instruction 1: invalid write to stack R10 off=-520 size=8", "512 bytes below r10"}},
    // The verifier's refusal: where, what, the line, the registers, what to do.
    {"RejectedProgram",
     run_object("unchecked"),
     kBadInput,
     {"section 'xdp', program 'unchecked', instruction ", "invalid access to packet, off=14 size=1",
      "unchecked.bpf.c:9:   return data[14] == 1", "registers: ", "R1=pkt(", "prove before the access",
      "data + 15 <= data_end"}},
};

const Case kOptions[] = {
    {"UnknownEngine",
     run_object("context", {"--engine", "warp"}),
     kBadInput,
     {"--engine warp", "no such engine", "interp", "kernel"}},
    {"UnknownReferenceEngine", run_object("context", {"--compare", "warp"}), kBadInput, {"warp", "no such engine"}},
    {"MissingCapture", {"run", object("context"), "--in", "/nowhere.pcap"}, kIo, {"/nowhere.pcap", "No such file"}},
    {"FolderForCapture", {"run", object("context"), "--in", "/"}, kBadInput, {"/: ", "Is a directory"}},
    {"FolderForMapFile", run_object("maps", {"--map", "table=/"}), kIo, {"/: cannot read: Is a directory"}},
    {"CaptureThatIsNone", {"run", object("context"), "--in", object("context")}, kBadInput, {"not a usable capture"}},
    {"FullDisk", run_object("context", {"--out", "/dev/full"}), kIo, {"/dev/full", "No space left on device"}},
    {"OutputInNoFolder", run_object("context", {"--out", "/no/where.pcapng"}), kIo, {"cannot create", "No such file"}},
    {"FullDiskOfGen", {"gen", "--out", "/dev/full", "--count", "9"}, kIo, {"/dev/full", "No space left on device"}},
    {"UnknownSizesOfGen", {"gen", "--sizes", "huge"}, kBadInput, {"huge"}},
    {"SizesOutOfRangeOfGen", {"gen", "--sizes", "60-99999"}, kBadInput, {"'99999'", "from 14 to 16384"}},
    {"UnknownProtocolOfGen", {"gen", "--protocols", "udp,carrier-pigeon"}, kBadInput, {"carrier-pigeon"}},
    {"CheckOfNoElf", {"check", trace()}, kBadInput, {"not an ELF file"}},
    {"DisasmOfNoElf", {"disasm", trace()}, kBadInput, {"not an ELF file"}},
};

std::string name_of(const testing::TestParamInfo<Case>& info) { return info.param.name; }
INSTANTIATE_TEST_SUITE_P(Object, BadInput, testing::ValuesIn(kObjects), name_of);
INSTANTIATE_TEST_SUITE_P(Option, BadInput, testing::ValuesIn(kOptions), name_of);

TEST(BadFile, AnEmptyObjectIsSaidToBeEmpty) {
  write_file(scratch("empty.o"), "");
  expect_error(run({"run", scratch("empty.o"), "--in", trace()}), kBadInput, {"empty.o: is empty"});
}

// Every length near the start, then steps that hit all tables of the file.
TEST(BadFile, AnObjectCutOffAnywhereIsRefusedAndNeverCrashes) {
  const std::string whole = read_file(object("maps"));
  ASSERT_GT(whole.size(), 2000u);
  const std::string path = scratch("cut.o");
  for (size_t bytes = 1; bytes < whole.size(); bytes += bytes < 70 ? 3 : 97) {
    write_file(path, whole.substr(0, bytes));
    const Finished finished = run({"run", path, "--in", trace()});
    ASSERT_EQ(finished.exit_code, kBadInput) << bytes << " bytes, signal " << finished.signal << ": " << finished.err;
    ASSERT_TRUE(finished.err.starts_with("xnic: error: " + path + ": ")) << finished.err;
  }
}

TEST(BadFile, AnEmptyCaptureIsNoCapture) {
  expect_error(run({"run", object("context"), "--in", "/dev/null"}), kBadInput, {"/dev/null", "not a usable capture"});
  expect_error(run({"run", object("context"), "--in", "-"}), kBadInput, {"standard input", "not a usable capture"});
}

TEST(BadFile, ACaptureCutOffNamesThePacket) {
  const std::string whole = read_file(trace());
  const std::string path = scratch("cut.pcap");
  write_file(path, whole.substr(0, whole.size() - 10));
  expect_error(run({"run", object("context"), "--in", path}), kBadInput, {"cut.pcap: packet 5: truncated"});
  write_file(path, whole.substr(0, 20));
  expect_error(run({"run", object("context"), "--in", path}), kBadInput, {"cut.pcap", "not a usable capture"});
}

TEST(BadFile, ACaptureOfAnotherLinkTypeSaysWhichOneItIs) {
  std::string bytes = read_file(trace());
  bytes[20] = 101;
  write_file(scratch("raw.pcap"), bytes);
  expect_error(run({"run", object("context"), "--in", scratch("raw.pcap")}), kBadInput,
               {"RAW", "Ethernet frames only"});
}

TEST(BadFile, AFileWithoutRightsIsAnIoError) {
  const std::string secret_object = scratch("secret.o");
  const std::string secret_trace = scratch("secret.pcap");
  write_file(secret_object, read_file(object("context")));
  write_file(secret_trace, read_file(trace()));
  ASSERT_EQ(chmod(secret_object.c_str(), 0), 0);
  ASSERT_EQ(chmod(secret_trace.c_str(), 0), 0);
  expect_error(run({.arguments = {"run", secret_object, "--in", trace()}, .as_nobody = true}), kIo,
               {"secret.o", "Permission denied"});
  expect_error(run({.arguments = {"run", object("context"), "--in", secret_trace}, .as_nobody = true}), kIo,
               {"secret.pcap", "Permission denied"});
}

TEST(KernelEngine, WithoutRightsSaysWhatItNeeds) {
  const Finished finished = run({.arguments = run_object("context", {"--engine", "kernel"}), .as_nobody = true});
  expect_error(finished, kIo, {"kernel", "root"});
}

struct MapCase {
  const char* name;
  const char* option;  // before the file's path
  const char* json;    // null: no file
  int exit_code;
  std::vector<std::string> words;
};

class BadMapFile : public testing::TestWithParam<MapCase> {};

TEST_P(BadMapFile, IsToldWithThePlaceInTheFile) {
  const std::string path = scratch("bad-map.json");
  unlink(path.c_str());
  if (GetParam().json != nullptr) write_file(path, GetParam().json);
  expect_error(run(run_object("maps", {"--map", GetParam().option + path})), GetParam().exit_code, GetParam().words);
}

const MapCase kMapFiles[] = {
    {"Missing", "table=", nullptr, kIo, {"bad-map.json", "No such file"}},
    {"WithoutName", "", "[]", kBadInput, {"needs NAME=FILE.json"}},
    {"NotJson", "table=", "{key: 1", kBadInput, {"bad-map.json", "is not valid JSON"}},
    {"NotAList", "table=", "{\"key\": 1}", kBadInput, {"needs a list of elements"}},
    {"ElementIsNoObject", "table=", "[7]", kBadInput, {"element 0", "\"key\" and \"value\""}},
    {"UnknownMap",
     "tabel=",
     "[]",
     kBadInput,
     {"the object has no map 'tabel'; it has ", "table", "counters", ".rodata"}},
    {"WithoutKey", "table=", R"([{"value": {"verdict": 1}}])", kBadInput, {"element 0: has no \"key\""}},
    {"UnknownMember",
     "table=",
     R"([{"key": 1, "value": {"verdict": 1}}, {"key": 2, "value": {"verdikt": 1}}])",
     kBadInput,
     {"element 1.value", "verdikt"}},
    {"TooManyBytes",
     "table=",
     R"([{"key": ["0x01","0x00","0x00","0x00","0x00"], "value": {}}])",
     kBadInput,
     {"element 0.key: has 5 bytes, the map needs 4"}},
    {"NumberTooLarge", "table=", R"([{"key": 4294967296, "value": {}}])", kBadInput, {"element 0.key", "4294967296"}},
    {"NumberTooSmall",
     "table=",
     R"([{"key": 1, "value": {"signed_number": -32769}}])",
     kBadInput,
     {"element 0.value.signed_number", "-32769"}},
    {"UnknownEnumerator",
     "table=",
     R"([{"key": 1, "value": {"colour": "BLUE"}}])",
     kBadInput,
     {"element 0.value.colour", "BLUE"}},
    {"TextForNumber", "table=", R"([{"key": "one", "value": {}}])", kBadInput, {"element 0.key"}},
    {"ArrayTooLong",
     "table=",
     R"([{"key": 1, "value": {"address": [1, 2, 3, 4, 5]}}])",
     kBadInput,
     {"element 0.value.address"}},
    {"MapIsFull",
     "table=",
     R"([{"key": 1, "value": {}}, {"key": 2, "value": {}}, {"key": 3, "value": {}}])",
     kUnsupported,
     {"element 2: map 'table' (2 entries at most)"}},
    {"IndexOutsideTheArray", "counters=", R"([{"key": 1, "value": 1}])", kUnsupported, {"element 0: map 'counters'"}},
    {"CpuThatIsNot",
     "counters=",
     R"([{"key": 0, "values": [{"cpu": 100000, "value": 1}]}])",
     kBadInput,
     {"element 0", "\"cpu\": 0.."}},
    {"UnknownVariable", ".rodata=", R"({".rodata": [{"chosn": 1}]})", kBadInput, {"no variable 'chosn'"}},
};
INSTANTIATE_TEST_SUITE_P(File, BadMapFile, testing::ValuesIn(kMapFiles),
                         [](const testing::TestParamInfo<MapCase>& info) { return std::string(info.param.name); });

TEST(WrongUse, IsExitCode2AndPointsToTheHelp) {
  const std::vector<std::vector<std::string>> uses = {
      {},
      {"fly"},
      {"run"},
      {"run", object("context")},
      {"run", object("context"), "--in", trace(), "--repeat", "0"},
      {"run", object("context"), "--in", trace(), "--repeat", "many"},
      {"run", object("context"), "--in", trace(), "--no-such-option"},
      {"gen", "--malformed", "101"},
      {"gen", "--vlan", "3"},
      {"gen", "--flows", "0"},
      {"check"},
  };
  for (const auto& use : uses) {
    const Finished finished = run(use);
    EXPECT_EQ(finished.exit_code, kBadInput) << finished.err;
    EXPECT_NE(finished.err.find("--help"), std::string::npos) << finished.err;
    EXPECT_EQ(finished.out, "");
  }
}

}  // namespace
}  // namespace xnic::tests::cli
