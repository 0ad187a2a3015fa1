# Three functions, so that the rules about who may use whom stand in one place.

# What each library of ours may link besides core. Nothing: the roles never see each
# other, and core sees none of them. Programs and tests link what they test.
set(OFFPEAK_ROLES offpeak_producer offpeak_scheduler offpeak_worker)

# offpeak_library(<name> SOURCES <file>... [PRIVATE <lib>...])
#
# A static library of one folder. Every library but offpeak_core links offpeak_core.
# PRIVATE names the vendor libraries that its files include.
function(offpeak_library name)
  cmake_parse_arguments(arg "" "" "SOURCES;PRIVATE" ${ARGN})
  foreach(lib IN LISTS arg_PRIVATE)
    if(lib MATCHES "^offpeak_")
      message(FATAL_ERROR "${name} must not link ${lib}: folders meet in core/ and cli/ only")
    endif()
  endforeach()
  add_library(${name} STATIC ${arg_SOURCES})
  target_link_libraries(${name} PUBLIC offpeak_flags PRIVATE ${arg_PRIVATE} Threads::Threads)
  if(NOT name STREQUAL "offpeak_core")
    target_link_libraries(${name} PUBLIC offpeak_core)
  endif()
endfunction()

# offpeak_program(<name> SOURCES <file>... [LIBS <lib>...])
function(offpeak_program name)
  cmake_parse_arguments(arg "" "" "SOURCES;LIBS" ${ARGN})
  add_executable(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE offpeak_flags ${arg_LIBS} Threads::Threads)
endfunction()

# offpeak_test(<name> SOURCES <file>... [LIBS <lib>...] [ARGUMENTS <word>...] [LABELS <label>...]
#              [TIMEOUT <seconds>] [ENVIRONMENT <NAME=value>...])
#
# One cmocka program, one ctest entry. LIBS default to offpeak_core, LABELS to `unit`,
# TIMEOUT to 300 s, which ends what hangs and says nothing of speed. Run one with
# `scripts/test -R <name>`.
function(offpeak_test name)
  cmake_parse_arguments(arg "" "TIMEOUT" "SOURCES;LIBS;ARGUMENTS;LABELS;ENVIRONMENT" ${ARGN})
  if(NOT OFFPEAK_TESTS)
    return()
  endif()
  if(NOT arg_LIBS)
    set(arg_LIBS offpeak_core)
  endif()
  if(NOT arg_LABELS)
    set(arg_LABELS unit)
  endif()
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 300)
  endif()
  add_executable(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE offpeak_flags ${arg_LIBS} offpeak::cmocka
                                        Threads::Threads)
  set_target_properties(${name} PROPERTIES
    RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/tests/bin")
  add_test(NAME ${name} COMMAND ${name} ${arg_ARGUMENTS} WORKING_DIRECTORY "${CMAKE_SOURCE_DIR}")
  set_tests_properties(${name} PROPERTIES
    TIMEOUT ${arg_TIMEOUT} LABELS "${arg_LABELS}" ENVIRONMENT "${arg_ENVIRONMENT}")
endfunction()
