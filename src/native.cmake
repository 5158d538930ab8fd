# The native engine: its runtime as bitcode, and its compiler as a shared library of its own, so that LLVM is loaded only
# by who compiles.
find_program(CLANG clang-19 REQUIRED)
set(runtime_source ${CMAKE_CURRENT_SOURCE_DIR}/exec/native/runtime/runtime.cpp)
set(runtime_bitcode ${CMAKE_BINARY_DIR}/native/runtime.bc)
file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/native)
add_custom_command(OUTPUT ${runtime_bitcode}
  COMMAND ${CLANG} -std=c++20 -O2 -fno-exceptions -fno-asynchronous-unwind-tables -fno-stack-protector -Wall -Wextra -Werror
          -I${CMAKE_CURRENT_SOURCE_DIR} -emit-llvm -c ${runtime_source} -o ${runtime_bitcode} -MD -MF ${runtime_bitcode}.d
  DEPENDS ${runtime_source} DEPFILE ${runtime_bitcode}.d COMMENT "Compiling the native engine's runtime" VERBATIM)
set_source_files_properties(exec/native/runtime/bitcode.cpp PROPERTIES
  COMPILE_DEFINITIONS XNIC_RUNTIME_BITCODE="${runtime_bitcode}" OBJECT_DEPENDS ${runtime_bitcode})

file(GLOB compiler_sources CONFIGURE_DEPENDS compile/target/native/*.cpp)
# What it needs of lower rooms is compiled again, as position-independent code.
add_library(xnic_native MODULE ${compiler_sources} arch/ebpf/helpers.cpp base/check.cpp base/result.cpp)
target_include_directories(xnic_native PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})
target_include_directories(xnic_native SYSTEM PRIVATE /usr/lib/llvm-19/include)
set_target_properties(xnic_native PROPERTIES CXX_VISIBILITY_PRESET hidden)
target_link_libraries(xnic_native PRIVATE fmt::fmt -L/usr/lib/llvm-19/lib -lLLVM-19)
# The version of the compiler is the digest of its sources, so that code on disk never outlives the compiler that made it.
file(GLOB version_sources CONFIGURE_DEPENDS compile/target/native/*.?pp arch/native/*.hpp arch/ebpf/facts.hpp
     arch/ebpf/instruction.hpp arch/ebpf/helpers.def)
set(version_source ${CMAKE_BINARY_DIR}/native/version.cpp)
add_custom_command(OUTPUT ${version_source}
  COMMAND ${CMAKE_COMMAND} -DOUT=${version_source} -P ${CMAKE_CURRENT_SOURCE_DIR}/native_version.cmake ${version_sources}
  DEPENDS ${version_sources} native_version.cmake VERBATIM)
target_sources(xnic_device PRIVATE ${version_source})
set_source_files_properties(device/native_images.cpp PROPERTIES
  COMPILE_DEFINITIONS XNIC_NATIVE_LIBRARY="$<TARGET_FILE_NAME:xnic_native>")
add_dependencies(xnic_device xnic_native)
target_link_libraries(xnic_device PUBLIC ${CMAKE_DL_LIBS})
