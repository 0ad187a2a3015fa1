# Every library that offpeak uses, as one imported target each: offpeak::<name>.
# Link them PRIVATE, so that only the folder that wraps a library sees its header.
# scripts/setup installs the Debian packages they come from.

find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)

function(offpeak_find_pkg name module)
  pkg_check_modules(${name} REQUIRED IMPORTED_TARGET GLOBAL ${module})
  add_library(offpeak::${name} ALIAS PkgConfig::${name})
endfunction()

offpeak_find_pkg(curl libcurl)
offpeak_find_pkg(jansson jansson)
offpeak_find_pkg(uv libuv)
offpeak_find_pkg(yaml yaml-0.1)
offpeak_find_pkg(utf8proc libutf8proc)
offpeak_find_pkg(crypto libcrypto)
offpeak_find_pkg(zlib zlib)
offpeak_find_pkg(zstd libzstd)
offpeak_find_pkg(rdkafka rdkafka) # 2.0.2 or newer
offpeak_find_pkg(microhttpd libmicrohttpd) # the simulator and cli/probe.c

# LMDB has no pkg-config file in Debian 12.
find_path(LMDB_INCLUDE_DIR lmdb.h REQUIRED)
find_library(LMDB_LIBRARY lmdb REQUIRED)
mark_as_advanced(LMDB_INCLUDE_DIR LMDB_LIBRARY)
add_library(offpeak::lmdb UNKNOWN IMPORTED GLOBAL)
set_target_properties(offpeak::lmdb PROPERTIES
  IMPORTED_LOCATION "${LMDB_LIBRARY}"
  INTERFACE_INCLUDE_DIRECTORIES "${LMDB_INCLUDE_DIR}")

if(OFFPEAK_TESTS)
  offpeak_find_pkg(cmocka cmocka)
endif()
