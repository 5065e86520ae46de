#!/bin/sh
# fetch.sh DIR puts the newest PgBouncer that Debian has, and the libraries that it needs, into DIR,
# to be compared with: DIR/pgbouncer runs it. Nothing of the system is changed, and it needs no root.
# The packages come from where the machine's own apt gets Debian's.
set -eu
mkdir -p "$1/lists/partial" "$1/cache/archives/partial" "$1/debs" "$1/root"
dir=$(cd "$1" && pwd)
suite=sid
uri=$(apt-get indextargets --format '$(REPO_URI) $(ORIGIN)' | awk '$2 == "Debian" && $1 !~ /security/ { print $1; exit }')
[ -n "$uri" ] || { echo "apt knows no archive of Debian's" >&2; exit 1; }
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $uri $suite main" > "$dir/sources.list"
set -- -qq -o Dir::Etc::sourcelist="$dir/sources.list" -o Dir::Etc::sourceparts=- -o Dir::State::lists="$dir/lists" \
    -o Dir::Cache="$dir/cache" -o Debug::NoLocking=1 -o APT::Sandbox::User=root
apt-get "$@" update
cd "$dir/debs"
apt-get "$@" -t "$suite" download pgbouncer libc6 libcares2 libevent-2.1-7t64 libssl3t64 libpam0g libsystemd0 libcap2 \
    libcap-ng0 libaudit1 libzstd1 zlib1g libldap2 libsasl2-2 libgcc-s1 liblzma5 liblz4-1 libgcrypt20 libgpg-error0
for deb in *.deb; do dpkg-deb -x "$deb" "$dir/root"; done
lib=$(dirname "$(find "$dir/root" -name libc.so.6 | head -n 1)")
loader=$(find "$dir/root" -name 'ld-linux*.so.*' -type f | head -n 1)
printf '#!/bin/sh\nexec "%s" --library-path "%s" "%s" "$@"\n' "$loader" "$lib" "$dir/root/usr/sbin/pgbouncer" > "$dir/pgbouncer"
chmod +x "$dir/pgbouncer"
"$dir/pgbouncer" --version | head -n 1
