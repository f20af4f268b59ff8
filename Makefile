# Fovea's front door. Each target works as the first command on a fresh Debian machine: what is missing is installed,
# then CMake configures and builds. The program is build/fovea.
#
#   make train     train the digits network with the best backend here
#   make test      the whole test suite, plain and under AddressSanitizer and UBSan
#   make build     the program and the library
#   make deps      install what the build needs (Debian packages)
#   make install   into PREFIX (default /usr/local)
#   make clean

PACKAGES := build-essential cmake ninja-build pkg-config zlib1g-dev libjansson-dev libdnnl-dev libcmocka-dev
PREFIX ?= /usr/local
SUDO := $(if $(filter 0,$(shell id -u)),,sudo)

.PHONY: build train test deps install clean

build: deps
	cmake --preset release -G Ninja -DCMAKE_INSTALL_PREFIX=$(PREFIX)
	cmake --build build --target fovea fovea_program

train: build
	build/fovea train --out build/digits.safetensors

test: build
	cmake --build build
	cmake --preset sanitize -G Ninja
	cmake --build build/sanitize
	ctest --test-dir build --output-on-failure
	ctest --test-dir build/sanitize --output-on-failure

deps:
	@missing=; for p in $(PACKAGES); do \
	  dpkg-query -W -f '$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || missing="$$missing $$p"; done; \
	if [ -z "$$missing" ]; then exit 0; fi; \
	if ! command -v apt-get >/dev/null; then \
	  echo "make deps: no apt-get here; please install the equivalents of:$$missing" >&2; exit 0; fi; \
	echo "installing$$missing"; \
	$(SUDO) apt-get update -qq && \
	$(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing

install: build
	cmake --install build

clean:
	rm -rf build
