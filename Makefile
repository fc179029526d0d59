# afterimage: the two commands a newcomer needs are `make demo` and `make test`.
#
#   make demo      show what two shipped classifiers let through, then make the same page from scratch
#   make test      every test (under 5 minutes); AFTERIMAGE_DATA=DIR adds those on real data
#   make quick     the fast tests (under 30 s); both end with how many tests were skipped, and why
#   make test-kill kill a training run 20 times with -9 and compare every byte with an undisturbed one
#   make test-arm64  the CPU backend's tests on arm64, emulated (needs qemu-aarch64, says so without)
#   make fuzz      every reader of files on hostile bytes, FUZZTIME each; a find is kept in testdata
#   make bench     kernels and training steps against the measured peak of this machine
#   make compare PYTHON=FILE  the same beside PyTorch, row by row in turn (bench/README.md)
#   make ptx VENV=DIR  the kernels' PTX and their registers, with the pinned compiler of
#                  cuda/kernels/requirements-nvrtc.txt in that virtual environment (see nvrtc.py there)
#   make gpucheck  bin/gpucheck.tgz: what is carried to a machine with a GPU and run there (README.md)
#   make envelope  the CPU's loss curves that gpucheck holds a card's against, anew (minutes)
#   make abi VENV=DIR  what was copied from NVIDIA's headers against the headers, and what cuDNN offers
#                  for an H100 that is not there (cuda/driver/requirements-abi.txt)
#   make generate  regenerate the assembly (needs the Go module proxy for the generator alone)
#   make size      lines of code by package

GO ?= go
BIN := bin/afterimage
DEMO := runs/demo
FUZZTIME ?= 1m

# go-nvml calls functions that NVML's header calls deprecated; nothing of ours does. Without this the
# first thing that a fresh clone says is a hundred lines of warnings.
export CGO_CFLAGS ?= -O2 -g -Wno-deprecated-declarations

.PHONY: gpucheck envelope demo test quick test-kill test-arm64 fuzz bench compare ptx abi generate size build clean

build:
	@mkdir -p bin
	$(GO) build -buildvcs=auto -o $(BIN) ./cmd/afterimage

demo: build
	$(BIN) demo --out $(DEMO)

# A busy machine may need more than go test's ten minutes for a package.
test:
	@$(GO) run ./.ci/summary -timeout 30m ./...

quick:
	@$(GO) run ./.ci/summary -short ./...

test-kill: build
	$(GO) test ./cmd/afterimage -run TestKillAndResume -kills 20 -count=1 -v -timeout 60m

# Minutes: an emulated instruction takes some dozen real ones. ARM64 names the packages.
ARM64 ?= ./tensor/cpu/...
test-arm64:
	@if command -v qemu-aarch64 >/dev/null; \
	then GOARCH=arm64 CGO_ENABLED=0 $(GO) test -short -exec qemu-aarch64 $(ARM64); \
	else echo "SKIPPED: make test-arm64 needs qemu-aarch64 (Debian and Ubuntu: apt-get install qemu-user)"; \
	fi

fuzz:
	@grep -rn '^func Fuzz' --include='*_test.go' . | sed 's|^\./\(.*\)/[^/]*:[0-9]*:func \(Fuzz[^(]*\).*|\1 \2|' | \
	{ while read -r d f; do \
	  echo "== $$d $$f"; \
	  $(GO) test ./$$d -run - -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x || failed=1; \
	done; exit $${failed:-0}; }

bench: build
	$(BIN) bench kernels
	$(BIN) bench steps

compare: build
	$(BIN) bench compare --python $(PYTHON)

gpucheck:
	@mkdir -p bin
	$(GO) build -trimpath -ldflags '-s -w' -o bin/ ./cmd/gpucheck ./cmd/gpumon
	tar czf bin/gpucheck.tgz bin/gpucheck bin/gpumon bench/pytorch/yardstick/*.py $(ENVELOPE)

# The CPU's runs within which a card's losses must stay: minutes. The same CPU kernels, the same bytes.
ENVELOPE := bench/results/gpu/envelope.json
envelope:
	@mkdir -p bench/results/gpu
	$(GO) run ./cmd/gpucheck -record -envelope $(ENVELOPE)

ptx:
	AFTERIMAGE_NVRTC_VENV=$(VENV) $(GO) test ./cuda/kernels -run 'TestNVRTC|TestPTX$$' -update -timeout 30m

ABIFLAGS ?= -v
abi:
	AFTERIMAGE_CUDA_VENV=$(VENV) $(GO) test ./cuda/driver ./cuda -count=1 $(ABIFLAGS) \
	  -run 'TestABI|TestAnswersABI|TestLibraries|TestDescriptors|TestOffers'

generate:
	cd tensor/cpu/internal/asmgen && $(GO) run ./gemm && $(GO) run ./neon && $(GO) run ./vec

size:
	@for d in $$($(GO) list -f '{{.Dir}}' ./...); do \
	  n=$$(ls $$d/*.go 2>/dev/null | grep -v _test.go | xargs cat | wc -l); \
	  t=$$(ls $$d/*_test.go 2>/dev/null | xargs -r cat | wc -l); \
	  printf '%6d lines %6d of tests  %s\n' $$n $$t $${d#$(CURDIR)/}; done

clean:
	rm -rf bin
