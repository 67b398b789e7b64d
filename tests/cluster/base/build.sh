#!/bin/sh
# Builds a Debian tree from this computer's own Debian mirrors: a folder, or an archive when TARGET ends in .tar.
# Usage: build.sh VARIANT TARGET PACKAGE…
set -eu
variant=$1
target=$2
shift 2

. /etc/os-release
: "${VERSION_CODENAME:?this computer is not a Debian release: VERSION_CODENAME is missing in /etc/os-release}"

# The mirrors, proxies and date checks that apt uses here; nothing about the network is written down in this script.
mirrors() {
    apt-get indextargets --format 'deb $(REPO_URI) $(CODENAME) $(COMPONENT)' 'Identifier: Packages' 'Origin: Debian' |
        grep -E " $VERSION_CODENAME(-updates|-security)? " | sort -u
}
[ -n "$(mirrors)" ] || apt-get update -q
[ -n "$(mirrors)" ] || { echo "apt knows no Debian mirror for $VERSION_CODENAME" >&2; exit 1; }

sources=$(mktemp)
options=$(mktemp)
trap 'rm -f "$sources" "$options"' EXIT
mirrors > "$sources"
echo 'Acquire::Languages "none";' > "$options"
apt-config dump | grep -iE '^Acquire::(https?::|Check-|Retries)[^"]* ".+";$' >> "$options" || true

# Documentation and translations are half of the files of such a tree.
mmdebstrap --variant="$variant" --mode=root \
    --aptopt="$options" \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/info/*' \
    --setup-hook='mkdir -p "$1/usr/sbin" && printf "#!/bin/sh\nexit 101\n" > "$1/usr/sbin/policy-rc.d" && chmod 755 "$1/usr/sbin/policy-rc.d"' \
    --include="$(IFS=,; echo "$*")" \
    "$VERSION_CODENAME" "$target" "$sources"
