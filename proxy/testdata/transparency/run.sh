#!/usr/bin/env bash
# Runs pgx's own tests against a server, and through the proxy in session and in transaction
# mode, and compares the lists of tests that pass: what differs must be in the file different.
# usage: run.sh PGX-DEV [DIRECTORY FOR THE RESULTS]
set -euo pipefail
program=$(realpath "$1")
out=$(realpath "${2:-$(mktemp -d)}")
here=$(dirname "$(realpath "$0")")
export LC_ALL=C
version=$(cd "$here" && go list -m -f '{{.Version}}' github.com/jackc/pgx/v5)
source=$(cd "$here" && go list -m -f '{{.Dir}}' github.com/jackc/pgx/v5)
mkdir -p "$out/src" "$out/project"
cp -r "$source/." "$out/src"
chmod -R u+w "$out/src"
for package in pgconn . pgxpool; do
  (cd "$out/src" && go test -c -o "$out/bin/${package/./pgx}" "./$package")
done
cat > "$out/suite.sh" <<'IN'
set -euo pipefail
mode=$1 out=$2
export PGX_TEST_DATABASE="host=$PGHOST port=$PGPORT user=$PGUSER dbname=$PGDATABASE sslmode=disable"
for name in pgconn pgx pgxpool; do
  dir=$out/src/$name
  [[ $name != pgx ]] || dir=$out/src
  (cd "$dir" && "$out/bin/$name" -test.v -test.timeout 10m || true) > "$out/$mode.$name.log" 2>&1
  if grep '^panic' "$out/$mode.$name.log" >&2; then exit 1; fi
  grep -E '^ *--- PASS' "$out/$mode.$name.log" | sed -E "s/^ *--- PASS: //; s/ \(.*//; s|/tmp/[^' ]*|TMP|g; s/^/$name /"
done | sort > "$out/$mode.passed"
[[ -s "$out/$mode.passed" ]]
IN
cd "$out/project"
prepare='psql -Xq -c "CREATE EXTENSION IF NOT EXISTS hstore" && '
"$program" up -- bash -c "$prepare bash $out/suite.sh direct $out"
status=0
for mode in session transaction; do
  "$program" proxy -o proxy.general.pooler_mode=$mode -o proxy.general.default_pool_size=90 -- bash "$out/suite.sh" "$mode" "$out"
  comm -23 "$out/direct.passed" "$out/$mode.passed" | sed "s/^/$mode /" > "$out/$mode.different"
  # Some differ only when times are unlucky, so one that does not is no mistake.
  if comm -13 <(grep "^$mode " "$here/different" | sed 's/  .*//' | sort) <(sort "$out/$mode.different") | grep .; then
    echo "in $mode mode other tests differ than $here/different says (see $out/$mode.*.log)" >&2
    status=1
  fi
done
echo "pgx $version: $(wc -l < "$out/direct.passed") tests pass without the proxy; different through it: $(wc -l < "$out/session.different") in session mode, $(wc -l < "$out/transaction.different") in transaction mode"
exit $status
