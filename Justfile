# Tools, pinned. They run by "go run", so nothing need be installed by hand.
golangci := "v2.15.0"
golangci_lint := "go run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@" + golangci
benchstat := "go run golang.org/x/perf/cmd/benchstat@latest"

# List the recipes.
_help:
    @{{just_executable()}} --list --unsorted

# Build ./pgx-dev, stripped and without paths of this machine.
build:
    CGO_ENABLED=0 go build -trimpath -ldflags='-s -w' -o pgx-dev .

# Build ./pgx-dev with PostgreSQL for WebAssembly in it: one file that needs nothing else.
bundle:
    rm -rf engines/wasm/pglite/bundle
    mkdir engines/wasm/pglite/bundle
    cp "$(dirname "$(go run . runtime install wasm)")"/*.tgz engines/wasm/pglite/bundle/
    CGO_ENABLED=0 go build -tags bundle -trimpath -ldflags='-s -w' -o pgx-dev .

# Move the wasm engine to another version of a package, and check all that we depend on (just pin @electric-sql/pglite 0.5.17).
pin package version:
    integrity=$(npm view '{{package}}@{{version}}' dist.integrity) && test -n "$integrity" && \
        sed -i -E '\|Name: "{{package}}"|,/License/ { s|Version: "[^"]*"|Version: "{{version}}"|; s|Integrity: "[^"]*"|Integrity: "'"$integrity"'"| }' engines/wasm/pglite/pglite.go
    go test -count=1 ./engines/wasm/pglite ./engines/wasm/guest
    go test -count=1 -timeout 30m ./engines/wasm/...

# Run the tests: all, or those of some packages (just test ./config -run Sample).
test *args='./...':
    go test {{args}}

# Run the tests with the race detector.
race *args='./...':
    go test -race {{args}}

# Run one transcript of testdata/script (just script config).
script name:
    go test -run 'TestScripts/^{{name}}$' -v .

# Where goroutines make the reached code differ from run to run, go test would spend its time
# on making inputs small that need not be: hence -fuzzminimizetime.

# Fuzz one function of a package (just fuzz ./config FuzzLoad 5m).
fuzz pkg fn time='60s' workers=num_cpus():
    go test {{pkg}} -run '^$' -fuzz '^{{fn}}$' -fuzztime {{time}} -fuzzminimizetime 20x -parallel {{workers}}

# Fuzz every function there is, each for a while (just fuzz-all 60s; hours for all).
fuzz-all time='60s' under='./...':
    go list {{under}} | while read -r pkg; do \
        go test -list '^Fuzz' "$pkg" | grep '^Fuzz' | while read -r fn; do \
            echo "== $pkg $fn"; \
            go test "$pkg" -run '^$' -fuzz "^$fn\$" -fuzztime {{time}} -fuzzminimizetime 20x || exit 1; \
        done || exit 1; \
    done

# "wire" is a program that measures the wire server and its rivals, each a process of its own.

# "proxy" takes 40 minutes, of which "proxyidle" (memory) is eight. Its rows can be run by themselves:
# "proxy/extended" is a mode (six minutes; simple, extended, prepared, simple-tls, extended-tls),
# 'proxy/simple$/=200$' one row (a minute), proxyidle/plain the memory of clients without TLS. With
# PGX_DEV_BENCH_TARGETS=pgbouncer,newest,proxy it leaves out all but those, and takes half the time.

# Run the benchmarks with a word in their name: up, wire, embed (just bench up 10).
bench what count='1':
    {{ if what == "wire" { "cd wire/pgserver/bench && go build -o ../../../dist/wire-bench . && ../../../dist/wire-bench" } else { "CGO_ENABLED=0 go test ./... -run '^$' -bench '(?i)" + what + "' -benchmem -count " + count + " -timeout 90m" } }}

# Fetch the newest PgBouncer that Debian has, for "just bench proxy" to compare with, too.
pgbouncer:
    sh proxy/testdata/pgbouncer/fetch.sh dist/pgbouncer

# Compare what pgx's own tests say with and without the proxy.
transparency: build
    bash proxy/testdata/transparency/run.sh ./pgx-dev

# The same for lib/pq's, asyncpg's and psycopg2's own tests, and what applications do by psycopg, node-postgres and JDBC.
transparency-drivers *suites: build
    bash proxy/testdata/transparency/drivers.sh ./pgx-dev dist/transparency {{suites}}

# Compare two outputs of just bench.
compare old new:
    {{benchstat}} {{old}} {{new}}

# Check format, vet and lint.
lint:
    go vet ./...
    {{golangci_lint}} run ./...

# Format everything, and fix what the linters can.
fmt:
    {{golangci_lint}} fmt ./...
    {{golangci_lint}} run --fix ./...

# Show how much of the code the tests reach.
cover *args='./...':
    go test -coverprofile=coverage.out {{args}}
    go tool cover -func=coverage.out | tail -n 1

# Print every dependency's licence; fail on one that is not allowed.
audit:
    go test -count=1 -run '^TestLicences$' -v .

# Rewrite what is generated from the code: the sample config, README's help block.
update:
    go test ./config -run 'TestSample$' -update
    UPDATE_README=1 go test -run '^TestReadme$' .

# Build stripped binaries for every platform into dist/.
release:
    mkdir -p dist
    for target in linux/amd64 linux/arm64 darwin/amd64 darwin/arm64; do \
        GOOS=${target%/*} GOARCH=${target#*/} CGO_ENABLED=0 \
        go build -trimpath -ldflags='-s -w' -o dist/pgx-dev-${target%/*}-${target#*/} . || exit 1; \
    done

# Let many kinds of clients work on the wasm engine at once and watch what it takes: nothing may grow.
soak time='30m':
    PGX_DEV_SOAK={{time}} go test -run '^TestSoak$' -count=1 -timeout 6h -v ./engines/wasm

# Do what the continuous integration does.
ci *what:
    .ci/run {{what}}

# Kill -9 the starter, the supervisor or everything, a thousand times, in mid-start.
chaos kills='1000':
    PGX_DEV_KILLS={{kills}} go test -run '^TestKilledAtAnyMoment$' -count=1 -timeout 3h -v ./commands/outside

# Ask shards and one server the same random queries, and as many over other kinds of keys, with writes (just shard-queries 10000).
shard-queries queries='10000':
    SHARD_QUERIES={{queries}} go test ./proxy/scatter -run '^TestRandom(Queries|Keys)$' -count=1 -timeout 3h -v

# Ask shards and one server every statement of the corpus in every mode.
shard-corpus:
    SHARD_QUERIES=1 go test ./proxy/scatter -run '^TestCorpus$' -count=1 -timeout 1h -v

# Ask shards and one server, all of them WebAssembly ones, the corpus and random queries in every mode.
shard-wasm queries='2000':
    SHARD_QUERIES={{queries}} go test ./proxy/scatter -run '^TestWasm$' -count=1 -timeout 1h -v

# Kill -9 the proxy or a shard in the middle of two-phase commits, at random, many times.
kill-2pc kills='1000':
    SHARD_KILLS={{kills}} go test ./proxy/scatter -run '^TestRandomKills$' -count=1 -timeout 5h -v

# Kill, freeze and cut off the proxy's server, its clients and its network, for a while (root; iproute2).
proxy-soak minutes='15':
    PROXY_SOAK={{minutes}}m go test ./proxy/outside -run '^TestFaults$' -count=1 -timeout 5h -v
