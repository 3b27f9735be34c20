# jfs: build, install, try, test. `make` alone builds bin/jfs.

GO      ?= go
PREFIX  ?= /usr/local
DESTDIR ?=
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
BENCH   ?= .

export CGO_ENABLED = 1

TOOLS    := .build/bin
LDFLAGS  := -X main.version=$(VERSION)
PGO      := $(addprefix -pgo=,$(abspath $(wildcard profiles/default.pgo)))
GO_FILES := $(shell git ls-files -co --exclude-standard '*.go' 2>/dev/null)

# Tests wait for servers and mounts most of the time, so more of them run side by side than there are cores.
TEST := PATH='$(CURDIR)/$(TOOLS)':"$$PATH" $(GO) test -timeout 30m

# The program's own tests take as long as all others together, and run beside them.
PROGRAM := ./cmd/jfs

# The race detector costs a lot of time; it runs over the rooms whose values are shared between goroutines, and over
# one engine of each family, and not over suites that meet the same code of ours once more. "make race" runs it over
# everything.
RACE_ROOMS := $(wildcard internal object block cache prefetch upload fs bench profiles)
RACE_SKIP  := ^TestServers$$|^TestConformance(With|InCluster)|^TestBehindSentinels$$|^TestLocalDirectory$$|^TestSuiteOnTiKV$$|^TestSuite$$/^(no-cache|trash|writeback-cache)$$

.PHONY: build install setup quickstart demo tools test-deps test test-program test-rooms race soak lint fmt bench pgo pgo-gain clean

build: ## bin/jfs
	$(GO) build -trimpath $(PGO) -ldflags '$(LDFLAGS)' -o bin/jfs ./cmd/jfs

install: build ## bin/jfs to $(PREFIX)/bin, and the link that mount(8) and fstab look for
	install -d '$(DESTDIR)$(PREFIX)/bin' '$(DESTDIR)/sbin'
	install -m 755 bin/jfs '$(DESTDIR)$(PREFIX)/bin/jfs'
	ln -sf '$(PREFIX)/bin/jfs' '$(DESTDIR)/sbin/mount.jfs'

setup: ## what building and running need from the distribution
	scripts/need.sh fusermount3:fuse3 gcc:gcc,libc6-dev

quickstart: setup build ## format, mount, copy a real tree in, check it after a remount, measure
	JFS=$(CURDIR)/bin/jfs scripts/quickstart.sh

demo: quickstart

tools: $(TOOLS)/golangci-lint $(TOOLS)/versitygw

$(TOOLS)/golangci-lint: tools/go.mod tools/go.sum
	cd tools && $(GO) build -o '$(CURDIR)/$@' github.com/golangci/golangci-lint/v2/cmd/golangci-lint

$(TOOLS)/versitygw: tools/go.mod tools/go.sum
	cd tools && $(GO) build -o '$(CURDIR)/$@' github.com/versity/versitygw/cmd/versitygw

test-deps: setup tools ## the servers that the tests start by themselves, and the programs that they run in a mount
	scripts/need.sh redis-server:redis-server initdb:postgresql mariadbd:mariadb-server etcd:etcd-server \
		git:git rsync:rsync sqlite3:sqlite3 make:make flock:util-linux \
		stress-ng:stress-ng fio:fio dbench:dbench bonnie++:bonnie++ setfattr:attr setfacl:acl

test: test-deps lint ## everything: lint, all tests, and the shared rooms again under the race detector
	$(MAKE) --no-print-directory -j2 --output-sync=line test-program test-rooms

test-program: ## the tests of the program itself, which mount volumes
	$(TEST) -parallel 3 $(PROGRAM)

test-rooms: ## the tests of all other packages, and the race detector
	$(TEST) -p 3 $$($(GO) list ./... | grep -v /cmd/)
	$(TEST) -p 3 -race -skip '$(RACE_SKIP)' $(RACE_ROOMS:%=./%/...) ./meta ./meta/redis ./meta/sql ./meta/tkv ./meta/tkv/mem ./maintain

race: test-deps ## all tests under the race detector; takes about an hour
	JFS_TEST_SOAK=1 $(TEST) -p 4 -race -timeout 3h ./...

soak: test-deps ## load, scale, races and crashes in full size; takes some hours
	JFS_TEST_SOAK=1 $(TEST) -p 1 -timeout 4h ./meta/... -run 'Conformance|Servers'
	$(TEST) -timeout 4h $(PROGRAM) -run 'E2EScale|E2EStress|E2ECrash|E2ERaces|E2EEngineFaults|E2EConformance|E2EDumpIdentity|E2ERandom' -soak -crash.rounds 200

lint: $(TOOLS)/golangci-lint
	$(TOOLS)/golangci-lint run ./...

fmt:
	gofmt -w $(GO_FILES)

bench: ## the packages' benchmarks; BENCH is the pattern, compare two outputs with benchstat
	$(GO) test -run '^$$' -bench '$(BENCH)' -benchmem ./...

pgo-gain: build ## what profiles/default.pgo gains: builds with and without it in turn; wants a quiet machine
	$(GO) build -trimpath -pgo=off -ldflags '$(LDFLAGS)' -o bin/jfs-plain ./cmd/jfs
	bin/jfs bench compare --workload metadata -p 2 -c 'plain=--program bin/jfs-plain' -c 'pgo=--program bin/jfs'

pgo: build ## profiles/default.pgo, which "make build" gives the compiler, from the standard workloads; takes five minutes
	scripts/pgo.sh '$(CURDIR)/bin/jfs' '$(CURDIR)/profiles/default.pgo'

clean:
	rm -rf bin .build
