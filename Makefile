# Fovea's front door. Each target works as the first command on a fresh Debian machine: what is missing is installed,
# then CMake configures and builds. The program is build/fovea.
#
#   make train     train the digits network with the best backend here
#   make test      the whole test suite, plain and under AddressSanitizer and UBSan
#   make check     every kernel on the built-in cases: on the GPU if there is one, else emulated
#   make bench     how long the digits network's layers take, beside the vendor's library and the chip's limit
#   make results   benchmarks/RESULTS.md from the records in benchmarks/results
#   make resources registers, shared memory and spills of every kernel, compared with benchmarks/resources.txt; needs nvcc;
#                  UPDATE=1 writes that file anew
#   make sanitize  the check on the GPU under NVIDIA's compute-sanitizer
#   make mutate    plants mistakes in the kernels and counts how many the check finds (minutes)
#   make build     the program and the library
#   make deps      install what the build needs (Debian packages)
#   make install   into PREFIX (default /usr/local)
#   make clean

# package:what shows that it is there (a command, or a header), however it was installed
NEEDS := build-essential:c++ cmake:cmake ninja-build:ninja pkg-config:pkg-config zlib1g-dev:zlib.h \
  libjansson-dev:jansson.h libdnnl-dev:oneapi/dnnl/dnnl.h libcmocka-dev:cmocka.h
PREFIX ?= /usr/local
WERROR ?= OFF
SUDO := $(if $(filter 0,$(shell id -u)),,sudo)

.PHONY: build train test check bench results resources sanitize mutate deps install clean

test bench: NEEDS += gnuplot-nox:gnuplot

build: deps
	cmake --preset release -G Ninja -DCMAKE_INSTALL_PREFIX=$(PREFIX) -DFOVEA_WERROR=$(WERROR)
	cmake --build build --target fovea fovea_program

train: build
	build/fovea train --out build/digits.safetensors

test: build
	cmake --build build
	cmake --preset sanitize -G Ninja -DFOVEA_WERROR=$(WERROR)
	cmake --build build/sanitize
	ctest --test-dir build --output-on-failure -j$$(nproc)
	ctest --test-dir build/sanitize --output-on-failure -j$$(nproc)

check: build
	build/fovea check

bench: build
	if nvidia-smi >/dev/null 2>&1; then build/fovea bench --suite digits; \
	else build/fovea bench --backend onednn --against reference --suite digits --most 1; fi

results: build
	bash benchmarks/results.sh build/fovea

resources: build
	bash benchmarks/resources.sh build $(if $(UPDATE),--update)

sanitize: build
	bash tests/compute_sanitizer.sh build/fovea

mutate: build
	bash tests/mutate/run.sh

deps:
	@missing=; for need in $(NEEDS); do \
	  package=$${need%%:*} sign=$${need#*:}; \
	  case $$sign in \
	    *.h) command -v cc >/dev/null && echo "#include <$$sign>" | \
	         cc -include stddef.h -include stdarg.h -include stdint.h -include setjmp.h -E -x c - >/dev/null 2>&1;; \
	    *) command -v $$sign >/dev/null;; \
	  esac || missing="$$missing $$package"; done; \
	if [ -z "$$missing" ]; then exit 0; fi; \
	echo "make deps: installing$$missing"; \
	{ $(SUDO) apt-get update -qq && \
	  $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing; } || \
	echo "make deps: could not install$$missing; going on without" >&2

install: build
	cmake --install build

clean:
	rm -rf build
