# offpeak_flags: what every object file of ours is compiled and linked with.

include(CheckCCompilerFlag)

add_library(offpeak_flags INTERFACE)
target_include_directories(offpeak_flags INTERFACE "${CMAKE_SOURCE_DIR}")
target_compile_definitions(offpeak_flags INTERFACE
  _GNU_SOURCE
  OFFPEAK_VERSION="${PROJECT_VERSION}"
  $<$<BOOL:${OFFPEAK_FAILPOINTS}>:OFFPEAK_FAILPOINTS=1>)

# Assertions guard money and ownership: they stay on in what users run.
target_compile_options(offpeak_flags INTERFACE -UNDEBUG)

# --- warnings ----------------------------------------------------------------
target_compile_options(offpeak_flags INTERFACE
  -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes
  -Wold-style-definition -Wformat=2 -Wundef -Wvla -Wswitch-enum -Wpointer-arith
  -Wwrite-strings -Wimplicit-fallthrough
  $<$<BOOL:${OFFPEAK_WERROR}>:-Werror>)

# --- libFuzzer sees which code an input reaches: in every file, not only in the targets ---
if(OFFPEAK_FUZZ)
  target_compile_options(offpeak_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()

# --- sanitizers or hardening: the two do not mix ------------------------------
if(OFFPEAK_ASAN)
  set(sanitizers -fsanitize=address,undefined -fno-sanitize-recover=all
                 -fno-omit-frame-pointer)
  target_compile_options(offpeak_flags INTERFACE ${sanitizers})
  target_link_options(offpeak_flags INTERFACE ${sanitizers})
else()
  target_compile_options(offpeak_flags INTERFACE
    -fstack-protector-strong -fno-strict-overflow
    # _FORTIFY_SOURCE needs the optimiser; level 3 needs gcc 12 or clang 9
    $<$<NOT:$<CONFIG:Debug>>:-U_FORTIFY_SOURCE>
    $<$<NOT:$<CONFIG:Debug>>:-D_FORTIFY_SOURCE=3>)
  foreach(flag -fstack-clash-protection -fcf-protection)
    string(MAKE_C_IDENTIFIER "OFFPEAK_HAS${flag}" known)
    check_c_compiler_flag(${flag} ${known}) # not on every architecture
    if(${known})
      target_compile_options(offpeak_flags INTERFACE ${flag})
    endif()
  endforeach()
  target_link_options(offpeak_flags INTERFACE -pie -Wl,-z,relro,-z,now)
endif()
