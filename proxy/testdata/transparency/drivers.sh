#!/usr/bin/env bash
# Runs the test suites of lib/pq, asyncpg and psycopg2, and what applications do by psycopg 3,
# node-postgres and JDBC (whose packages hold no tests), against a server, and through the proxy
# in session and in transaction mode; and compares the lists of what passes: what differs must be
# in the file drivers.different.
# usage: drivers.sh PGX-DEV [DIRECTORY FOR THE RESULTS] [SUITE…]
# It takes the packages from where go, npm and pip are set to take them, and JDBC from Debian's
# libpostgresql-jdbc-java.
set -euo pipefail
program=$(realpath "$1")
mkdir -p "${2:-$(mktemp -d)}"
out=$(realpath "${2:-$(mktemp -d)}")
suites=("${@:3}")
((${#suites[@]})) || suites=(libpq asyncpg psycopg2 psycopg node jdbc)
here=$(dirname "$(realpath "$0")")
jar=/usr/share/java/postgresql.jar
export LC_ALL=C
cd "$out"
mkdir -p bin project

want() { [[ " ${suites[*]} " == *" $1 "* ]]; }

# fetch_sdist NAME VERSION: the source package, unpacked
fetch_sdist() {
  [[ -d $1-$2 ]] || { venv/bin/pip -q download --no-deps --no-binary :all: "$1==$2" -d sdist; tar xzf sdist/"$1-$2".tar.gz; }
}

if want libpq && [[ ! -x bin/libpq ]]; then
  rm -rf libpq && cp -r "$(cd "$here" && GOFLAGS=-mod=mod go mod download -json github.com/lib/pq@v1.10.9 | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')" libpq
  chmod -R u+w libpq
  (cd libpq && go test -c -o ../bin/libpq .)
fi
if want asyncpg || want psycopg || want psycopg2; then
  [[ -x venv/bin/pytest ]] || { python3 -m venv venv && venv/bin/pip -q install setuptools wheel 'cython<4' pytest distro asyncpg==0.32.0 'psycopg[binary]==3.3.9' psycopg2-binary==2.9.13; }
  ! want asyncpg || fetch_sdist asyncpg 0.32.0
  ! want psycopg2 || fetch_sdist psycopg2 2.9.13
  # The tests belong to the installed packages, not to the sources beside them.
  mkdir -p tests_asyncpg tests_psycopg2
  ! want asyncpg || cp -r asyncpg-0.32.0/tests tests_asyncpg/
  ! want psycopg2 || cp -r psycopg2-2.9.13/tests tests_psycopg2/
fi
if want node; then
  [[ -d node_modules/pg-query-stream ]] || npm --silent install --no-save --prefix "$out" pg@8.23.1 pg-cursor@2.22.0 pg-query-stream@4.17.0 pg-copy-streams@7.0.0
  cp "$here/drivers/node_checks.js" .
fi
if want jdbc; then
  [[ -e $jar ]] || { echo "there is no $jar: apt-get install libpostgresql-jdbc-java" >&2; exit 1; }
  javac -cp "$jar" -d bin "$here/drivers/Checks.java"
fi

cat > suite.sh <<'IN'
set -euo pipefail
mode=$1 out=$2 here=$3 jar=$4
shift 4
cd "$out"
export PGSSLMODE=disable PSYCOPG2_TESTDB=$PGDATABASE
if [[ ${DATABASE_URL-} =~ ^postgresql://([^:]+):([^@]+)@([^:]+):([0-9]+)/ ]]; then # JDBC knows TCP only
  export PGPASSWORD=${BASH_REMATCH[2]} PGHOST=${BASH_REMATCH[3]} PGPORT=${BASH_REMATCH[4]}
fi
unset DATABASE_URL PGAPPNAME PGPASSFILE
log() { echo "$out/$mode.$1.log"; }
# passed SUITE: what its log says has passed
passed() {
  case $1 in
  libpq) sed -nE 's/^ *--- PASS: ([^ ]+).*/\1/p' ;;
  asyncpg | psycopg2) sed -nE 's/^(tests[^ ]*::[^ ]+) PASSED.*/\1/p' ;;
  *) sed -nE 's/^ok //p' ;;
  esac < "$(log "$1")" | sed "s/^/$1 /"
}
for suite in "$@"; do
  case $suite in
  libpq) (cd libpq && timeout 300 ../bin/libpq -test.v -test.timeout 4m) ;;
  asyncpg) (cd tests_asyncpg && timeout 900 ../venv/bin/pytest -p no:cacheprovider -v --color=no tests --deselect tests/test__sourcecode.py --deselect tests/test__environment.py) ;;
  psycopg2) (cd tests_psycopg2 && timeout 600 ../venv/bin/pytest -p no:cacheprovider -v --color=no tests) ;;
  psycopg) timeout 300 venv/bin/python "$here/drivers/psycopg_checks.py" ;;
  node) timeout 300 node node_checks.js ;;
  jdbc) timeout 300 java -cp "$jar:bin" Checks ;;
  esac > "$(log "$suite")" 2>&1 || true
  passed "$suite" > "$mode.$suite.passed"
  [[ -s $mode.$suite.passed ]] || { echo "nothing of $suite passes in mode $mode: see $(log "$suite")" >&2; tail -n 5 "$(log "$suite")" >&2; exit 1; }
done
IN
# All within one "up", so that the server is the same for all.
cat > modes.sh <<'IN'
set -euo pipefail
program=$1 out=$2 here=$3 jar=$4
psql -Xq -c 'CREATE EXTENSION IF NOT EXISTS hstore'
bash "$out/suite.sh" direct "${@:2}"
for mode in session transaction; do
  # What a test could not drop would be in the way of the next mode's.
  for database in asyncpg_intro_test testdb; do psql -Xq -c "DROP DATABASE IF EXISTS $database WITH (FORCE)"; done
  "$program" proxy --listen tcp -o proxy.general.pooler_mode=$mode -o proxy.general.default_pool_size=90 -- bash "$out/suite.sh" "$mode" "${@:2}"
done
IN
(cd project && "$program" up --tcp --set max_connections=200 --set max_prepared_transactions=20 -- bash "$out/modes.sh" "$program" "$out" "$here" "$jar" "${suites[@]}")
status=0
for mode in session transaction; do
  for suite in "${suites[@]}"; do
    comm -23 <(sort -u "$out/direct.$suite.passed") <(sort -u "$out/$mode.$suite.passed") | sed "s/^/$mode /" > "$out/$mode.$suite.different"
    echo "$suite: $(sort -u "$out/direct.$suite.passed" | wc -l) pass without the proxy, $(wc -l < "$out/$mode.$suite.different") of them differ in $mode mode"
    # Some differ only when times are unlucky, so one that does not is no mistake.
    if comm -13 <(grep "^$mode " "$here/drivers.different" | sed 's/  .*//' | sort) <(sort "$out/$mode.$suite.different") | grep .; then
      echo "in $mode mode more differs of $suite than $here/drivers.different says (see $out/$mode.$suite.log)" >&2
      status=1
    fi
  done
done
exit $status
