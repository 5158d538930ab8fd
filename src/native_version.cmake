# cmake -DOUT=FILE -P native_version.cmake SOURCES...: writes a C++ file with the digest of the sources.
set(all "")
set(is_source FALSE)
math(EXPR last "${CMAKE_ARGC} - 1")
foreach(i RANGE ${last})
  if(is_source)
    file(SHA256 ${CMAKE_ARGV${i}} one)
    string(APPEND all ${one})
  elseif(CMAKE_ARGV${i} MATCHES "native_version.cmake$")
    set(is_source TRUE)
  endif()
endforeach()
string(SHA256 digest "${all}")
file(WRITE ${OUT} "#include \"device/native_cache.hpp\"
namespace xnic::device {
const char* native_version() { return \"${digest}\"; }
}  // namespace xnic::device
")
