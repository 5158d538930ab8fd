// SPDX-License-Identifier: Apache-2.0
// What the compiler wants of the C++ runtime, which this library does without.
#include <stdlib.h>

extern "C" [[noreturn]] void __cxa_pure_virtual() { abort(); }
